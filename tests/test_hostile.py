"""What a stranger sends to real Kafka hurts no event beside it, and takes little memory."""

import json
import random
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from redis import Redis as RedisClient

from config import Settings
from logpipeline.events.event import DEEPEST
from logpipeline.kafka import topics
from logpipeline.shutdown import Shutdown
from tests.conftest import RunScript
from tests.support import segments
from tests.support.archived import lines
from tests.support.process import Process
from tests.support.raw import CODECS, giant, produce, record, sealed, varint, zstd_of
from tests.support.records import event, large_event
from tests.support.servers import MISSED_SOON
from tests.support.topics import read_all, send
from tests.support.waiting import until

PATIENCE = 120.0  # seconds; this machine may be busy with something else
MOST_MEMORY = 300 * 10**6  # bytes that consumer.py may take
LARGE = 2**20 - 2**13  # bytes of a large event


@pytest.fixture
def settings(settings: Settings) -> Settings:
    made = settings.model_copy(update={"kafka_partitions": 1})
    assert topics.ensure(made, Shutdown(), topics.to_read(made))
    return made


@pytest.fixture
def redis(settings: Settings) -> Iterator[RedisClient]:
    with RedisClient.from_url(settings.redis_url) as client:
        yield client


@pytest.fixture
def run(settings: Settings, run_script: RunScript) -> Callable[..., Process]:
    """Starts a script, once the topics are there."""
    return run_script


@pytest.fixture
def measured(settings: Settings, run_script: RunScript) -> Callable[..., Process]:
    """The same, with no memory but its own."""
    return partial(run_script, forked=False)


def numbered(start: int, end: int) -> list[bytes]:
    return [event(number) for number in range(start, end)]


def put(settings: Settings, batch: bytes) -> int:
    return produce(settings.kafka_bootstrap_servers, settings.kafka_topic, 0, batch)


def put_events(settings: Settings, values: list[bytes]) -> None:
    send(settings.kafka_bootstrap_servers, settings.kafka_topic, values, partition=0)


def arrived(settings: Settings, redis: RedisClient, expected: list[bytes]) -> None:
    """Wait until exactly these are in logs.txt, and the newest of them in Redis."""

    def there() -> bool:
        found = redis.lrange(settings.redis_key, 0, -1)
        newest = expected[-settings.redis_max_logs :][::-1]
        return found == newest and lines(settings) == expected

    try:
        until(there, PATIENCE)
    except AssertionError:
        said = "\n".join(path.read_text() for path in settings.log_file.parent.glob("*.output"))
        have = len(lines(settings)), redis.llen(settings.redis_key)
        raise AssertionError(f"{have} of {len(expected)}\n{said}") from None


def letters(settings: Settings) -> list[tuple[int, str, bytes | None]]:
    """Offset, error and value of the dead letters."""
    found = read_all(settings.kafka_bootstrap_servers, settings.kafka_dead_letter_topic)
    headers = [dict(one.headers) for one in found]
    return [
        (int(of["source.offset"]), of["error"].decode(), one.value)
        for of, one in zip(headers, found, strict=True)
    ]


def agrees(run: Callable[..., Process], events: int, others: int) -> None:
    verify, peak = run("verify.py"), 0
    while verify.running():
        peak = max(peak, memory(verify))
        time.sleep(0.01)
    assert verify.wait(PATIENCE) == 0, verify.output()
    assert_calm(verify)
    words = f"{events:,} events, and {others:,} invalid records with a dead letter each"
    assert words in verify.output()
    assert 0 < peak < MOST_MEMORY, f"verify.py took {peak:,} bytes"


def memory(process: Process) -> int:
    """The most bytes that it has had in memory, or 0 when it has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def test_an_event_that_is_nested_too_deeply_is_a_dead_letter_and_those_after_it_arrive(
    settings: Settings, redis: RedisClient, run: Callable[..., Process]
) -> None:
    def nested(arrays: int) -> bytes:
        return event()[:-1] + b',"x":' + b"[" * arrays + b"1" + b"]" * arrays + b"}"

    deep = [nested(arrays) for arrays in (991, 970, 1_000, 100_000, DEEPEST)]
    good = [nested(DEEPEST - 1), *numbered(0, 1_000)]
    put_events(settings, [*deep, *good])
    consumer = run("consumer.py", constants=MISSED_SOON)
    arrived(settings, redis, good)
    sentence = "the value has more than 100 nested levels"
    assert letters(settings) == [(n, sentence, value) for n, value in enumerate(deep)]
    agrees(run, len(good), len(deep))
    consumer.kill()
    put_events(settings, [deep[0], event(1_000)])
    run("consumer.py")
    arrived(settings, redis, [*good, event(1_000)])


@pytest.mark.parametrize("window", ["java", "small"])
def test_a_record_that_unpacks_to_200_mb_costs_no_memory_and_no_event(
    settings: Settings, redis: RedisClient, measured: Callable[..., Process], window: str
) -> None:
    parts = [*map(record, range(50), numbered(0, 50)), *giant(50, 200)]
    parts += map(record, range(51, 100), numbered(51, 100))
    packed = zstd_of(parts) if window == "java" else CODECS[segments.ZSTD](b"".join(parts))
    put_events(settings, numbered(1_000, 1_100))
    consumer = measured("consumer.py")
    for start in range(3):
        put(settings, sealed(packed, 100, segments.ZSTD))
        put_events(settings, numbered(2_000 + start * 100, 2_100 + start * 100))
    beside = [*numbered(0, 50), *numbered(51, 100)]
    expected = numbered(1_000, 1_100)
    for start in range(3):
        expected += [*beside, *numbered(2_000 + start * 100, 2_100 + start * 100)]
    arrived(settings, redis, expected)
    sentence = "the value has 209,715,200 bytes; EVENT_MAX_BYTES is 1,048,576"
    assert letters(settings) == [(offset, sentence, b"x" * 2**16) for offset in (150, 350, 550)]
    agrees(measured, len(expected), 3)
    assert memory(consumer) < MOST_MEMORY


def test_a_batch_of_many_events_that_unpacks_to_much_arrives_whole(
    settings: Settings, redis: RedisClient, measured: Callable[..., Process]
) -> None:
    some = [large_event(number, b"y" * 100_000) for number in range(1_500)]
    put(settings, sealed(zstd_of(map(record, range(1_500), some)), 1_500, segments.ZSTD))
    put_events(settings, numbered(5_000, 5_010))
    consumer = measured("consumer.py")
    expected = [*some, *numbered(5_000, 5_010)]
    size = sum(len(each) + 1 for each in expected)
    until(lambda: settings.log_file.exists() and settings.log_file.stat().st_size >= size, PATIENCE)
    assert lines(settings) == expected
    assert memory(consumer) < MOST_MEMORY


def test_events_of_1_mib_at_full_rate_take_little_memory(
    settings: Settings, measured: Callable[..., Process]
) -> None:
    dice = random.Random(5)
    seen = size = 0
    consumer = measured("consumer.py")
    for start in range(0, 400, 50):
        some = [
            large_event(n, dice.randbytes(LARGE // 2 - 100).hex().encode())
            for n in range(start, start + 50)
        ]
        put_events(settings, some)
        seen += 50
        size += sum(len(value) + 1 for value in some)
    until(lambda: settings.log_file.stat().st_size >= size, PATIENCE)
    assert size > 400 * (LARGE - 500)
    found = lines(settings)
    assert len(found) == seen
    assert [json.loads(line)["message"][:4] for line in found[-1:]]
    assert memory(consumer) < MOST_MEMORY


def test_invalid_records_of_1_mib_take_little_memory(
    settings: Settings, redis: RedisClient, measured: Callable[..., Process]
) -> None:
    put_events(settings, [b"%06d" % number + b"z" * LARGE for number in range(200)])
    put_events(settings, numbered(0, 10))
    consumer = measured("consumer.py")
    arrived(settings, redis, numbered(0, 10))
    found = letters(settings)
    assert [(offset, (value or b"")[:6]) for offset, _, value in found] == [
        (number, b"%06d" % number) for number in range(200)
    ]
    assert memory(consumer) < MOST_MEMORY


def test_batches_that_no_library_sends_arrive(
    settings: Settings, redis: RedisClient, run: Callable[..., Process]
) -> None:
    """Kafka takes them: header keys that are not UTF-8, attributes, offsets that make no sense."""
    run("consumer.py")
    expected = []
    no_utf8 = varint(1) + varint(2) + b"\xff\xfe" + varint(-1)
    for compression in CODECS:
        some = numbered(compression * 100, compression * 100 + 3)
        one, two, three = some
        payload = record(0, one, headers=no_utf8) + record(1, two, attributes=255)
        packed = CODECS[compression](payload + record(2, three))
        if compression in {segments.GZIP, segments.LZ4}:
            packed += b"what is after it is not looked at"
        put(settings, sealed(packed, 3, compression))
        put_events(settings, [event(compression * 100 + 50)])
        expected += [*some, event(compression * 100 + 50)]
    for numbers in ([0, 0, 0], [2, 1, 0], [2**31 - 1, 0, 5], [-7, 1, 2]):
        some = [event(number * 1_000) for number in numbers]
        payload = b"".join(map(record, numbers, some))
        put(settings, sealed(payload, 3, segments.NONE))
        put_events(settings, [event(-1)])
        expected += [*some, event(-1)]
    arrived(settings, redis, expected)
    agrees(run, len(expected), 0)


def headers(**given: bytes | None) -> bytes:
    """Of a dead letter, as bytes of a record: `source.topic` and so on."""
    made = varint(len(given) + 1) + varint(2) + b"\xff\x1b" + varint(-1)
    for name, value in given.items():
        key = b"error" if name == "error" else b"source." + name.encode()
        made += (
            varint(len(key)) + key + varint(-1 if value is None else len(value)) + (value or b"")
        )
    return made


NASTY = b"\x1b]0;owned\x07\x1b[2J\r\n\x9b31m"
NONSENSE: list[dict[str, bytes | None]] = [
    {"partition": None},
    {"offset": None},
    {"topic": None},
    {"topic_id": None},
    {"partition": b"", "offset": b""},
    {"partition": b"-1"},
    {"offset": b"5"},  # which is an event in logs.txt
    {"offset": b"5", "topic_id": None},
    {"offset": b"100"},
    {"offset": b"-5"},
    {"offset": b"9" * 4_000},
    {"offset": b"9" * 19},
    {"partition": b"4294967296"},
    {"partition": b"0x0", "offset": b"1_0"},
    {"partition": "\u0661".encode(), "offset": b" 1 "},
    {"partition": b"0.0", "offset": b"1e1"},
    {"partition": NASTY, "offset": NASTY},
    {"topic": NASTY},
    {"topic": b"\xff\xfe"},
    {"topic_id": NASTY},
    {"topic_id": b"x" * 10_000},
    {"error": NASTY},
    {},
]


def put_letters(settings: Settings, value: bytes) -> None:
    """Letters with all this nonsense in their headers, and one that unpacks to 200 MB."""
    right = {"topic": settings.kafka_topic.encode(), "partition": b"0", "offset": b"0"}
    parts = [
        record(number, value, headers=headers(**{**right, **nonsense}))
        for number, nonsense in enumerate(NONSENSE)
    ]
    parts += giant(len(NONSENSE), 200)
    batch = sealed(zstd_of(parts), len(NONSENSE) + 1, segments.ZSTD)
    produce(settings.kafka_bootstrap_servers, settings.kafka_dead_letter_topic, 0, batch)


def test_headers_of_dead_letters_are_not_believed(
    settings: Settings, redis: RedisClient, run: Callable[..., Process]
) -> None:
    put_events(settings, [b"no", *numbered(1, 100), b"no"])
    put_letters(settings, event(7_000))
    run("consumer.py")
    arrived(settings, redis, numbered(1, 100))
    agrees(run, 99, 2)
    preview = run("replay.py", "--since", "1h", "--dry-run")
    assert preview.wait(PATIENCE) == 0, str(preview)
    assert "2 broken JSON" in preview.output()
    assert "1 too large" in preview.output()
    assert "of other topics" in preview.output()
    found = re.search(r"would send (\d+) events", preview.output())
    assert found
    wanted = int(found[1])
    assert 1 < wanted < len(NONSENSE)
    replay = run("replay.py", "--since", "1h", "--rate", "0")
    assert replay.wait(PATIENCE) == 0, str(replay)
    assert f"sent {wanted} events again" in replay.output()
    again = run("replay.py", "--since", "1h", "--dry-run")
    assert again.wait(PATIENCE) == 0, str(again)
    assert "would send 0 events" in again.output()
    for process in (preview, replay, again):
        assert_calm(process)
    arrived(settings, redis, [*numbered(1, 100), *[event(7_000)] * wanted])


@pytest.mark.parametrize(
    "entry",
    [
        None,
        b"no",
        b'{"run":"r","topic_id":"t","x":' + b"[" * 50_000,
        b'{"run":"\xff","topic_id":"t"}',
        b'{"run":"r","topic_id":"t","sent":[[5,1]]}',
        b'{"run":"r","topic_id":"t","sent":[[-5,1]]}',
        b'{"run":"r","topic_id":"t","sent":[[0,1' + b"0" * 4_000 + b"]]}",
        b'{"run":"r","topic_id":"t","sent":[[0,1e400]]}',
        b'{"run":7,"topic_id":"\\u001b[2J"}',
    ],
)
def test_a_journal_that_somebody_else_has_written_is_refused_in_one_line(
    settings: Settings, run: Callable[..., Process], kafka_admin: KafkaAdminClient, entry: bytes
) -> None:
    name = f"{settings.kafka_topic}.replayed"
    kafka_admin.create_topics({name: {"num_partitions": 1, "replication_factor": 1}})
    produce(settings.kafka_bootstrap_servers, name, 0, sealed(record(0, entry), 1, segments.NONE))
    replay = run("replay.py", "--since", "1h")
    assert replay.wait(PATIENCE) == 1
    assert f"{name}[0]@0 is not an entry of a replay: " in replay.output()
    assert_calm(replay)


def assert_calm(process: Process) -> None:
    """That it has said all in lines that a terminal only shows."""
    said = process.output()
    assert "Traceback" not in said
    assert all(line.isprintable() for line in said.split("\n")), said
