"""logs.txt and its checkpoint: once, in order, whole lines, whatever else happens to them."""

import json
import os
import resource
import signal
import sys
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from logpipeline import locks
from logpipeline.archive import slots
from logpipeline.archive.archive import Archive, OffsetGap
from logpipeline.archive.checkpoint import VERSION, Checkpoint, CheckpointError, Partition
from logpipeline.events.slices import Slice
from logpipeline.localstack.child import spawn
from tests.support.forked import Forked
from tests.support.process import ROOT
from tests.support.records import events
from tests.support.waiting import until

TOPIC, ID = "logs", "topic-id"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs.txt"


@pytest.fixture
def archive(path: Path) -> Iterator[Archive]:
    opened = opened_at(path)
    yield opened
    opened.close()


def opened_at(path: Path, topic_id: str = ID, topic: str = TOPIC) -> Archive:
    archive = Archive(path, topic)
    archive.open(topic_id)
    return archive


def messages(path: Path) -> list[str]:
    """Of a file that has whole lines only."""
    text = path.read_bytes()
    assert not text or text.endswith(b"\n")
    return [json.loads(line)["message"] for line in text.splitlines()]


def numbered(*numbers: int) -> list[str]:
    return [f"event {number}" for number in numbers]


def checkpoint(path: Path) -> Path:
    return path.with_name("logs.txt.checkpoint")


def state(path: Path) -> Any:
    """The checkpoint's JSON."""
    return json.loads(slots.read(checkpoint(path)))


def test_events_are_appended_and_accounted_for(archive: Archive, path: Path) -> None:
    archive.append([events(0, 0, 3), events(2, 5, 7)])
    archive.append([events(0, 3, 4)])
    assert messages(path) == numbered(0, 1, 2, 5, 6, 3)
    assert archive.position().next == {0: 4, 2: 7}
    known = state(path)
    assert known["length"] == path.stat().st_size
    assert known["topics"][TOPIC]["partitions"]["2"] == {"first": 5, "next": 7}


def test_what_the_archive_has_is_dropped_and_what_overlaps_is_cut(
    archive: Archive, path: Path
) -> None:
    archive.append([events(0, 0, 5)])
    archive.append([events(0, 0, 5)])
    archive.append([events(0, 2, 8), events(1, 0, 1)])
    assert messages(path) == numbered(0, 1, 2, 3, 4, 5, 6, 7, 0)
    assert archive.unseen([events(0, 0, 8), events(1, 0, 3)])[0].start == 1


def test_records_that_come_too_early_are_refused(archive: Archive, path: Path) -> None:
    archive.append([events(0, 0, 2)])
    with pytest.raises(OffsetGap, match=r"partition 0: records begin at offset 3, expected 2"):
        archive.append([events(1, 0, 1), events(0, 3, 5)])
    assert messages(path) == numbered(0, 1)
    assert archive.position().next == {0: 2}


def test_a_gap_that_kafka_made_is_remembered(archive: Archive, path: Path) -> None:
    archive.append([events(0, 0, 2)])
    archive.begin(0, 10)
    archive.append([events(0, 10, 11)])
    known = state(path)["topics"][TOPIC]["partitions"]["0"]
    assert known == {"first": 0, "next": 11, "gaps": [[2, 10]]}


def test_a_torn_tail_is_cut_before_anything_is_appended(
    archive: Archive, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive.append([events(0, 0, 2)])
    with path.open("ab") as file:
        file.write(b'{"level":"INFO","mess')
    archive.append([events(0, 2, 3)])
    assert messages(path) == numbered(0, 1, 2)
    assert f"{path}: cut 21 bytes" in caplog.text


def crashed(archive: Archive, path: Path, *lost: Slice) -> None:
    """Append what no checkpoint accounts for, and a torn line."""
    with path.open("ab") as file:
        for part in lost:
            file.write(b"".join(line + b"\n" for line in part.lines))
        file.write(b'{"level":"INFO","mess')
    assert archive.position().next == {0: 2, 1: 2}


@pytest.fixture
def two(archive: Archive) -> Archive:
    """An archive that has two events of two partitions each."""
    archive.begin(0, 0)
    archive.begin(1, 0)
    archive.append([events(0, 0, 2), events(1, 0, 2)])
    return archive


def test_whole_lines_are_set_aside_until_kafka_sends_them_again(
    two: Archive, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    aside = path.with_name("logs.txt.cut")
    crashed(two, path, events(0, 2, 4), events(1, 2, 3))
    two.append([events(0, 2, 3)])
    assert messages(path) == numbered(0, 1, 0, 1, 2)
    assert f"3 whole lines are in {aside} until Kafka sends them again" in caplog.text
    two.append([events(0, 3, 5)])
    assert aside.exists()
    two.append([events(1, 2, 4)])
    assert messages(path) == numbered(0, 1, 0, 1, 2, 3, 4, 2, 3)
    assert not aside.exists()
    assert "no longer has" not in caplog.text


def test_lines_that_kafka_has_lost_are_put_back_once_it_has_sent_others(
    two: Archive, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crashed(two, path, events(0, 2, 4), events(1, 2, 3))
    two.append([events(0, 2, 12, lost=True), events(1, 2, 3)])
    assert path.with_name("logs.txt.cut").exists(), "partition 1 may still send them"
    two.append([events(1, 3, 12)])
    found = [json.loads(line) for line in path.read_bytes().splitlines()]
    kept = [line["message"] for line in found if line["partition"] == 0 and "lost" not in line]
    assert kept == numbered(0, 1, 2, 3)
    assert messages(path)[15:17] == numbered(2, 3), "before the newer events"
    assert len(found) == 4 + 3 + 10 + 9
    assert f"{path}: Kafka no longer has 2 events" in caplog.text
    assert not path.with_name("logs.txt.cut").exists()


def test_lines_whose_offsets_kafka_has_deleted_are_put_back(two: Archive, path: Path) -> None:
    crashed(two, path, events(0, 2, 4))
    two.begin(0, 10)
    two.begin(1, 10)
    two.append([events(0, 10, 11)])
    assert messages(path) == numbered(0, 1, 0, 1, 2, 3, 10)


def test_the_checkpoint_says_which_lines_were_put_back(two: Archive, path: Path) -> None:
    """For verify.py: Kafka does not have them."""
    crashed(two, path, events(0, 2, 4))
    two.begin(0, 10)
    two.begin(1, 10)
    two.append([events(0, 10, 11)])
    two.append([events(0, 11, 12)])
    checkpoint = Checkpoint.load(path.with_name("logs.txt.checkpoint"))
    assert checkpoint
    [(begin, end)] = checkpoint.put_back
    assert path.read_bytes()[begin:end].splitlines() == events(0, 2, 4).lines
    checkpoint.begin_file(0)
    assert not checkpoint.put_back


def test_a_crash_while_lines_come_again_sets_none_aside_twice(two: Archive, path: Path) -> None:
    crashed(two, path, events(0, 2, 4))
    two.position()
    two.append([])
    crashed(two, path, events(0, 2, 5))
    two.begin(0, 10)
    two.begin(1, 10)
    two.append([events(0, 10, 11)])
    assert messages(path) == numbered(0, 1, 0, 1, 2, 3, 4, 10)


def test_a_copy_of_the_files_is_recognized_and_another_file_is_not_cut(
    archive: Archive, path: Path
) -> None:
    """A backup that was restored has another inode."""
    archive.append([events(0, 0, 2)])
    whole = path.read_bytes()
    for content, kept in ((whole, []), (whole[:-5] + b"xxxx" + whole, whole)):
        copy = path.with_name("copy")
        copy.write_bytes(content + b"torn")
        copy.rename(path)
        archive.append([])
        assert path.read_bytes() == (content if kept else whole)


def test_the_checkpoint_is_two_lines_of_text_in_blocks_of_their_own(
    archive: Archive, path: Path
) -> None:
    inode = checkpoint(path).stat().st_ino
    for start in range(3):
        archive.append([events(0, start, start + 1)])
    data = checkpoint(path).read_bytes()
    assert len(data) == 2 * slots.BLOCK
    newest, before = sorted(map(json.loads, data.splitlines()), key=itemgetter("sequence"))[::-1]
    assert newest["topics"][TOPIC]["partitions"]["0"]["next"] == 3
    assert before["topics"][TOPIC]["partitions"]["0"]["next"] == 2
    assert [data[at : at + 7] for at in (0, slots.BLOCK)] == [b'{"crc":'] * 2
    assert checkpoint(path).stat().st_ino == inode, "it is written in place"


@pytest.mark.parametrize("torn", [0, 511, 512, 4_095])
def test_a_torn_slot_leaves_the_checkpoint_before_it(
    archive: Archive, path: Path, torn: int
) -> None:
    archive.append([events(0, 0, 2)])
    archive.append([events(0, 2, 4)])
    at = state(path)["sequence"] % 2 * slots.BLOCK + torn
    with checkpoint(path).open("r+b") as file:
        file.seek(at)
        file.write(b"\0")
    assert archive.position().next == {0: 2}
    archive.append([events(0, 2, 4)])
    assert messages(path) == numbered(0, 1, 2, 3)
    assert archive.position().next == {0: 4}


def test_a_checkpoint_that_outgrows_its_slots_gets_larger_ones(
    archive: Archive, path: Path
) -> None:
    for partition in range(200):
        archive.begin(partition, 0)
    assert checkpoint(path).stat().st_size > 2 * slots.BLOCK
    assert archive.position().next == dict.fromkeys(range(200), 0)


READ = """
import sys
from pathlib import Path
from logpipeline.archive.checkpoint import Checkpoint
last, reads = 0, 0
while last < int(sys.argv[2]):
    known = Checkpoint.load(Path(sys.argv[1]))
    assert known.sequence >= last, (known.sequence, last)
    assert known.length == known.topics["logs"].partitions[0].next
    last, reads = known.sequence, reads + 1
print(reads)
"""


def test_a_reader_beside_a_writer_sees_whole_checkpoints_that_never_go_back(path: Path) -> None:
    known = Checkpoint.new(0)
    known.topic(TOPIC, ID).partitions[0] = Partition(0, 0)
    known.save(checkpoint(path))
    reader = Forked("-c", [READ, str(checkpoint(path)), "3000"], path.with_name("out"), {})
    while known.sequence < 3_000 or reader.running():
        known.length = known.topics[TOPIC].partitions[0].next = known.length + 1
        known.save(checkpoint(path))
    assert reader.wait() == 0, reader.output()


def test_batches_without_events_move_the_checkpoint_alone(archive: Archive, path: Path) -> None:
    archive.append([events(0, 0, 0)])
    assert archive.position().next == {}
    rejected = events(0, 0, 3)
    for column in (rejected.offsets, rejected.lines, rejected.levels, rejected.minutes):
        column.clear()
    archive.append([rejected])
    assert archive.position().next == {0: 3}
    assert path.read_bytes() == b""


def test_two_archives_on_one_file_see_each_others_work(archive: Archive, path: Path) -> None:
    other = opened_at(path)
    archive.append([events(0, 0, 2)])
    other.append([events(0, 0, 3), events(1, 0, 1)])
    archive.append([events(0, 0, 4)])
    assert messages(path) == numbered(0, 1, 2, 0, 3)
    assert archive.position() == other.position()
    other.close()


def test_topics_that_share_a_file_keep_their_own_offsets(archive: Archive, path: Path) -> None:
    other = opened_at(path, topic="other")
    archive.append([events(0, 0, 2)])
    other.append([events(0, 7, 9)])
    assert archive.position().next == {0: 2}
    assert other.position().next == {0: 9}
    assert messages(path) == numbered(0, 1, 7, 8)
    other.close()


def test_a_topic_that_was_made_again_starts_over(
    archive: Archive, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive.append([events(0, 0, 5)])
    again = opened_at(path, "another id")
    assert "topic logs was deleted and created again" in caplog.text
    assert again.position().next == {}
    again.append([events(0, 0, 2)])
    assert messages(path) == numbered(0, 1, 2, 3, 4, 0, 1)
    again.close()


@pytest.mark.parametrize("damage", ["moved", "deleted", "truncated"])
def test_a_file_that_somebody_took_gets_the_events_that_were_not_in_it(
    archive: Archive, path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    archive.append([events(0, 0, 3)])
    moved = path.with_name("moved.txt")
    if damage == "moved":
        path.rename(moved)
    elif damage == "deleted":
        path.unlink()
    else:
        os.truncate(path, 0)
    archive.append([events(0, 0, 5)])
    assert messages(path) == numbered(3, 4)
    assert "was moved, truncated or deleted by another program" in caplog.text
    if damage == "moved":
        assert messages(moved) == numbered(0, 1, 2)


def test_a_file_that_was_cut_within_a_line_keeps_its_whole_lines(
    archive: Archive, path: Path
) -> None:
    archive.append([events(0, 0, 3)])
    os.truncate(path, path.stat().st_size - 5)
    archive.append([events(0, 3, 4)])
    assert messages(path) == numbered(0, 1, 3)


def test_a_checkpoint_deleted_beneath_a_running_consumer_is_written_anew(
    archive: Archive, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive.append([events(0, 0, 3)])
    checkpoint(path).unlink()
    archive.append([events(0, 1, 5)])
    assert messages(path) == numbered(0, 1, 2, 3, 4)
    assert "checkpoint was deleted: restoring it" in caplog.text


def test_a_file_without_a_checkpoint_keeps_its_whole_lines(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(b'{"level":"INFO","message":"old","timestamp":1}\n{"torn')
    archive = opened_at(path)
    archive.append([events(0, 0, 1)])
    assert messages(path) == ["old", "event 0"]
    assert "no checkpoint: appending at its end" in caplog.text
    archive.close()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a checkpoint"),
        (b"\0" * 100, "is not a checkpoint"),
        (b"[]", "is not a checkpoint"),
        (b'{"version":1}', "is not a checkpoint"),
        (b'{"version":1,"archive":"a","length":-5,"topics":{}}', "is not a checkpoint"),
        (b"[" * 5_000 + b"]" * 5_000, "is not a checkpoint"),
        (b'{"version":1,"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}", "is not a checkpoint"),
        (f'{{"version":{VERSION + 1}}}'.encode(), "newer version"),
    ],
)
def test_a_checkpoint_that_is_none_is_said_in_one_line_and_touches_nothing(
    archive: Archive, path: Path, content: bytes, words: str
) -> None:
    archive.append([events(0, 0, 2)])
    checkpoint(path).write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=words) as error:
        archive.append([events(0, 2, 3)])
    assert str(checkpoint(path)) in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(CheckpointError):
        Archive(path, TOPIC).open(ID)
    assert path.read_bytes() == before
    assert checkpoint(path).read_bytes() == content


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_checkpoint_is_read_and_brought_up_to_date(
    archive: Archive, path: Path, version: int
) -> None:
    archive.append([events(0, 0, 2)])
    older = {
        1: ("archive", "length", "topics"),
        2: ("archive", "length", "topics", "begun", "inode"),
    }
    known = {name: state(path)[name] for name in older[version]} | {"version": version}
    checkpoint(path).write_text(json.dumps(known))
    again = opened_at(path)
    again.append([events(0, 1, 4)])
    assert messages(path) == numbered(0, 1, 2, 3)
    assert state(path)["version"] == VERSION
    again.close()


def test_a_full_disk_leaves_no_torn_line_and_is_survived(archive: Archive, path: Path) -> None:
    """RLIMIT_FSIZE stands in for the disk: write() fails in the middle of the batch."""
    archive.append([events(0, 0, 2)])
    before = path.read_bytes()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 1_000, hard))
    try:
        for _ in range(2):
            with pytest.raises(OSError, match="File too large"):
                archive.append([events(0, 2, 1_000)])
            assert path.read_bytes() == before
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    archive.append([events(0, 2, 1_000)])
    assert messages(path) == numbered(*range(1_000))


@pytest.mark.parametrize("deleted", [False, True])
def test_a_checkpoint_that_cannot_be_written_accounts_for_nothing(
    archive: Archive, path: Path, deleted: bool
) -> None:
    """With many partitions it is larger than logs.txt, and the only file that gets too large."""
    archive.append([events(0, 0, 2)])
    for partition in range(1, 100):
        archive.begin(partition, 0)
    if deleted:
        checkpoint(path).unlink()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        for _ in range(2):
            with pytest.raises(OSError, match="File too large"):
                archive.append([events(0, 2, 4)])
            assert archive.position().next[0] == 2
            assert messages(path) == numbered(0, 1, 2, 3), "it may be on disk all the same"
            assert not list(path.parent.glob("*.tmp"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    archive.append([events(0, 2, 4)])
    assert messages(path) == numbered(0, 1, 2, 3)
    assert not path.with_name("logs.txt.cut").exists()


def test_a_problem_is_said_once_and_so_is_its_end(
    archive: Archive, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for _ in range(3):
        archive.complain(OSError("No space left on device"))
    for start in range(3):
        archive.append([events(0, start, start + 1)])
    assert caplog.messages == [
        f"{path}: cannot write, retrying: No space left on device",
        f"{path}: writing again",
    ]


def test_records_that_do_not_follow_are_no_failed_write(
    archive: Archive, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    archive.append([events(0, 0, 1)])
    with pytest.raises(OffsetGap) as gap:
        archive.append([events(0, 2, 3)])
    archive.complain(gap.value)
    said = "partition 0: records begin at offset 2, expected 1"
    assert caplog.messages == [f"{path}: reading again: {said}"]


def test_the_tail_is_whole_lines_and_the_offsets_after_them(archive: Archive, path: Path) -> None:
    archive.append([events(0, 0, 100), events(1, 5, 6)])
    whole = archive.tail(2**20)
    assert b"\n".join(whole.lines) + b"\n" == path.read_bytes()
    assert {p: place.offset for p, place in whole.places.items()} == {0: 100, 1: 6}
    with path.open("ab") as file:
        file.write(b"a torn tail")
    part = archive.tail(1_000)
    assert part.lines == whole.lines[-len(part.lines) :]
    assert 5 < len(part.lines) < 100


HOLD = "from pathlib import Path; from logpipeline.locks import locked; import sys, time\n"
HOLD += "with locked(Path(sys.argv[1])): print(flush=True); time.sleep(60)"


def test_a_lock_is_waited_for_in_bounds_and_a_dead_holder_holds_nothing(
    archive: Archive, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    command = [sys.executable, "-c", HOLD, str(path.with_name("logs.txt.lock"))]
    read, write = os.pipe()
    holder = spawn(command, env={"PYTHONPATH": str(ROOT)}, stdout=write)
    os.close(write)
    with os.fdopen(read) as output:
        output.readline()
    with pytest.raises(TimeoutError, match="another process holds"):
        archive.append([events(0, 0, 1)])
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    archive.append([events(0, 0, 1)])
    assert messages(path) == numbered(0)


def test_a_lock_file_that_was_deleted_protects_all_the_same(
    archive: Archive, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    other = opened_at(path)
    path.with_name("logs.txt.lock").unlink()
    with locks.locked(path.with_name("logs.txt.lock")), pytest.raises(TimeoutError):
        other.append([events(0, 0, 1)])
    other.append([events(0, 0, 1)])
    other.close()


APPEND = """
import sys
from pathlib import Path
from logpipeline.archive.archive import Archive
from tests.support.records import events
archive = Archive(Path(sys.argv[1]), "logs")
archive.open("topic-id")
for start in range(0, 100_000, 3):
    archive.append([events(p, max(0, start - 4), start + 3) for p in range(4)])
"""


def test_writers_that_are_killed_at_any_moment_leave_each_event_once(path: Path) -> None:
    output = path.with_name("writers.output")
    for round_ in range(10):
        before = path.stat().st_size if path.exists() else 0
        writers = [Forked("-c", [APPEND, str(path)], output, dict(os.environ)) for _ in range(2)]
        until(lambda: path.exists() and path.stat().st_size > before + 5_000, 20)  # noqa: B023
        for writer in writers:
            writer.kill()
        archive = opened_at(path)
        found = [json.loads(line) for line in path.read_bytes().splitlines()]
        for partition, end in archive.position().next.items():
            mine = [line["message"] for line in found if line["partition"] == partition]
            assert mine == numbered(*range(end)), f"round {round_}"
        archive.close()
