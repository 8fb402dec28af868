"""verify.py: that it names each kind of damage, and that a sound pipeline has none."""

import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from redis import Redis

import config
import verify
from config import Settings
from logpipeline.archive.checkpoint import Checkpoint, Partition
from logpipeline.archive.rotated import next_rotated, rotated
from logpipeline.kafka import clients
from logpipeline.localstack.server import free_port
from logpipeline.localstack.stack import variables
from logpipeline.locks import locked
from logpipeline.verify import interleaving, snapshot
from tests.conftest import RunScript
from tests.support.drain import end_offsets, lag
from tests.support.forked import Forked, completed_text
from tests.support.records import event
from tests.support.waiting import until

if TYPE_CHECKING:
    from kafka.admin import KafkaAdminClient

PARTITIONS = 3
EVENTS = 400  # of each partition
CAP = 100
BEGAN = int(time.time()) - 3_600  # Unix seconds, of the first event
ROTATED_BYTES = 20_000
LEVELS = ("INFO", "INFO", "INFO", "warn", "ERROR")


RETRY_MS = 10  # kafka-python waits so long whenever it has nothing to fetch yet


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(clients.QUICK, "retry_backoff_ms", RETRY_MS)


@dataclass
class Pipeline:
    """Kafka, logs.txt and Redis after a consumer has run, or a copy of the latter two."""

    settings: Settings
    redis: Any  # its stubs want str where bytes are as good

    @property
    def log_file(self) -> Path:
        return self.settings.log_file

    def copy(self, folder: Path) -> "Pipeline":
        """The same topic with a logs.txt and Redis keys of its own, to be damaged."""
        folder.mkdir()
        for path in self.log_file.parent.glob(f"{self.log_file.stem}*"):
            (folder / path.name).write_bytes(path.read_bytes())
        key = f"{self.settings.redis_key}-{secrets.token_hex(4)}"
        with self.redis.pipeline(transaction=False) as copying:
            for name in self.redis.scan_iter(f"{self.settings.redis_key}*", count=10_000):
                rest = name.decode().removeprefix(self.settings.redis_key)
                if rest[:1] in {"", ":"}:
                    copying.copy(name.decode(), key + rest)
            copying.execute()
        changed = {"log_file": folder / self.log_file.name, "redis_key": key}
        return Pipeline(self.settings.model_copy(update=changed), self.redis)

    def lines(self) -> list[bytes]:
        return self.log_file.read_bytes().split(b"\n")[:-1]

    def write(self, lines: list[bytes]) -> None:
        """Replace logs.txt, and let the checkpoint account for it."""
        data = b"".join(line + b"\n" for line in lines)
        self.log_file.write_bytes(data)
        self.edit_checkpoint(lambda checkpoint: setattr(checkpoint, "length", len(data)))

    def edit_checkpoint(self, edit: Callable[[Checkpoint], object]) -> None:
        path = self.log_file.with_name(self.log_file.name + ".checkpoint")
        checkpoint = Checkpoint.load(path)
        assert checkpoint
        edit(checkpoint)
        checkpoint.save(path)

    def rotate(self) -> None:
        finished = next_rotated(self.log_file, datetime.now(UTC))
        self.edit_checkpoint(lambda checkpoint: checkpoint.save_copy(finished.sidecar, None))
        self.log_file.rename(finished.plain)
        self.log_file.touch()
        inode = self.log_file.stat().st_ino
        self.edit_checkpoint(lambda checkpoint: checkpoint.begin_file(inode))

    def edit_partition(self, number: int, edit: Callable[[Partition], object]) -> None:
        topic = self.settings.kafka_topic
        self.edit_checkpoint(lambda checkpoint: edit(checkpoint.topics[topic].partitions[number]))

    def at(self, partition: int, first: int | str, last: int | None = None) -> str:
        """How the events of a partition are named; their numbers for offsets."""
        name = f"{self.settings.kafka_topic}[{partition}]"
        if isinstance(first, str):
            return name
        return f"{name}@{first}" + (f" to {last}" if last else "")

    def newest(self, index: int, rest: str = "") -> bytes:
        line: bytes = self.redis.lindex(self.key(rest), index)
        return line

    def swap(self, one: int, other: int) -> None:
        lines = self.newest(one), self.newest(other)
        self.redis.lset(self.key(), one, lines[1])
        self.redis.lset(self.key(), other, lines[0])

    def count_once_more(self) -> None:
        key = next(self.redis.scan_iter(self.key(":counts:*"), count=10_000))
        self.redis.hincrby(key, self.redis.hkeys(key)[0], 1)

    def key(self, rest: str = "") -> str:
        return self.settings.redis_key + rest

    def verify(self, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, str]]:
        """The exit status, and what it says of each: "Kafka", "logs.txt" and "Redis"."""
        flags = {n: str(value) for n, value in self.settings if n in config.Verify.model_fields}
        argv = [word for n, v in flags.items() for word in (f"--{n.replace('_', '-')}", v)]
        status = verify.main(argv)
        output = capsys.readouterr().out.splitlines()
        return status, dict(re.split(r" +", line, maxsplit=1) for line in output)

    def difference(self, capsys: pytest.CaptureFixture[str]) -> str:
        """What it says of logs.txt, when that is all there is to say."""
        status, said = self.verify(capsys)
        print(said)
        assert status == 1
        assert said["Kafka"].startswith("agrees")
        assert said["Redis"].startswith("agrees")
        assert said["logs.txt"].startswith("DIFFERS: ")
        return said["logs.txt"].removeprefix("DIFFERS: ")


def named(lines: list[bytes], partition: int, offset: int) -> int:
    """The index of the line of an event whose number is told by its offset."""
    number = number_at(offset)
    [index] = [
        i
        for i, line in enumerate(lines)
        if (fields := json.loads(line)).get("partition") == partition
        and fields["message"] == f"event {number}"
    ]
    return index


def copy_topic(settings: Settings, source: str, target: str) -> list[list[tuple[str, bytes]]]:
    """All letters but one, and the first of them twice. Returns the headers, before that."""
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition

    servers = settings.kafka_bootstrap_servers
    letters = []
    with (
        closing(KafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest")) as consumer,
        closing(KafkaProducer(bootstrap_servers=servers)) as producer,
    ):
        ats = [TopicPartition(source, n) for n in consumer.partitions_for_topic(source) or ()]
        consumer.assign(ats)
        ends = consumer.end_offsets(ats)
        while any(consumer.position(at) < ends[at] for at in ats):
            letters += [letter for batch in consumer.poll(500).values() for letter in batch]
        for letter in [*letters[:7], *letters[8:], letters[0]]:
            producer.send(target, letter.value, letter.key or b"", letter.headers)
        producer.flush(30)
    return [letter.headers for letter in letters]


def produce(settings: Settings, records: list[tuple[int, bytes | None]]) -> None:
    """(partition, value)…"""
    from kafka import KafkaProducer

    with closing(
        KafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers, linger_ms=50)
    ) as producer:
        for partition, value in records:
            producer.send(settings.kafka_topic, value, b"key", partition=partition)
        producer.flush(30)


def drained(settings: Settings, ends: dict[int, int]) -> bool:
    path = settings.log_file.with_name(settings.log_file.name + ".checkpoint")
    checkpoint = Checkpoint.load(path)
    topic = checkpoint.topics.get(settings.kafka_topic) if checkpoint else None
    partitions = topic.partitions if topic else {}
    return all(p in partitions and partitions[p].next >= end for p, end in ends.items())


def number_at(offset: int) -> int:
    """Of the event at an offset of records_of_a_day."""
    return offset - (offset + 36) // 41


def records_of_a_day() -> list[tuple[int, bytes | None]]:
    """Every kind of record, in PARTITIONS partitions of EVENTS events and a few others."""
    records: list[tuple[int, bytes | None]] = []
    for partition in range(PARTITIONS):
        for n in range(EVENTS):
            level = LEVELS[n % len(LEVELS)]
            value = event(n, partition=partition, level=level, timestamp=BEGAN + n)
            if n % 50 == 7:
                value = json.dumps(json.loads(value), indent=2).encode()
            if n % 20 < 3:
                value = event(level="INFO", timestamp=BEGAN)  # the same everywhere
            records.append((partition, value))
            if n % 40 == 3:
                records.append((partition, b"no event" if n % 80 == 3 else None))
    return records


@contextmanager
def run_through(
    kafka_servers: str,
    kafka_admin: "KafkaAdminClient",
    redis_server: str,
    folder: Path,
    changed: dict[str, Any],
) -> Iterator[Pipeline]:
    """A pipeline through which records_of_a_day have gone, with some settings `changed`."""
    name = f"verify-{secrets.token_hex(6)}"
    settings = Settings(
        _env_file=None,
        kafka_bootstrap_servers=kafka_servers,
        kafka_topic=name,
        kafka_dead_letter_topic=f"{name}.dead-letter",
        kafka_group_id=name,
        kafka_partitions=PARTITIONS,
        redis_url=redis_server,
        redis_key=name,
        redis_max_logs=CAP,
        log_file=folder / "logs.txt",
        metrics_port=0,
        **changed,
    )
    output = folder / "consumer.output"
    consumer = Forked("consumer.py", [], output, os.environ | variables(settings))
    with Redis.from_url(redis_server) as client:
        try:
            consumer.wait_for("created topic")
            until(lambda: name in kafka_admin.list_topics())
            records = records_of_a_day()
            produce(settings, records)
            ends = {p: sum(at == p for at, _ in records) for p in range(PARTITIONS)}
            until(lambda: drained(settings, ends), 60, str(consumer))
            until(lambda: not [*folder.glob("logs-*.txt")], message="not all are packed")
            consumer.terminate()
            assert consumer.wait() == 0
            yield Pipeline(settings, client)
        finally:
            consumer.kill()
            client.unlink(*client.scan_iter(f"{name}*", count=10_000), "")
            kafka_admin.delete_topics([name, f"{name}.dead-letter"])


@pytest.fixture(scope="module")
def settled(
    kafka_servers: str,
    kafka_admin: "KafkaAdminClient",
    redis_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pipeline]:
    """A pipeline through which everything has gone. Not to be changed."""
    folder = tmp_path_factory.mktemp("verify")
    with run_through(kafka_servers, kafka_admin, redis_server, folder, {}) as pipeline:
        yield pipeline


@pytest.fixture
def pipeline(settled: Pipeline, tmp_path: Path) -> Pipeline:
    """A copy to be damaged."""
    return settled.copy(tmp_path / "copy")


def test_a_sound_pipeline_agrees(settled: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = settled.verify(capsys)
    print(said)
    assert status == 0
    events = PARTITIONS * EVENTS
    assert said["logs.txt"] == f"agrees: {events:,} events, each once and in its partition's order"
    assert f"{events:,} events, and {PARTITIONS * EVENTS // 40} invalid records" in said["Kafka"]
    assert said["Redis"].startswith(f"agrees: {CAP} newest events")


def test_a_deleted_line_is_named(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    lines = pipeline.lines()
    place = named(lines, 1, 333)
    pipeline.write(lines[:place] + lines[place + 1 :])
    assert pipeline.difference(capsys) == f"1 missing: {pipeline.at(1, 333)}"


def test_a_deleted_batch_is_named_by_its_span(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = pipeline.lines()
    place = named(lines, 2, 106)
    pipeline.write(lines[:place] + lines[place + 16 :])
    assert pipeline.difference(capsys) == f"16 missing: {pipeline.at(2, 106, 121)}"


def test_a_doubled_line_is_named(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    lines = pipeline.lines()
    place = named(lines, 0, 10)
    pipeline.write([*lines, lines[place]])
    assert pipeline.difference(capsys) == f"1 doubled: {pipeline.at(0, 10)}"


def test_a_doubled_batch_is_named_by_its_span(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = pipeline.lines()
    place = named(lines, 0, 106)
    pipeline.write(lines[: place + 16] + lines[place : place + 16] + lines[place + 16 :])
    assert pipeline.difference(capsys) == f"16 doubled: {pipeline.at(0, 106, 121)}"


@pytest.mark.parametrize("in_older_file", [False, True])
def test_lines_that_were_put_back_are_no_difference(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str], in_older_file: bool
) -> None:
    """Kafka lost them in a power cut: archive/cut_lines.py."""
    lost = [event(number, lost=True) for number in range(3)]
    *lines, last = pipeline.lines()
    pipeline.write([*lines, *lost, last])
    begin = sum(len(line) + 1 for line in lines)
    span = (begin, begin + sum(len(line) + 1 for line in lost))
    pipeline.edit_checkpoint(lambda checkpoint: setattr(checkpoint, "put_back", [span]))
    if in_older_file:
        pipeline.rotate()
    status, said = pipeline.verify(capsys)
    assert status == 0, said
    assert "; 3 more were put back after a crash, as Kafka has lost them" in said["logs.txt"]
    pipeline.edit_checkpoint(lambda checkpoint: setattr(checkpoint, "put_back", []))
    if not in_older_file:
        assert "3 unknown to Kafka" in pipeline.difference(capsys)


def test_swapped_lines_are_named(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    lines = pipeline.lines()
    early, late = named(lines, 1, 30), named(lines, 1, 299)
    lines[early], lines[late] = lines[late], lines[early]
    pipeline.write(lines)
    said = pipeline.difference(capsys)
    assert said == f"2 out of order: {pipeline.at(1, 299)}, {pipeline.at(1, 30)}"


def test_an_edited_byte_is_named(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    lines = pipeline.lines()
    sound, broken = named(lines, 0, 15), named(lines, 1, 16)
    lines[sound] = lines[sound].replace(b"event", b"evenT")
    lines[broken] = lines[broken].replace(b"{", b"[")
    pipeline.write(lines)
    said = pipeline.difference(capsys)
    assert f"2 missing: {pipeline.at(0, 15)}, {pipeline.at(1, 16)}" in said
    assert f"1 unknown to Kafka: line {sound + 1}" in said
    assert f"1 torn or edited: line {broken + 1}" in said


def test_identical_events_are_counted(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    same = event(level="INFO", timestamp=BEGAN)
    lines = pipeline.lines()
    lines.remove(same)
    pipeline.write(lines)
    assert pipeline.difference(capsys).startswith("1 missing: ")
    pipeline.write([same, same, *lines])
    assert "1 doubled: " in pipeline.difference(capsys)


def test_a_torn_end_is_named(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    size = pipeline.log_file.stat().st_size
    last = len(pipeline.lines())
    os.truncate(pipeline.log_file, size - 5)
    said = pipeline.difference(capsys)
    assert "1 missing: " in said
    assert f"1 torn or edited: line {last}" in said
    assert "1 truncated: 5 bytes are missing" in said
    pipeline.edit_checkpoint(lambda checkpoint: setattr(checkpoint, "length", size - 5))
    said = pipeline.difference(capsys)
    assert "1 missing: " in said
    assert f"1 torn: line {last}, where the checkpoint's length ends" in said


def test_bytes_that_no_checkpoint_accounts_for_are_named_unless_they_are_being_written(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = pipeline.log_file.stat().st_size
    with pipeline.log_file.open("ab") as file:
        file.write(b'{"level": "INFO", ')
    said = pipeline.difference(capsys)
    assert said == f"1 torn tail: 18 bytes after byte {size:,}, which the next start cuts"
    monkeypatch.setattr(snapshot, "WRITING", 0.1)
    with locked(pipeline.log_file.with_name("logs.txt.lock")):
        assert pipeline.verify(capsys)[0] == 0


def test_many_problems_are_counted_and_some_of_them_shown(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = pipeline.lines()
    pipeline.write([line for line in lines if b'message": "event 1' not in line])
    said = pipeline.difference(capsys)
    assert re.search(r"\d{3} missing: ([^ ]+@\d+( to \d+)?(, )?){5} and \d+ more$", said)


def test_a_file_of_something_else_is_given_up(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interleaving, "MOST", 500)
    pipeline.write([b"GET / HTTP/1.1"] * 2_000)
    said = pipeline.difference(capsys)
    assert "500 torn or edited: line 1, line 2, line 3, line 4, line 5 and 495 more" in said
    assert "lines after line 500 were not compared" in said


def test_a_checkpoint_ahead_or_behind_is_named(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "CATCH_UP", 0.5)
    pipeline.edit_partition(0, lambda known: setattr(known, "next", known.next - 4))
    end = EVENTS * 41 // 40
    status, said = pipeline.verify(capsys)
    assert status == 1
    assert f"4 beyond the checkpoint: {pipeline.at(0, end - 4, end - 1)}" in said["logs.txt"]
    ahead = f"1 ahead of the checkpoint: {pipeline.at(0, '')}"
    assert said["Kafka"].startswith(f"DIFFERS: {ahead} is committed at {end}")
    assert f"ahead of logs.txt: {pipeline.at(0, '')} is at {end}" in said["Redis"]

    pipeline.edit_partition(0, lambda known: setattr(known, "next", end + 3))
    status, said = pipeline.verify(capsys)
    assert status == 1
    assert f"behind the checkpoint: {pipeline.at(0, '')} ends at {end}, the" in said["Kafka"]
    assert f"behind logs.txt: {pipeline.at(0, '')} is at {end}, logs.txt at" in said["Redis"]


def test_a_missing_or_doubled_dead_letter(
    settled: Pipeline,
    pipeline: Pipeline,
    kafka_admin: "KafkaAdminClient",
    capsys: pytest.CaptureFixture[str],
) -> None:
    letters = settled.settings.kafka_dead_letter_topic
    other = f"{letters}.copy"
    kafka_admin.create_topics({other: {"num_partitions": 1, "replication_factor": 1}})
    until(lambda: other in kafka_admin.list_topics())
    try:
        copied = copy_topic(settled.settings, letters, other)
        assert len(copied) == 30
        source = dict(copied[7])
        at = f"{source['source.topic'].decode()}[{source['source.partition'].decode()}]"
        at += f"@{source['source.offset'].decode()}"
        changed = {"kafka_dead_letter_topic": other}
        pipeline = Pipeline(pipeline.settings.model_copy(update=changed), pipeline.redis)
        status, said = pipeline.verify(capsys)
        assert status == 1
        assert (
            said["Kafka"] == f"DIFFERS: 1 without a dead letter: {at}; 1 more dead letters "
            "repeat one (at least once)"
        )
    finally:
        kafka_admin.delete_topics([other])


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda p: p.redis.lrem(p.key(), 1, p.newest(2)), r"1 missing in KEY: TOPIC\[\d\]@\d+$"),
        (lambda p: p.redis.lpush(p.key(":ERROR"), p.newest(9, ":ERROR")), "1 doubled in KEY:ERROR"),
        (lambda p: p.redis.lset(p.key(), 9, event(-1)), "1 not of logs.txt in KEY: index 9"),
        (lambda p: p.redis.lset(p.key(), 9, b"junk"), "1 not of logs.txt in KEY: index 9"),
        (lambda p: p.swap(1, 2), r"1 out of order in KEY: TOPIC\[\d\]@\d+$"),
        (
            lambda p: p.redis.rpop(p.key(":WARNING"), 3),
            "too short: KEY:WARNING has 97 events, logs",
        ),
        (lambda p: p.redis.delete(p.key()), "too short: KEY has 0 events, logs.txt has 100"),
        (lambda p: p.redis.rpush(p.key(), event()), "too long: KEY has 101, REDIS_MAX_LOGS is 100"),
        (
            lambda p: p.redis.hset(p.key(":offsets"), "1", 999),
            r"1 ahead of logs.txt: TOPIC\[1\] is at 999, logs.txt at 410",
        ),
        (lambda p: p.count_once_more(), r"1 counted too often: KEY:counts:\d+ \w+ is \d+, Kafka"),
    ],
)
def test_damage_in_redis_is_named(
    pipeline: Pipeline,
    capsys: pytest.CaptureFixture[str],
    edit: Callable[[Pipeline], Any],
    said: str,
) -> None:
    edit(pipeline)
    status, lines = pipeline.verify(capsys)
    names = {"KEY": pipeline.settings.redis_key, "TOPIC": pipeline.settings.kafka_topic}
    expected = re.sub("KEY|TOPIC", lambda name: names[name[0]], said)
    assert re.search(expected, lines["Redis"]), lines["Redis"]
    assert status == 1
    assert lines["logs.txt"].startswith("agrees")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda p: p.redis.hset(p.key(":offsets"), "x", b"\xff"), "1 unreadable: its offsets are"),
        (lambda p: p.redis.hset(p.key(":offsets"), b"\xff", "1"), "1 unreadable: its offsets are"),
        (lambda p: p.redis.set(p.key(":topic"), b"\xff\x1b[2J"), r"it has topic id \ufffd\x1b[2J"),
    ],
)
def test_nonsense_in_redis_is_said_in_one_line(
    pipeline: Pipeline,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    edit: Callable[[Pipeline], Any],
    said: str,
) -> None:
    monkeypatch.setattr(snapshot, "CATCH_UP", 0.5)
    edit(pipeline)
    pipeline.redis.hset(pipeline.key(":counts:x"), "INFO", 1)
    pipeline.redis.hset(pipeline.key(":counts:1"), mapping={b"\xff": "x", "INFO": "x"})
    status, lines = pipeline.verify(capsys)
    assert status == 1
    assert said.replace("\\ufffd", "\ufffd") in lines["Redis"]
    assert lines["Redis"].isprintable()


def test_redis_that_stays_behind_is_named(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "CATCH_UP", 0.5)
    pipeline.redis.hset(pipeline.key(":offsets"), "2", "405")
    said = pipeline.verify(capsys)[1]["Redis"]
    assert f"1 behind logs.txt: {pipeline.at(2, '')} is at 405, logs.txt at 410" in said
    pipeline.redis.unlink(*pipeline.redis.scan_iter(pipeline.key("*"), count=10_000))
    status, lines = pipeline.verify(capsys)
    assert status == 1
    assert lines["Redis"].startswith("DIFFERS: 1 behind logs.txt: it has nothing")


def test_what_cannot_be_looked_at_is_said_in_one_line(
    pipeline: Pipeline, run_script: RunScript, tmp_path: Path
) -> None:
    nobody = str(free_port())
    settled_topic = pipeline.settings.kafka_topic
    for flags, words in [
        (("--kafka-bootstrap-servers", f"127.0.0.1:{nobody}"), "Kafka does not answer"),
        (("--redis-url", f"redis://127.0.0.1:{nobody}"), "Connection refused"),
        (("--log-file", str(tmp_path / "none.txt")), "no consumer has written"),
        (("--kafka-topic", "other"), f"has no KAFKA_TOPIC=other, but {settled_topic}"),
        (("--redis-max-logs", "0"), "REDIS_MAX_LOGS='0': must be"),
    ]:
        run = run_script("verify.py", *flags, env=os.environ | variables(pipeline.settings))
        assert run.wait() == 2
        assert words in run.output()
        assert run.output().count("\n") == 1


# For a Redis that will never have what logs.txt has.
IMPATIENT = f"""
import sys
from logpipeline.kafka import clients
from logpipeline.verify import snapshot
clients.QUICK["retry_backoff_ms"] = {RETRY_MS}
snapshot.CATCH_UP = 0.5
import verify
sys.exit(verify.main())
"""


@pytest.mark.parametrize(
    "edit",
    [
        lambda p: p.redis.hset(p.key(":offsets"), "\x1b[2J", "1"),
        lambda p: p.redis.hset(p.key(":offsets"), "1", "\x1b[2J"),
        lambda p: p.redis.hset(p.key(":counts:\x1b[2J"), "INFO", "1"),
        lambda p: p.redis.hset(p.key(":counts:1"), b"\xff", "1"),
        lambda p: p.redis.hset(p.key(":counts:1"), "INFO", "9" * 5_000),
        lambda p: p.redis.set(p.key(":topic"), b"\xff\x1b[2J"),
        lambda p: p.redis.set(p.key(":offsets"), "1"),
        lambda p: p.redis.set(p.key(":version"), b"\x1b[2J"),
    ],
)
def test_what_somebody_else_has_put_into_redis_is_said_in_lines_without_escapes(
    pipeline: Pipeline, edit: Callable[[Pipeline], Any], tmp_path: Path
) -> None:
    edit(pipeline)
    env = os.environ | variables(pipeline.settings)
    done = completed_text("-c", [IMPATIENT], tmp_path, env)
    said = done.stdout + done.stderr
    assert done.returncode in {0, 1, 2}
    assert "Traceback" not in said
    assert said.count("\n") in {1, 3}
    assert said.replace("\n", "").isprintable()


@pytest.fixture(scope="module")
def settled_rotated(
    kafka_servers: str,
    kafka_admin: "KafkaAdminClient",
    redis_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pipeline]:
    """A pipeline that has rotated its logs.txt several times. Not to be changed."""
    changed = {"log_max_bytes": ROTATED_BYTES}
    folder = tmp_path_factory.mktemp("rotated")
    with run_through(kafka_servers, kafka_admin, redis_server, folder, changed) as pipeline:
        assert len(rotated(pipeline.log_file)) > 3
        yield pipeline


@pytest.fixture
def rotating(settled_rotated: Pipeline, tmp_path: Path) -> Pipeline:
    """A copy to be damaged."""
    return settled_rotated.copy(tmp_path / "copy")


def test_rotated_files_are_read_too(rotating: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = rotating.verify(capsys)
    assert status == 0, said
    assert said["logs.txt"] == "agrees: 1,200 events, each once and in its partition's order"
    assert said["Redis"].startswith("agrees: 100 newest events")
    assert said["Redis"].endswith(" and 1,200 counted")


def test_the_oldest_files_may_be_gone(
    rotating: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    oldest, second, *_ = rotated(rotating.log_file)
    oldest.path().unlink()
    status, said = rotating.verify(capsys)
    assert status == 0, said
    second.sidecar.unlink()
    status, said = rotating.verify(capsys)
    assert status == 0, said
    assert f"{second.path().name} has no checkpoint" in said["logs.txt"]


def test_a_file_missing_in_the_middle_is_named(
    rotating: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    _, second, third, *_ = rotated(rotating.log_file)
    second.path().unlink()
    status, said = rotating.verify(capsys)
    assert status == 1
    assert re.search(
        rf"in no file: .*{rotating.settings.kafka_topic}\[\d\]@\d+ to \d+, before "
        rf"{third.path().name}",
        said["logs.txt"],
    )
    assert "missing" not in said["logs.txt"]


def test_a_line_missing_in_a_rotated_file_is_named(
    rotating: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    second = rotated(rotating.log_file)[1]
    lines = zstandard.decompress(second.path().read_bytes()).splitlines(keepends=True)
    second.path().write_bytes(zstandard.compress(b"".join([*lines[:5], b"edited\n", *lines[6:]])))
    said = rotating.difference(capsys)
    assert "1 missing" in said
    assert f"1 torn or edited: {second.path().name} line 6" in said
    assert f"1 changed: {second.path().name}, which had " in said


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: data[:90] + b"torn" + data[94:]]
)
def test_a_rotated_file_that_can_not_be_unpacked_is_said_in_one_line(
    rotating: Pipeline, capsys: pytest.CaptureFixture[str], damage: Callable[[bytes], bytes]
) -> None:
    path = rotated(rotating.log_file)[1].path()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SystemExit) as ended:
        rotating.verify(capsys)
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"verify: cannot read: cannot unpack {path.name}: ")


def test_a_rotation_that_a_kill_has_cut_short_is_none(
    rotating: Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = Checkpoint.load(rotating.log_file.with_name("logs.txt.checkpoint"))
    assert checkpoint
    rotating.edit_checkpoint(lambda mine: setattr(mine, "inode", rotating.log_file.stat().st_ino))
    file = next_rotated(rotating.log_file, datetime.now(UTC))
    checkpoint.save(file.sidecar)
    status, said = rotating.verify(capsys)
    assert status == 0, said
    rotating.log_file.rename(file.plain)
    status, said = rotating.verify(capsys)
    assert status == 0, said
    assert said["logs.txt"] == "agrees: 1,200 events, each once and in its partition's order"


def test_consumers_under_load_agree_all_the_time_and_so_does_what_kafka_deletes(
    settings: Settings,
    environment: dict[str, str],
    run_script: RunScript,
    kafka_admin: "KafkaAdminClient",
    capsys: pytest.CaptureFixture[str],
) -> None:
    from kafka import TopicPartition

    settings = settings.model_copy(update={"redis_max_logs": 7})
    env = environment | variables(settings)
    consumers = [run_script("consumer.py", env=env) for _ in range(2)]
    load = ("--rate", "15000", "--count", "100000", "--malformed", "0.01", "--seed", "3")
    producer = run_script("producer.py", *load, env=env)
    with Redis.from_url(settings.redis_url) as client:
        pipeline = Pipeline(settings, client)
        until(lambda: settings.log_file.exists() and pipeline.lines(), 60, str(consumers[0]))
        beside = 0
        while producer.running():
            status, said = pipeline.verify(capsys)
            assert status == 0, said
            beside += 1
        assert beside
        assert producer.wait() == 0
        ends = end_offsets(settings)
        until(lambda: lag(settings, ends) == 0, 60)
        for consumer in consumers:
            consumer.terminate()
        assert [consumer.wait() for consumer in consumers] == [0, 0]
        status, said = pipeline.verify(capsys)
        assert status == 0, said
        assert said["Kafka"].startswith("agrees: 100,000 records up to the checkpoint: ")

        kafka_admin.delete_records({TopicPartition(settings.kafka_topic, 1): 500})
        status, said = pipeline.verify(capsys)
        assert status == 0, said
        assert re.search(r"; 49\d accepted unseen: Kafka no longer has", said["logs.txt"])
        lines = pipeline.lines()
        pipeline.write(lines[:-100] + lines[-99:])
        status, said = pipeline.verify(capsys)
        assert status == 1
        assert said["logs.txt"].startswith("DIFFERS: 1 missing: ")

        pipeline.write(lines)
        everything = [TopicPartition(settings.kafka_topic, partition) for partition in range(4)]
        kafka_admin.delete_records(dict.fromkeys(everything, -1))
        status, said = pipeline.verify(capsys)
        assert status == 0, said
        assert said["Kafka"].startswith("agrees: 0 records up to the checkpoint")
        assert f"{len(lines):,} accepted unseen" in said["logs.txt"]
