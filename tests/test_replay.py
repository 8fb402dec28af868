"""replay.py: what is sent again, once, whatever happens to it, Kafka or the files."""

import gzip
import json
import random
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.consumer.fetcher import ConsumerRecord

import replay
from config import Settings
from logpipeline.kafka import topics
from logpipeline.localstack.kafka import Kafka
from logpipeline.moment import moment
from logpipeline.replay.ranges import Ranges
from logpipeline.shutdown import Shutdown
from tests.conftest import RunScript
from tests.support.drain import end_offsets, watching
from tests.support.forked import Forked
from tests.support.process import Process
from tests.support.records import event
from tests.support.topics import read_all, send
from tests.support.waiting import until

BAD = b"no event"
SOON = {
    "logpipeline.kafka.transactions.OPEN_MS": 2_000,
    "logpipeline.kafka.transactions.PATIENCE": 3.0,
    "logpipeline.shutdown.LONGEST_WAIT": 0.5,
}


def put_letters(
    settings: Settings,
    letters: Iterable[tuple[int, bytes]],
    name: str = "",
    topic_id: str = "of a topic that is gone",
    stamps: Sequence[float] = (),
) -> None:
    """Put (source offset, value) into the dead-letter topic, as a consumer would."""
    assert topics.ensure(settings, Shutdown(), topics.to_read(settings))
    with closing(KafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers)) as producer:
        for number, (offset, value) in enumerate(letters):
            headers = [
                ("error", b"it was none"),
                ("source.topic", (name or settings.kafka_topic).encode()),
                ("source.partition", b"0"),
                ("source.offset", b"%d" % offset),
                ("source.topic_id", topic_id.encode()),
            ]
            stamp = int(stamps[number] * 1_000) if stamps else None
            key = b"key %d" % (offset % 5)
            at = settings.kafka_dead_letter_topic
            producer.send(at, value, key, headers, timestamp_ms=stamp)
        producer.flush(30)


def events(count: int) -> list[tuple[int, bytes]]:
    return list(enumerate(bodies(count)))


def bodies(count: int) -> list[bytes]:
    return [event(number) for number in range(count)]


def committed(settings: Settings, name: str = "") -> list[ConsumerRecord]:
    """What a reader of the topic gets, without what transactions took back."""
    return read_all(settings.kafka_bootstrap_servers, name or settings.kafka_topic)


def assert_has(settings: Settings, expected: Iterable[bytes]) -> None:
    """That the topic has these and no others. Readers see a transaction's end a little later than
    its sender."""
    wanted = sorted(expected)

    def found() -> list[bytes]:
        return sorted(record.value for record in committed(settings))

    until(lambda: len(found()) >= len(wanted), 30)
    assert found() == wanted


def totals(run: Process) -> str:
    [line] = [line for line in run.output().splitlines() if " events again in " in line]
    return line.split("INFO ")[1]


def test_dead_letters_of_a_time_go_again_as_they_were_and_marked(
    run_script: RunScript, settings: Settings
) -> None:
    now = int(time.time())  # in whole milliseconds, as Kafka has them
    letters = [(number, event(number)) for number in range(30)]
    letters[7] = (7, BAD)
    letters[8] = (8, b"{}")
    stamps = [now - 3_600 + 60 * number for number in range(30)]
    put_letters(settings, letters, stamps=stamps)
    since, to = f"{stamps[5]:.3f}", f"{stamps[20]:.3f}"
    run = run_script("replay.py", "--since", since, "--to", to)
    assert run.wait(60) == 0, run
    assert_has(settings, [value for number, value in letters[5:20] if number not in (7, 8)])
    found = committed(settings)
    places = {
        record.value: f"{record.topic}[{record.partition}]@{record.offset}".encode()
        for record in committed(settings, settings.kafka_dead_letter_topic)
    }
    of_key: dict[bytes, list[int]] = {}
    for record in found:
        headers = dict(record.headers)
        offset = int(headers["source.offset"])
        assert headers["replayed"] == places[record.value]
        assert "error" not in headers
        assert record.key == b"key %d" % (offset % 5)
        of_key.setdefault(record.key, []).append(offset)
    assert all(offsets == sorted(offsets) for offsets in of_key.values())
    assert totals(run).startswith("sent 13 events again in ")
    assert "; 0 were sent before, 2 are invalid (" in totals(run)
    assert "1 broken JSON" in totals(run)
    assert "1 missing level" in totals(run)
    assert run.output().count("invalid record, not sent") == 2


def test_a_second_run_sends_nothing_unless_it_is_asked_again(
    run_script: RunScript, settings: Settings
) -> None:
    put_letters(settings, events(20))

    def sent(*options: str) -> str:
        run = run_script("replay.py", "--since", "1h", *options)
        assert run.wait(60) == 0, run
        return totals(run)

    assert "sent 20 events" in sent()
    assert "sent 0 events" in (line := sent())
    assert "20 were sent before" in line
    assert "sent 20 events" in sent("--again", "twice")
    assert "sent 0 events" in sent("--again", "twice")
    assert "sent 0 events" in sent()
    assert_has(settings, 2 * bodies(20))
    assert {record.value for record in committed(settings, f"{settings.kafka_topic}.replayed")}


def test_two_letters_of_one_record_are_one_and_those_of_a_topic_made_again_are_others(
    run_script: RunScript, settings: Settings
) -> None:
    put_letters(settings, [(1, event(1)), (2, event(2)), (1, event(1))], topic_id="a")
    put_letters(settings, [(1, event(3))], topic_id="b")
    put_letters(settings, [(1, event(4))], name="another-topic")
    run = run_script("replay.py", "--since", "1h")
    assert run.wait(60) == 0, run
    assert_has(settings, [event(1), event(2), event(3)])
    assert totals(run).endswith("1 are of other topics")


def test_a_dry_run_says_what_would_be_sent_and_leaves_no_trace(
    run_script: RunScript, settings: Settings, kafka_admin: KafkaAdminClient
) -> None:
    put_letters(settings, [*events(20), (20, BAD)])
    run = run_script("replay.py", "--since", "1h", "--dry-run")
    assert run.wait(60) == 0, run
    assert "would send 20 events; 0 were sent before, 1 are invalid" in run.output()
    assert_has(settings, [])
    assert f"{settings.kafka_topic}.replayed" not in kafka_admin.list_topics()


def test_the_rate_is_not_exceeded(run_script: RunScript, settings: Settings) -> None:
    put_letters(settings, events(300))
    run = run_script("replay.py", "--since", "1h", "--rate", "100")
    assert run.wait(60) == 0, run
    assert_has(settings, bodies(300))
    stamps = sorted(record.timestamp for record in committed(settings))
    assert stamps[-1] - stamps[0] > 1_500  # ms; 2,900 but for a slow start


def test_killed_again_and_again_it_sends_everything_once(
    run_script: RunScript, settings: Settings
) -> None:
    letters = events(5_000)
    blocks = {"logpipeline.replay.run.MOST_EVENTS": 250}  # 20 of them
    put_letters(settings, letters)
    dice, killed = random.Random(8), 0
    consumer = run_script("consumer.py")
    with watching(settings) as written:
        while True:
            run = run_script("replay.py", "--since", "1h", "--rate", "0", constants=blocks)
            enough = written() + dice.randrange(1, 1_250)
            while run.running() and written() < enough:
                time.sleep(0.01)
            if not run.running():
                break
            run.kill()
            killed += 1
    assert killed >= 3
    assert run.wait() == 0, run
    assert _written(settings) > 5_000 + killed  # with what was taken back
    expected = sorted(value for _, value in letters)
    assert_has(settings, expected)
    until(lambda: _lines(settings) >= 5_000, 60)
    consumer.terminate()
    assert consumer.wait() == 0, consumer
    assert sorted(settings.log_file.read_bytes().splitlines()) == expected
    audit = run_script("verify.py")
    assert audit.wait(60) == 0, audit


def test_what_another_run_is_just_committing_is_not_sent_again(
    run_script: RunScript, settings: Settings
) -> None:
    put_letters(settings, events(20))
    first = run_script("replay.py", "--since", "1h", "--rate", "0")
    assert first.wait(60) == 0, first
    name = f"{settings.kafka_topic}.replayed"
    entries = [json.loads(record.value) for record in committed(settings, name)]
    servers = settings.kafka_bootstrap_servers
    with closing(KafkaProducer(bootstrap_servers=servers, transactional_id=name)) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        for entry in entries:
            theirs = entry | {"run": "another", "again": "word"}
            producer.send(name, json.dumps(theirs).encode()).get(30)
        run = run_script("replay.py", "--since", "1h", "--rate", "0", "--again", "word")
        time.sleep(1)  # in which it could send them
        producer.commit_transaction()
    assert run.wait(60) == 0, run
    assert "sent 0 events again" in totals(run)
    assert "20 were sent before" in totals(run)
    assert_has(settings, bodies(20))


# A consumer from before the fix: it does not know this level yet.
BEFORE_THE_FIX = """
from logpipeline.events import event
event.LEVEL_OF = {name: level for name, level in event.LEVEL_OF.items() if name.upper() != "SILLY"}
import consumer
consumer.main()
"""


def test_after_a_fix_everything_is_in_logs_txt_and_verify_agrees(
    run_script: RunScript, settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    assert topics.ensure(settings, Shutdown(), topics.to_read(settings))
    mixed = [event(number, level="SILLY" if number % 3 else "INFO") for number in range(300)]
    send(settings.kafka_bootstrap_servers, settings.kafka_topic, [*mixed, BAD])
    old = Forked("-c", [BEFORE_THE_FIX], tmp_path / "old.output", environment)
    until(lambda: settings.log_file.exists() and _lines(settings) == 100, 60, str(old))
    old.terminate()
    assert old.wait() == 0, old

    consumer = run_script("consumer.py")
    run = run_script("replay.py", "--since", "1h")
    assert run.wait(60) == 0, run
    assert "sent 200 events again" in totals(run)
    assert "1 are invalid (1 broken JSON)" in totals(run)
    until(lambda: _lines(settings) >= 300, 60, str(consumer))
    assert sorted(settings.log_file.read_bytes().splitlines()) == sorted(mixed)
    audit = run_script("verify.py")
    assert audit.wait(60) == 0, audit


def _lines(settings: Settings) -> int:
    return settings.log_file.read_bytes().count(b"\n")


def _written(settings: Settings) -> int:
    """Offsets in use, with those of what was taken back."""
    return sum(end_offsets(settings).values())


def test_one_that_was_frozen_while_another_did_the_work_sends_nothing_more(
    run_script: RunScript, settings: Settings
) -> None:
    put_letters(settings, events(2_000))
    frozen = run_script("replay.py", "--since", "1h", "--rate", "200")
    until(lambda: _written(settings) > 50, 60)
    frozen.signal(signal.SIGSTOP)
    other = run_script("replay.py", "--since", "1h", "--rate", "0")
    assert other.wait(60) == 0, other
    frozen.signal(signal.SIGCONT)
    assert frozen.wait(60) == 1, frozen
    assert "another replay has begun" in frozen.output()
    assert "Traceback" not in frozen.output()
    assert_has(settings, bodies(2_000))


def test_kafka_killed_for_a_while_loses_and_doubles_nothing(
    run_script: RunScript, environment: dict[str, str], own_kafka: Kafka, settings: Settings
) -> None:
    mine = settings.model_copy(update={"kafka_bootstrap_servers": own_kafka.bootstrap})
    env = environment | {"KAFKA_BOOTSTRAP_SERVERS": own_kafka.bootstrap}
    put_letters(mine, events(3_000))
    options = ["--since", "1h", "--rate", "1000"]
    run = run_script("replay.py", *options, env=env, constants=SOON)
    until(lambda: _written(mine) > 200, 60)
    own_kafka.kill()
    run.wait_for("cannot send, retrying", 60)
    own_kafka.start()
    assert run.wait(120) == 0, run
    assert "sent 3,000 events again" in totals(run)
    assert_has(mine, bodies(3_000))


def test_a_stop_ends_it_and_the_next_run_goes_on(run_script: RunScript, settings: Settings) -> None:
    put_letters(settings, events(1_000))
    run = run_script("replay.py", "--since", "1h", "--rate", "100")
    until(lambda: _written(settings) > 50, 60)
    run.terminate()
    assert run.wait(10) == 1, run
    sent = int(totals(run).split()[1])
    assert 0 < sent < 1_000
    again = run_script("replay.py", "--since", "1h", "--rate", "0")
    assert again.wait(60) == 0, again
    assert f"sent {1_000 - sent} events again" in totals(again)
    assert f"{sent} were sent before" in totals(again)
    assert_has(settings, bodies(1_000))


def test_what_the_topic_does_not_take_is_counted_and_the_others_go(
    run_script: RunScript, settings: Settings, kafka_admin: KafkaAdminClient
) -> None:
    tight = {"num_partitions": 2, "configs": {"max.message.bytes": "2000"}}
    kafka_admin.create_topics({settings.kafka_topic: tight}, wait_for_metadata=True)
    large = "".join(random.Random(1).choices("abcdefghijklmnop", k=5_000))
    put_letters(settings, [*events(20), (20, event(20, message=large)), (21, event(21))])
    run = run_script("replay.py", "--since", "1h")
    assert run.wait(60) == 1, run
    assert "sent 21 events again" in totals(run)
    assert "1 undelivered" in totals(run)
    assert f"not delivered: {settings.kafka_dead_letter_topic}[" in run.output()
    assert_has(settings, [*bodies(20), event(21)])


def test_events_of_files_go_again_by_their_time_and_however_they_are_packed(
    run_script: RunScript, settings: Settings, tmp_path: Path
) -> None:
    first = [
        event(number, service=f"s{number % 3}", timestamp=1_000_000_000 + number)
        for number in range(50)
    ]
    second = [event(number, timestamp=1_000_000_000 + number) for number in range(50, 60)]
    body = b"\n".join([*first[:20], BAD, *first[20:]]) + b"\n"
    packed = tmp_path / "logs-20261124T190501.123456Z.txt.zst"
    packer = zstandard.ZstdCompressor()
    packed.write_bytes(packer.compress(body[:700]) + packer.compress(body[700:]))
    other = tmp_path / "logs.txt.1"
    other.write_bytes(b"\n".join(second) + b"\n")
    window = ("--since", "1000000010", "--to", "1000000055")
    run = run_script("replay.py", *window, "--file", packed.name, other.name)
    assert run.wait(60) == 0, run
    assert totals(run).startswith("sent 45 events again")
    assert "1 are invalid (1 broken JSON)" in totals(run)
    assert_has(settings, first[10:] + second[:5])
    found = committed(settings)
    marks = {record.value: dict(record.headers)["replayed"] for record in found}
    assert marks[first[10]] == f"{packed.name}:11".encode()
    assert marks[first[20]] == f"{packed.name}:22".encode()
    assert {record.key for record in found} == {b"s0", b"s1", b"s2", b"logs"}

    unpacked = tmp_path / "a-copy"
    unpacked.write_bytes(body)
    (tmp_path / "logs.gz").write_bytes(gzip.compress(other.read_bytes()))
    again = run_script("replay.py", "--file", unpacked.name, "logs.gz")
    assert again.wait(60) == 0, again
    assert totals(again).startswith("sent 15 events again")
    assert "45 were sent before" in totals(again)
    elsewhere = settings.model_copy(update={"kafka_topic": f"{settings.kafka_topic}-copy"})
    copy = run_script("replay.py", "--file", unpacked.name, "--kafka-topic", elsewhere.kafka_topic)
    assert copy.wait(60) == 0, copy
    assert_has(elsewhere, first)


@pytest.mark.parametrize("pack", [zstandard.compress, gzip.compress])
def test_of_a_file_that_ends_in_the_middle_nothing_is_sent(
    run_script: RunScript, settings: Settings, tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    assert topics.ensure(settings, Shutdown(), topics.to_read(settings))
    whole = tmp_path / "whole.txt"
    whole.write_bytes(event(1) + b"\n")
    packed = pack(b"".join(event(number) + b"\n" for number in range(50_000)))
    (tmp_path / "half").write_bytes(packed[: len(packed) // 2])
    run = run_script("replay.py", "--file", "whole.txt", "half")
    assert run.wait(60) == 1, run
    assert "half to its end: " in run.output()
    assert "Traceback" not in run.output()
    assert_has(settings, [])


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "--since or --file is required; --since must be 2026-11-24"),
        (["--since", "yesterday"], "--since yesterday: must be 2026-11-24"),
        (["--since", "1h", "--to", "2h"], "--to must be a time after --since"),
        (["--since", "1h", "--rate", "fast"], "--rate fast: must be a number from 0.001, or 0"),
        (["--since", "1h", "--rate", "nan"], "--rate nan: must be a number from 0.001, or 0"),
        (["--since", "1h", "--rate", "-1"], "--rate -1: must be a number from 0.001, or 0"),
        (["--file", "logs.txt"], "--file logs.txt: must be a file that is no longer written"),
        (["--since", "1h", "--kafka-topic", "x" * 245], "must have at most 240 characters"),
    ],
)
def test_nonsense_is_refused_in_one_line(
    argv: list[str],
    said: str,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        replay.main(argv)
    [line] = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert said in line


def test_times_are_said_as_people_say_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert moment("2026-11-24") == 1_795_474_800
        assert moment("2026-11-24T19:00") == moment("2026-11-24 18:00:00Z")
        assert moment("20261124T190501.5Z") == moment("2026-11-24T20:05:01.5+01:00")
        assert moment("20261124") == moment("2026-11-24")
        assert moment("1711234567.89") == 1_711_234_567.89
        assert moment("2h") == pytest.approx(time.time() - 7_200, abs=60)
    finally:
        monkeypatch.undo()
        time.tzset()
    for text in ("", "now", "h", "1w", "-1h", "nan", "inf", "1e9", "2026-13-01", "0001-01-01T00"):
        with pytest.raises(ValueError, match=r"^"):
            moment(text)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8))))
def test_ranges_are_a_set(added: list[tuple[int, int]]) -> None:
    ranges, numbers = Ranges(), set[int]()
    for start, size in added:
        ranges.add(start, start + size)
        numbers.update(range(start, start + size))
    assert [number for number in range(50) if number in ranges] == sorted(numbers)
    assert len(ranges) == len(numbers)
    assert all(end < start for (_, end), (start, _) in pairwise(ranges.pairs()))
