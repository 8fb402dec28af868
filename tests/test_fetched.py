"""Fetched: whatever bytes come from Kafka, it gives what kafka-python gives."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import kafka.consumer.group
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.protocol.consumer import IsolationLevel
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatch

from config import Settings
from logpipeline.events.columns import Columns
from logpipeline.kafka import epoch_ends, fetcher
from logpipeline.kafka.epoch_ends import EpochEnd
from logpipeline.kafka.fetcher import Fetched
from tests.support import segments
from tests.support.segments import Batch, Record, segment
from tests.support.waiting import until

AT = TopicPartition("logs", 3)
CHECKED = settings(max_examples=300, deadline=None, derandomize=True)

sizes = st.sampled_from([0, 1, 62, 63, 64, 127, 128, 8_190, 8_191, 8_192, 1_100_000])
some_bytes = st.none() | st.binary(max_size=80) | sizes.map(lambda size: b"v" * size)
headers = st.tuples(st.text(max_size=3), st.none() | st.binary(max_size=3))
records = st.builds(
    Record,
    key=st.none() | st.binary(max_size=80),
    value=some_bytes,
    headers=st.lists(headers, max_size=2).map(tuple),
    milliseconds=st.sampled_from([0, 1, 63, 64, 8_191, 8_192, -1, -65, -9_000, 2**40]),
    skipped=st.sampled_from([0, 0, 0, 1, 100, 9_000]),
)
batches = st.builds(
    Batch,
    records=st.lists(records, min_size=1, max_size=4),
    compression=st.integers(segments.NONE, segments.ZSTD),
    skipped=st.sampled_from([0, 0, 3]),
)
old_batches = st.builds(
    Batch,
    records=st.lists(records, min_size=1, max_size=4),
    magic=st.integers(0, 1),
    compression=st.integers(segments.NONE, segments.SNAPPY),
)
transactions = st.builds(
    Batch,
    records=st.lists(records, min_size=1, max_size=2),
    producer=st.integers(1, 2),
    control=st.booleans(),
    aborts=st.booleans(),
)
logs = st.lists(batches | old_batches | transactions, min_size=1, max_size=5)


def trace(kind: Any, data: bytes, start: int, most: int, **options: Any) -> list[object]:
    """All that can be seen while `data` is read from `start`, `most` records at a time."""
    part = kind(start, AT, MemoryRecords(data), **options)
    seen: list[object] = []
    errors = 0
    while part and errors < 2:
        try:
            taken = part.take(most)
        except Exception as error:  # noqa: BLE001 - all of them are compared
            errors += 1
            seen.append((type(error), str(error)))
        else:
            errors += not taken
            seen += [len(taken), Columns.of(taken)]
        seen += [part.next_fetch_offset, part.leader_epoch]
    return seen


def assert_same(data: bytes, start: int = 0, most: int = 3, **options: Any) -> list[object]:
    theirs = trace(Fetcher.PartitionRecords, data, start, most, **options)
    assert trace(Fetched, data, start, most, **options) == theirs
    return theirs


@CHECKED
@given(logs, st.integers(0, 12), st.integers(1, 6), st.sampled_from(IsolationLevel))
def test_every_kind_of_batch_is_read_as_kafka_python_reads_it(
    log: list[Batch], start: int, most: int, isolation: IsolationLevel
) -> None:
    assert_same(segment(log), start, most, isolation_level=isolation)


@CHECKED
@given(logs, st.integers(0, 12), st.integers(1, 6), st.data())
def test_flipped_bits_give_the_same_records_and_errors(
    log: list[Batch], start: int, most: int, data: st.DataObject
) -> None:
    damaged = bytearray(segment(log))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    assert_same(bytes(damaged), start, most)


@CHECKED
@given(logs, st.integers(1, 100))
def test_a_cut_last_batch_waits_for_the_next_fetch(log: list[Batch], missing: int) -> None:
    assert_same(segment(log)[:-missing])


def test_a_corrupt_batch_is_an_error_after_the_records_before_it() -> None:
    three = [Record(value=b"%d" % number) for number in range(3)]
    good, bad = segment([Batch(three)]), bytearray(segment([Batch(three)], 3))
    bad[-1] ^= 1
    seen = assert_same(good + bytes(bad), most=10)
    assert seen[0] == 3
    assert seen[4] == (
        CorruptRecordError,
        "[Error 2] CorruptRecordError: Record batch for partition "
        "TopicPartition(topic='logs', partition=3) at offset 3 failed crc check",
    )


def test_the_usual_batch_takes_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(self: DefaultRecordBatch) -> None:
        raise AssertionError("decoded by the library")

    monkeypatch.setattr(DefaultRecordBatch, "__iter__", slow)
    usual = [
        Record(b"key", b"value", milliseconds=5),
        Record(None, b"v" * 200, (("trace", b"1"), ("host", None)), milliseconds=10_000),
        Record(b"k" * 200, None, skipped=9_000),
        Record(b"key", b"v" * 1_100_000),
    ]
    for compression in range(segments.ZSTD + 1):
        part = Fetched(7_000, AT, MemoryRecords(segment([Batch(usual, compression=compression)])))
        assert [len(part.take(1)), len(part.take(9))] == [1, 1]


def test_a_consumer_reads_the_same_with_and_without_it(
    settings: Settings, kafka_admin: KafkaAdminClient
) -> None:
    at = TopicPartition(settings.kafka_topic, 0)
    kafka_admin.create_topics({at.topic: {"num_partitions": 1, "replication_factor": 1}})
    for codec in (None, "gzip", "snappy", "lz4", "zstd"):
        fill(settings, codec)
    for start in (0, 1, 57, 299, 300):
        seen = []
        for installed in (False, True):
            with closing(
                KafkaConsumer(
                    bootstrap_servers=settings.kafka_bootstrap_servers,
                    enable_auto_commit=False,
                    max_poll_records=70,
                )
            ) as consumer:
                assert not installed or fetcher.install(consumer)
                consumer.assign([at])
                consumer.seek(at, start)
                seen.append(rest(consumer, at))
        assert seen[0] == seen[1]
        assert seen[0].offsets[:1] == [start]


def fill(settings: Settings, codec: str | None) -> None:
    """A hundred records: half of them plain, half in a transaction that is aborted."""
    servers = settings.kafka_bootstrap_servers
    with closing(KafkaProducer(bootstrap_servers=servers, compression_type=codec)) as producer:
        for number in range(50):
            headers = [("number", b"%d" % number)] if number % 3 else []
            value = None if number == 7 else b'{"number": %d}' % number
            producer.send(settings.kafka_topic, value, b"key", headers)
    transactional = KafkaProducer(
        bootstrap_servers=servers, compression_type=codec, transactional_id=settings.kafka_topic
    )
    with closing(transactional) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        for number in range(50):
            producer.send(settings.kafka_topic, b"%d" % number)
        producer.flush()
        producer.abort_transaction()


def rest(consumer: KafkaConsumer, at: TopicPartition) -> Columns:
    """All records from the consumer's position to the end, polled as few at a time as it does."""
    read = Columns()
    end = consumer.end_offsets([at])[at]
    while consumer.position(at) < end:
        polled = Columns.of(consumer.poll(500).get(at, []))
        assert len(polled) <= 70
        read.extend(polled)
    return read


@pytest.fixture
def reader(settings: Settings, kafka_admin: KafkaAdminClient) -> Iterator[KafkaConsumer]:
    """At the start of a topic that has 30,000 records in partition 1, and none in 0."""
    topic = settings.kafka_topic
    kafka_admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1}})
    servers = settings.kafka_bootstrap_servers
    with closing(KafkaProducer(bootstrap_servers=servers, linger_ms=50)) as producer:
        for number in range(30_000):
            producer.send(topic, b"%0100d" % number, partition=1)
    with closing(KafkaConsumer(bootstrap_servers=servers, max_poll_records=7_000)) as consumer:
        assert fetcher.install(consumer)
        consumer.assign([TopicPartition(topic, number) for number in range(2)])
        consumer.seek_to_beginning()
        yield consumer


def test_every_request_asks_for_all_partitions(
    reader: KafkaConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = reader._fetcher._create_fetch_requests
    asked: list[int] = []

    def note() -> Any:
        requests = create()
        asked.extend(len(offsets) for _, offsets in requests.values())
        return requests

    monkeypatch.setattr(reader._fetcher, "_create_fetch_requests", note)
    seen = 0
    while seen < 30_000:
        seen += sum(len(Columns.of(polled)) for polled in reader.poll(500).values())
    assert len(asked) >= 4
    assert set(asked) == {2}


def test_a_response_without_records_keeps_the_epoch_of_the_position(reader: KafkaConsumer) -> None:
    """By it lost records are noticed; kafka-python's own fetcher deletes it."""
    empty, full = (TopicPartition(at.topic, at.partition) for at in sorted(reader.assignment()))
    epoch_ends.seek(reader, empty, 0, 0)
    epoch_ends.seek(reader, full, 30_000, 0)
    for _ in range(4):
        assert not reader.poll(600)
    for at in (empty, full):
        assert reader._subscription.assignment[at].position.leader_epoch == 0
    assert epoch_ends.epoch_ends(reader, {empty: 7, full: 0}, 5_000) == {
        empty: EpochEnd(0, 0),
        full: EpochEnd(0, 30_000),
    }


def test_a_response_that_comes_after_the_look_for_one_is_not_slept_over(
    reader: KafkaConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        def __getattr__(self, name: str) -> Any:
            return getattr(time, name)

        def sleep(self, seconds: float) -> None:
            raise AssertionError("slept")

    [full] = reader.poll(5_000)
    fetcher = reader._fetcher
    look = fetcher.fetched_records
    late = 0

    def look_too_early(*args: Any, **options: Any) -> Any:
        nonlocal late
        found = look(*args, **options)
        if not found[0] and fetcher.in_flight_fetches():
            until(lambda: fetcher._completed_fetches)
            late += 1
        return found

    monkeypatch.setattr(kafka.consumer.group, "time", Clock())
    monkeypatch.setattr(fetcher, "fetched_records", look_too_early)
    for _ in range(20):
        reader.seek(full, 0)
        look()  # drops what has been fetched
        fetcher.send_fetches()
        assert reader.poll(10_000)
    assert late


@pytest.mark.parametrize("difference", ["version", "attribute"])
def test_another_kafka_python_uses_its_own_decoder_with_a_warning(
    difference: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if difference == "version":
        monkeypatch.setattr(kafka, "__version__", "3.1.0")
    else:
        monkeypatch.delattr(DefaultRecordBatch, "_maybe_uncompress")
    with closing(KafkaConsumer(bootstrap_servers=settings.kafka_bootstrap_servers)) as consumer:
        assert not fetcher.install(consumer)
        assert type(consumer._fetcher) is Fetcher
    assert [
        record.message for record in caplog.records if record.name == "logpipeline.kafka.fetcher"
    ] == [
        f"kafka-python {kafka.__version__} does not decode as the supported 3.0.12 does: "
        "using its slower decoder"
    ]


def test_a_partition_that_was_paused_in_the_middle_of_a_fetch_gives_the_rest(
    settings: Settings, kafka_admin: KafkaAdminClient
) -> None:
    servers, topic = settings.kafka_bootstrap_servers, settings.kafka_topic
    kafka_admin.create_topics({topic: {"num_partitions": 2, "replication_factor": 1}})
    ats = [TopicPartition(topic, number) for number in range(2)]
    with closing(KafkaProducer(bootstrap_servers=servers, linger_ms=50)) as producer:
        for number in range(2_000):
            producer.send(topic, b"%0100d" % number, partition=number % 2)
    with closing(KafkaConsumer(bootstrap_servers=servers, max_poll_records=300)) as consumer:
        assert fetcher.install(consumer)
        consumer.assign(ats)
        consumer.seek_to_beginning()
        seen = {at: Columns() for at in ats}
        wanted, other = ats
        while any(len(records) < 1_000 for records in seen.values()):
            wanted, other = other, wanted
            consumer.pause(other)
            consumer.resume(wanted)
            [(at, polled)] = consumer.poll(30_000).items()
            seen[at].extend(Columns.of(polled))
    for number, at in enumerate(ats):
        assert seen[at].values == [b"%0100d" % n for n in range(number, 2_000, 2)]


def test_the_fast_decoder_is_used_with_the_pinned_version() -> None:
    assert fetcher._works()
