"""logs.txt rotated: each event in one file, by whoever rotates and whoever is killed."""

import gzip
import json
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zstandard

from config import Settings
from logpipeline.archive import packing, retention
from logpipeline.archive.archive import Archive
from logpipeline.archive.checkpoint import Checkpoint
from logpipeline.archive.index import index_path
from logpipeline.archive.metrics import ArchiveMetrics
from logpipeline.archive.retention import Retention
from logpipeline.archive.rotated import RotatedFile, rotated
from logpipeline.archive.rotation_policy import RotationPolicy
from logpipeline.consumer.metrics import Metrics
from logpipeline.events.slices import Slice, pieces, read
from logpipeline.files import sync
from logpipeline.localstack.child import spawn
from tests.support.disk import Disk
from tests.support.forked import Forked
from tests.support.process import ROOT
from tests.support.records import Record, event, events
from tests.support.waiting import until
from tests.test_archive import ID, TOPIC, messages, numbered

LINE = len(events(0, 0, 1).lines[0]) + 1  # bytes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs.txt"


Opened = Callable[[RotationPolicy], Archive]


@pytest.fixture
def opened(path: Path) -> Iterator[Opened]:
    archives = []

    def open_one(limits: RotationPolicy) -> Archive:
        archives.append(Archive(path, TOPIC, limits=limits))
        archives[-1].open(ID)
        return archives[-1]

    yield open_one
    for archive in archives:
        archive.close()


def files(path: Path) -> list[list[str]]:
    """The messages of each file, oldest first."""
    found = []
    for file in rotated(path):
        with file.open() as lines:
            found.append([json.loads(line)["message"] for line in lines])
    return [*found, messages(path)]


def flat(path: Path) -> list[str]:
    return [message for file in files(path) for message in file]


def keep(path: Path, **settings: Any) -> None:
    """Let a keeper do once what there is to do."""
    mine = Settings(_env_file=None, log_file=path, **settings)
    with closing(Retention(mine, ArchiveMetrics())) as keeper:
        keeper.tend()


def finish(path: Path, opened: Opened, number: int) -> list[RotatedFile]:
    """Make so many rotated files of two events each."""
    archive = opened(RotationPolicy(bytes=2 * LINE))
    archive.append([events(0, 0, 2 * number + 1)])
    return rotated(path)


def test_no_file_is_larger_than_log_max_bytes(path: Path, opened: Opened) -> None:
    archive = opened(RotationPolicy(bytes=4 * LINE + 3))
    for start in range(0, 9, 3):
        archive.append([events(0, start, start + 3)])
    assert files(path) == [numbered(0, 1, 2, 3), numbered(4, 5, 6, 7), numbered(8)]
    archive.append([events(1, 0, 9), events(2, 0, 3)])
    assert [len(file) for file in files(path)] == [4, 4, 4, 4, 4, 1]


def test_an_event_larger_than_log_max_bytes_has_a_file_of_its_own(
    path: Path, opened: Opened
) -> None:
    archive = opened(RotationPolicy(bytes=LINE // 2))
    archive.append([events(0, 0, 3)])
    assert files(path) == [["event 0"], ["event 1"], ["event 2"]]


def test_pieces_are_the_batch() -> None:
    rejects = Slice(2, 5, 8)
    batch = [events(0, 0, 7), rejects, events(1, 3, 4), events(3, 0, 0)]
    for room in range(0, 9 * LINE, 7):
        for most in (1, LINE, 3 * LINE + 1, 100 * LINE):
            cut = list(pieces(batch, min(room, most), most))
            parts = [part for piece in cut for part in piece]
            lines = [line for part in parts for line in part.lines]
            assert lines == [line for part in batch for line in part.lines]
            spans: dict[int, list[int]] = {}
            for part in parts:
                span = spans.setdefault(part.partition, [part.start, part.start])
                assert part.start == span[1]
                span[1] = part.end
            assert spans == {p.partition: [p.start, p.end] for p in batch}
            for i, piece in enumerate(cut):
                size = sum(len(line) + 1 for part in piece for line in part.lines)
                assert size <= (most if i else min(room, most)) or size == LINE


def test_an_invalid_record_before_an_event_that_does_not_fit_stays_in_the_batch(
    path: Path, opened: Opened
) -> None:
    records = [Record(0, event(0)), Record(1, b"invalid"), Record(2, event(2))]
    archive = opened(RotationPolicy(bytes=LINE))
    archive.append([read(0, 0, records[:1])])
    assert archive.append([read(0, 1, records[1:])]).next == {0: 3}
    assert flat(path) == numbered(0, 2)


def test_a_period_ends_at_its_full_minute_hour_or_day() -> None:
    limits = RotationPolicy(seconds=3_600)
    assert not limits.over(7_200, 10_799.9)
    assert limits.over(10_799.9, 10_800)
    assert not limits.over(10_800, 7_200), "a clock that was set back"
    assert not RotationPolicy().over(0, 1e9)


def test_a_file_is_rotated_when_its_period_is_over_and_nothing_comes(
    path: Path, opened: Opened
) -> None:
    archive = opened(RotationPolicy(seconds=1))
    archive.append([events(0, 0, 2)])

    def look() -> bool:
        archive.append([])
        return len(rotated(path)) == 1

    until(look)
    archive.append([])
    assert files(path) == [numbered(0, 1), []]
    assert len(rotated(path)) == 1, "an empty file is not rotated"


def test_names_sort_by_time_and_end_as_the_log_does(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "my.app.log", TOPIC, limits=RotationPolicy(bytes=LINE))
    archive.open(ID)
    before = time.time()
    archive.append([events(0, 0, 50)])
    archive.close()
    found = rotated(tmp_path / "my.app.log")
    assert [json.loads(file.plain.read_bytes())["message"] for file in found] == numbered(
        *range(49)
    )
    assert all(file.plain.name.startswith("my.app-2") for file in found)
    assert all(file.plain.suffix == ".log" for file in found)
    assert before - 1 < found[0].ended.timestamp() < time.time() + 1


def test_a_clock_that_was_set_back_does_not_change_the_order(path: Path, opened: Opened) -> None:
    (path.parent / "logs-29990101T000000.000000Z.txt").touch()
    assert finish(path, opened, 2)[0].stamp == "29990101T000000.000000Z"
    assert [file.stamp for file in rotated(path)[1:]] == [
        "29990101T000000.000001Z",
        "29990101T000000.000002Z",
    ]


def test_each_file_has_its_own_checkpoint(path: Path, opened: Opened) -> None:
    first, second = finish(path, opened, 2)
    spans = []
    for file in first, second:
        checkpoint = file.checkpoint()
        assert checkpoint
        assert checkpoint.length == 2 * LINE
        at = checkpoint.topics[TOPIC].partitions[0]
        spans.append((at.first, at.next))
    assert spans == [(0, 2), (2, 4)]
    current = Checkpoint.load(path.with_name("logs.txt.checkpoint"))
    assert current
    assert current.topics[TOPIC].partitions[0].first == 4


def test_the_tail_goes_on_into_rotated_files(path: Path, opened: Opened) -> None:
    finish(path, opened, 5)
    archive = opened(RotationPolicy())
    keep(path, log_compress="gz")
    for number in range(1, 12):
        tail = archive.tail(number * LINE + 5)
        assert [json.loads(line)["message"] for line in tail.lines] == numbered(
            *range(11 - number, 11)
        )
    assert len(archive.tail(10**6).lines) == 11
    assert {p: place.offset for p, place in archive.tail(10**6).places.items()} == {0: 11}


def test_the_tail_begins_after_a_rotated_file_that_is_broken(
    path: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    finish(path, opened, 3)
    archive = opened(RotationPolicy())
    keep(path, log_compress="zst")
    broken = rotated(path)[1].path()
    broken.write_bytes(broken.read_bytes()[:-4])
    tail = archive.tail(10**6)
    assert [json.loads(line)["message"] for line in tail.lines] == numbered(4, 5, 6)
    assert {p: place.offset for p, place in tail.places.items()} == {0: 7}
    assert f"cannot unpack {broken}" in caplog.text


BOMB = 512 * 2**20  # bytes, unpacked


@pytest.mark.parametrize("kind", ["zst", "gz"])
def test_a_packed_file_of_half_a_gigabyte_takes_little_memory(path: Path, kind: str) -> None:
    file = RotatedFile("20261123T110000.000000Z", path)
    packed = file.packed(f".{kind}")
    with packed.open("wb") as target, closing(packing.packer(target, f".{kind}", BOMB)) as packer:
        for _ in range(BOMB // 2**20):
            packer.write(bytes(2**20))
    assert packed.stat().st_size < BOMB // 1_000
    tracemalloc.start()
    try:
        assert file.end(2**20) == bytes(2**20)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


PROGRAM: dict[str, Callable[[Path], bytes]] = {
    "zst": lambda path: zstandard.decompress(path.read_bytes()),
    "gz": lambda path: gzip.decompress(path.read_bytes()),
}


@pytest.mark.parametrize("kind", PROGRAM)
def test_finished_files_are_packed_and_hold_the_same(path: Path, opened: Opened, kind: str) -> None:
    found = finish(path, opened, 3)
    times = [file.plain.stat().st_mtime for file in found]
    keep(path, log_compress=kind)
    for file, written in zip(found, times, strict=True):
        packed = file.packed(f".{kind}")
        assert file.path() == packed
        assert not file.plain.exists()
        assert packed.stat().st_mtime == written
        assert len(PROGRAM[kind](packed).splitlines()) == 2
    assert flat(path) == numbered(*range(7))


def test_what_a_kill_left_is_cleared_and_nothing_else(path: Path, opened: Opened) -> None:
    first, second, third = finish(path, opened, 3)
    second.packed(".zst.tmp").write_bytes(b"half")
    third.packed(".zst").write_bytes(zstandard.compress(third.plain.read_bytes()))
    first.plain.unlink()
    index_path(first).write_bytes(b"of a deleted file")
    index_path(second).with_suffix(".index.0123456789abcdef.tmp").write_bytes(b"half")
    begun = path.with_name("logs-29990101T000000.000000Z.txt.checkpoint")
    begun.write_bytes(b"a rotation that has just begun")
    stranger = path.with_name("logs-of-mine.txt.tmp")
    stranger.touch()
    keep(path)
    assert sorted(each.name for each in path.parent.glob("logs-*")) == sorted(
        [
            *(second.packed(".zst").name, second.sidecar.name, index_path(second).name),
            *(third.packed(".zst").name, third.sidecar.name, index_path(third).name),
            *(begun.name, stranger.name),
        ]
    )
    assert files(path) == [numbered(2, 3), numbered(4, 5), numbered(6)]


def test_the_first_rotation_may_have_just_begun(path: Path) -> None:
    begun = path.with_name("logs-20261124T204649.006384Z.txt.checkpoint")
    begun.write_bytes(b"a rotation that has just begun")
    keep(path)
    assert begun.exists()


def test_the_oldest_are_deleted_as_far_as_the_settings_say(path: Path, opened: Opened) -> None:
    found = finish(path, opened, 5)
    keep(path, log_compress="none")
    assert rotated(path) == found, "all are kept by default"
    keep(path, log_compress="none", log_keep_files=4)
    assert rotated(path) == found[1:]
    keep(path, log_compress="none", log_keep_bytes=7 * LINE)
    assert rotated(path) == found[2:]
    old = found[2].plain.with_name("logs-20200101T000000.000000Z.txt")
    found[2].plain.rename(old)
    keep(path, log_compress="none", log_keep_days=30)
    assert rotated(path) == found[3:]
    assert not found[2].sidecar.exists()
    assert messages(path) == numbered(10)


def test_what_is_deleted_while_its_packing_fails_leaves_nothing(
    path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    oldest, newest = finish(path, opened, 2)

    def fail_once(folder: Path) -> None:
        monkeypatch.setattr(retention, "sync", sync)
        assert oldest.plain.exists()
        raise OSError("I/O error")

    monkeypatch.setattr(retention, "sync", fail_once)
    with pytest.raises(OSError, match="I/O error"):
        keep(path, log_keep_files=1)
    assert rotated(path) == [newest]
    assert not [*path.parent.glob(f"*{oldest.stamp}*")]


def test_the_checkpoint_of_a_deleted_file_stays_until_the_deletion_is_on_disk(
    path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, a power cut may bring the file back."""
    oldest, newest = finish(path, opened, 2)
    keep(path)

    def fail(folder: Path) -> None:
        raise OSError("I/O error")

    with monkeypatch.context() as failing:
        failing.setattr(retention, "sync", fail)
        for _ in range(2):
            with pytest.raises(OSError, match="I/O error"):
                keep(path, log_keep_files=1)
            assert rotated(path) == [newest]
            assert oldest.sidecar.exists()
    keep(path, log_keep_files=1)
    assert not [*path.parent.glob(f"*{oldest.stamp}*")]


def test_one_keeper_works_at_a_time(path: Path, opened: Opened) -> None:
    found = finish(path, opened, 1)
    code = (
        "from logpipeline.locks import locked; from pathlib import Path; import sys, time\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    holder = spawn(
        [sys.executable, "-c", code, str(path.with_name("logs.txt.keeper.lock"))],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout
    with holder.stdout as said:
        assert said.readline() == b"held\n"
        keep(path)
        assert found[0].path() == found[0].plain
        holder.kill()
        holder.wait()
    keep(path)
    assert found[0].path() == found[0].packed(".zst")


@pytest.mark.needs("mount")
def test_a_full_disk_leaves_rotated_files_as_they_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    disk = Disk(tmp_path)
    disk.fill()
    path = tmp_path / "logs.txt"
    metrics = Metrics()
    try:
        archive = Archive(path, TOPIC, limits=RotationPolicy(bytes=2 * LINE))
        archive.open(ID)
        archive.append([events(0, 0, 5)])
        archive.close()
        filler = (tmp_path / "filler").open("wb", buffering=0)
        with filler, suppress(OSError):
            while filler.write(b"full" * 1_000):
                pass
        settings = Settings(_env_file=None, log_file=path)
        with closing(Retention(settings, metrics.archive)):
            until(lambda: "cannot pack or delete rotated files" in caplog.text)
            assert files(path) == [numbered(0, 1), numbered(2, 3), numbered(4)]
            (tmp_path / "filler").unlink()
            until(lambda: len(list(tmp_path.glob("*.zst"))) == 2)
            until(lambda: "packing and deleting rotated files again" in caplog.text)
        assert flat(path) == numbered(*range(5))
    finally:
        disk.close()


def test_too_little_room_is_waited_for(path: Path, opened: Opened) -> None:
    archive = opened(RotationPolicy(free=2**60))
    with pytest.raises(OSError, match=r"^its disk has less than LOG_MIN_FREE_BYTES=\d+ left$"):
        archive.append([events(0, 0, 2)])
    assert messages(path) == []
    archive = opened(RotationPolicy(free=1))
    archive.append([events(0, 0, 2)])
    assert messages(path) == numbered(0, 1)


def test_logrotates_rename_is_followed_and_a_torn_end_does_not_go_along(
    path: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    archive = opened(RotationPolicy())
    archive.append([events(0, 0, 2)])
    with path.open("ab") as file:
        file.write(events(0, 2, 3).lines[0])
    moved = path.rename(path.with_name("logs.txt.1"))
    archive.append([events(0, 0, 4)])
    assert messages(moved) == numbered(0, 1)
    assert messages(path) == numbered(2, 3)
    assert f"{path} was rotated to {moved}" in caplog.text
    assert "by another program" not in caplog.text


def test_a_file_that_only_has_the_inode_is_let_alone(path: Path, opened: Opened) -> None:
    archive = opened(RotationPolicy())
    archive.append([events(0, 0, 2)])
    somebodys = path.with_name("mine.txt")
    os.link(path, somebodys)
    path.unlink()
    with somebodys.open("ab") as file:
        file.write(b"precious")
    archive.append([events(0, 2, 3)])
    assert somebodys.read_bytes().endswith(b"precious")
    assert messages(path) == numbered(2)


def test_copytruncate_is_followed(
    path: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    archive = opened(RotationPolicy())
    archive.append([events(0, 0, 2)])
    copy = path.with_name("logs.txt.1")
    copy.write_bytes(path.read_bytes())
    os.truncate(path, 0)
    archive.append([events(0, 2, 4)])
    assert messages(copy) + messages(path) == numbered(0, 1, 2, 3)
    assert "truncated" in caplog.text


def test_a_truncation_in_the_middle_of_a_write_loses_and_doubles_nothing(
    path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = opened(RotationPolicy())
    archive.append([events(0, 0, 2)])
    write = os.write

    def truncated_meanwhile(fd: int, data: bytes) -> int:
        os.truncate(path, 0)
        return write(fd, data)

    monkeypatch.setattr(os, "write", truncated_meanwhile)
    with pytest.raises(OSError, match="another program truncated it"):
        archive.append([events(0, 2, 4)])
    monkeypatch.undo()
    archive.append([events(0, 2, 4)])
    assert messages(path) == numbered(2, 3)


WRITER = """
import sys
from pathlib import Path
from logpipeline.archive.archive import Archive
from logpipeline.archive.rotation_policy import RotationPolicy
from tests.support.records import Record, event, events
archive = Archive(Path(sys.argv[1]), "logs", limits=RotationPolicy(bytes=int(sys.argv[2])))
archive.open("topic-id")
at = archive.position().next.get(0, 0)
while True:
    archive.append([events(0, at, at + 7)])
    at += 7
"""


def test_writers_and_keepers_killed_at_any_moment_leave_each_event_once(path: Path) -> None:
    settings = Settings(_env_file=None, log_file=path, log_compress="gz")
    with closing(Retention(settings, ArchiveMetrics())):
        for round_ in range(12):
            arguments = [WRITER, str(path), str(20 * LINE)]
            writer = Forked("-c", arguments, path.with_name("output"), dict(os.environ))
            before = len(rotated(path))
            many = partial(lambda before: len(rotated(path)) > before + 3, before)
            until(many, 30)
            time.sleep(round_ / 2_000)
            writer.kill()
        archive = Archive(path, TOPIC)
        archive.open(ID)
        archive.append([])
        archive.close()
    seen = flat(path)
    assert seen == numbered(*range(len(seen)))
    assert len(seen) > 12 * 3 * 20
    assert all(len(file) <= 20 for file in files(path))


LOGROTATE = """
{path} {{
    rotate 100
    compress
    delaycompress
    nocreate
}}
"""


@pytest.mark.needs("logrotate")
def test_logrotate_and_kills_leave_each_event_once(path: Path) -> None:
    config, state = path.with_name("logrotate.conf"), path.with_name("logrotate.state")
    config.write_text(LOGROTATE.format(path=path))
    config.chmod(0o644)
    for round_ in range(6):
        output = path.with_name("output")
        writer = Forked("-c", [WRITER, str(path), "0"], output, dict(os.environ))
        until(lambda: path.exists() and path.stat().st_size > 50 * LINE, 30)
        if round_ % 2:
            writer.kill()
        subprocess.run(["logrotate", "--force", "--state", state, config], check=True)
        if not round_ % 2:
            until(lambda: path.exists() and path.stat().st_size > 50 * LINE, 30)
            writer.kill()
    with closing(Archive(path, TOPIC)) as archive:
        archive.open(ID)
    packed = [path.with_name(f"logs.txt.{number}.gz") for number in (6, 5, 4, 3, 2)]
    data = b"".join(gzip.decompress(each.read_bytes()) for each in packed)
    data += path.with_name("logs.txt.1").read_bytes() + path.read_bytes()
    seen = [json.loads(line)["message"] for line in data.splitlines()]
    assert seen == numbered(*range(len(seen)))
