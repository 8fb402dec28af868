"""Payload: whatever is in a batch whose checksum is right, each record arrives or is said."""

import struct
import tracemalloc
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.errors import CorruptRecordError
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatch

from logpipeline.events.columns import Columns
from logpipeline.events.event import Partial, Value
from logpipeline.events.slices import read
from logpipeline.kafka.fetcher import ROOM, Fetched
from logpipeline.kafka.payload import PIECE, Payload
from tests.support import segments
from tests.support.raw import CODECS, HEADER, giant, gzip_of, record, sealed, varint, zstd_of
from tests.support.records import event
from tests.support.segments import Batch, Record, segment

AT = TopicPartition("logs", 3)
MOST = 2**20
CHECKED = settings(max_examples=300, deadline=None, derandomize=True)


def batch(
    payload: bytes, count: int, compression: int = segments.NONE, last: int | None = None
) -> DefaultRecordBatch:
    """A batch that has this payload, packed, under a right checksum."""
    return DefaultRecordBatch(sealed(CODECS[compression](payload), count, compression, last))


def rows(
    given: DefaultRecordBatch, most: float = MOST, details: bool = False
) -> list[tuple[int, Value]]:
    whole = Columns.of(Payload(given, most, details))
    return list(zip(whole.offsets, whole.values, strict=True))


def fetched(given: DefaultRecordBatch, start: int = 100) -> Fetched:
    return Fetched(start, AT, MemoryRecords(bytes(given._buffer)), most=MOST)


def theirs(given: DefaultRecordBatch) -> tuple[list[tuple[bytes | None, bytes | None]], bool]:
    """Keys and values by kafka-python, up to an error, and whether there was one."""
    found = []
    try:
        for one in DefaultRecordBatch(bytes(given._buffer)):
            found.append((one.key, one.value))
    except CorruptRecordError:
        return found, True
    return found, False


def assert_judged(given: DefaultRecordBatch) -> None:
    """Kafka-python's records come too, in order, and what it refuses comes as a Partial."""
    whole = Columns.of(Payload(DefaultRecordBatch(bytes(given._buffer)), MOST))
    pairs, failed = theirs(given)
    assert list(zip(whole.keys, whole.values, strict=True))[: len(pairs)] == pairs
    assert len(whole) <= given.last_offset_delta + 1 or not whole
    assert whole.offsets == sorted(set(whole.offsets))
    if whole:
        assert given.base_offset <= whole.offsets[0] <= whole.offsets[-1] <= given.last_offset
    if not failed:
        assert len(whole) == len(pairs)
    # Record by record it is found to be the same.
    detailed = Columns.of(Payload(given, MOST, details=True))
    assert (detailed.offsets, detailed.keys) == (whole.offsets, whole.keys)
    assert [type(value) for value in detailed.values] == [type(value) for value in whole.values]


records = st.builds(
    Record,
    key=st.none() | st.binary(max_size=9),
    value=st.none() | st.binary(max_size=200),
    headers=st.sampled_from([(), (("k", b"v"), ("w", None))]),
    skipped=st.sampled_from([0, 0, 1, 9]),
)


@CHECKED
@given(st.lists(records, min_size=1, max_size=4), st.data())
def test_invalid_records_are_refused_as_by_kafka_python_and_reported(
    some: list[Record], data: st.DataObject
) -> None:
    damaged = bytearray(segment([Batch(some)], 100))
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(HEADER, min(len(damaged) - 1, HEADER + 40)))
        damaged[at] = data.draw(st.sampled_from([0, 1, 2, 3, 64, 127]))
    assert_judged(DefaultRecordBatch(segments.sealed(damaged)))


@CHECKED
@given(st.binary(min_size=1, max_size=40), st.integers(-1, 9), st.integers(0, 4))
def test_random_bytes_are_reported_as_unreadable(
    payload: bytes, count: int, compression: int
) -> None:
    whole = rows(DefaultRecordBatch(sealed(payload, count, compression, last=20)))
    assert len(whole) <= 21
    if compression and count > 0:
        assert [type(value) for _, value in whole] == [Partial]


@pytest.mark.parametrize("compression", range(5))
def test_what_follows_an_unreadable_batch_arrives(compression: int) -> None:
    good, bad = batch(record(0, b"a"), 1), batch(record(0, b"b") + b"\x7fx", 3, compression)
    bad_bytes = bytearray(bad._buffer)
    struct.pack_into(">q", bad_bytes, 0, 101)
    last = bytearray(good._buffer)
    struct.pack_into(">q", last, 0, 104)
    data = bytes(good._buffer) + bytes(bad_bytes) + bytes(last)
    part = Fetched(100, AT, MemoryRecords(data), most=MOST)
    whole = part.take(10)
    assert whole.offsets == [100, 101, 102, 104]
    unreadable = whole.values[2]
    assert isinstance(unreadable, Partial)
    assert unreadable.reason == "unreadable batch"
    assert unreadable.sentence.startswith("offsets 102 to 103 cannot be decoded: ")
    assert unreadable.beginning == bytes(bad_bytes)
    found = read(3, 100, [whole])
    assert [(one.offset, one.value, one.reason) for one in found.rejects[1:2]] == [
        (101, b"b", "broken JSON")
    ]
    assert found.end == 105


@pytest.mark.parametrize("compression", range(1, 5))
def test_damaged_compression_gives_what_comes_before_it(compression: int) -> None:
    values = [b"%032x" % (number * 7919**9) for number in range(20_000)]
    whole = CODECS[compression](b"".join(record(n, value) for n, value in enumerate(values)))
    half = whole[: len(whole) // 2]
    found = rows(DefaultRecordBatch(sealed(half, len(values), compression)))
    assert [value for _, value in found[:-1]] == values[: len(found) - 1]
    assert len(found) > 5_000
    assert isinstance(found[-1][1], Partial)
    assert found[-1][0] == 100 + len(found) - 1


def test_bytes_after_the_records_are_reported() -> None:
    given = batch(record(0, b"a") + record(1, b"b"), 1, last=1)
    found = rows(given)
    assert found[0] == (100, b"a")
    assert isinstance(found[1][1], Partial)
    assert (
        found[1][1].sentence == "offset 101 cannot be decoded: it has more bytes than its records"
    )
    assert rows(batch(record(0, b"a") + b"x", 1)) == [(100, b"a")]  # no offset is left


@pytest.mark.parametrize("details", [False, True])
@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0, 1, 2], [100, 101, 102]),
        ([0, 0, 0], [100, 101, 102]),
        ([2, 1, 0], [100, 101, 102]),
        ([1_000_000, 0, 1], [100, 101, 102]),
        ([0, 1, 2**31 - 1], [100, 101, 102]),
        ([-1, 0, 1], [100, 101, 102]),
        ([-(2**63), 1, 2], [100, 101, 102]),
    ],
)
def test_offsets_that_make_no_sense_are_put_in_order(
    numbers: list[int], expected: list[int], details: bool
) -> None:
    payload = b"".join(record(number, b"%d" % number) for number in numbers)
    found = rows(batch(payload, 3), details=details)
    assert [offset for offset, _ in found] == expected
    assert [value for _, value in found] == [b"%d" % number for number in numbers]


def test_offsets_of_a_compacted_batch_stay_as_they_are() -> None:
    payload = b"".join(record(number, b"v") for number in (3, 4, 90))
    assert [offset for offset, _ in rows(batch(payload, 3, last=90))] == [103, 104, 190]
    later = b"".join(record(number, b"v") for number in (3, 90, 91))
    assert [offset for offset, _ in rows(batch(later, 3, last=91))] == [103, 190, 191]


@pytest.mark.parametrize("attributes", [1, 127, 128, 255])
@pytest.mark.parametrize(
    "headers",
    [
        varint(1) + varint(2) + b"\xff\xfe" + varint(-1),
        varint(1) + varint(-5),
        varint(-1),
        varint(2**31 - 1),
        varint(1) + varint(1) + b"k" + varint(2**31 - 1),
        b"\x00",
    ],
)
def test_headers_and_attributes_that_make_no_sense_hurt_no_record(
    headers: bytes, attributes: int
) -> None:
    payload = record(0, b"a", b"k", headers, attributes) + record(1, b"b")
    for details in (False, True):
        assert rows(batch(payload, 2), details=details) == [(100, b"a"), (101, b"b")]


def test_details_are_time_and_the_first_headers() -> None:
    names = [b"source.%d" % number for number in range(30)]
    headers = varint(31) + varint(1) + b"\xff" + varint(-1)
    headers += b"".join(varint(len(name)) + name + varint(1) + b"v" for name in names)
    given = batch(record(0, b"a", headers=headers), 1)
    [(milliseconds, found)] = Columns.of(Payload(given, MOST, details=True)).details
    assert milliseconds == given.first_timestamp + 5
    assert found == [("\ufffd", None), *((name.decode(), b"v") for name in names[:19])]


@pytest.mark.parametrize("details", [False, True])
@pytest.mark.parametrize("compression", range(5))
def test_records_of_any_size_arrive_between_others(compression: int, details: bool) -> None:
    sizes = [0, 1, MOST, MOST + 1, PIECE - 20, PIECE, PIECE + 1, 3 * PIECE, 5]
    values = [bytes([65 + n]) * size for n, size in enumerate(sizes)]
    keys = [b"%d" % n for n in range(len(sizes))]
    payload = b"".join(
        record(n, value, key) for n, (value, key) in enumerate(zip(values, keys, strict=True))
    )
    whole = Columns.of(Payload(batch(payload, len(sizes), compression), MOST, details))
    assert whole.offsets == list(range(100, 100 + len(sizes)))
    assert whole.keys == keys
    part = read(0, 100, [whole], MOST)
    assert [(one.offset, one.reason, one.value) for one in part.rejects] == [
        (100 + n, "too large", value[: 2**16]) if size > MOST else (100 + n, "broken JSON", value)
        for n, (size, value) in enumerate(zip(sizes, values, strict=True))
    ]
    assert part.rejects[3].error == "the value has 1,048,577 bytes; EVENT_MAX_BYTES is 1,048,576"


@pytest.mark.parametrize("what", ["key", "headers"])
def test_a_record_is_large_also_by_its_key_but_not_by_its_headers(what: str) -> None:
    large = b"k" * (3 * PIECE)
    headers = varint(1) + varint(len(large)) + large + varint(-1)
    made = record(0, event(), large) if what == "key" else record(0, event(), headers=headers)
    part = read(0, 100, Payload(batch(made + record(1, event(1)), 2, segments.ZSTD), MOST), MOST)
    if what == "headers":
        assert part.offsets == [100, 101]
        return
    assert part.offsets == [101]
    [reject] = part.rejects
    assert (reject.offset, reject.key, reject.value) == (100, large[: 2**16], large[: 2**16])
    assert reject.error == f"the key has {len(large):,} bytes; EVENT_MAX_BYTES is 1,048,576"


@pytest.mark.parametrize(("compression", "pack"), [(1, gzip_of), (4, zstd_of)])
def test_a_record_that_unpacks_to_gigabytes_takes_no_memory(
    compression: int, pack: Callable[[Iterable[bytes]], bytes]
) -> None:
    parts = [record(0, event(0)), *giant(1, 1024), record(2, event(2))]
    part = fetched(DefaultRecordBatch(sealed(pack(parts), 3, compression)))
    tracemalloc.start()
    try:
        whole_rows = Columns()
        while part:
            whole_rows.extend(part.take(10_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert whole_rows.offsets == [100, 101, 102]
    found = read(0, 100, [whole_rows], MOST)
    assert found.lines == [event(0), event(2)]
    assert [reject.error for reject in found.rejects] == [
        "the value has 1,073,741,824 bytes; EVENT_MAX_BYTES is 1,048,576"
    ]
    assert peak < 8 * PIECE


@pytest.mark.parametrize("compression", range(1, 5))
def test_a_poll_takes_no_more_than_there_is_room_for(compression: int) -> None:
    values = [event(number, message="x" * 10_000) for number in range(5_000)]
    payload = b"".join(record(n, value) for n, value in enumerate(values))
    part = fetched(batch(payload, len(values), compression))
    seen: list[Value] = []
    takes, most = 0, ROOM + 2 * PIECE
    while part:
        part.room = ROOM
        taken = part.take(10_000)
        takes += 1
        assert sum(len(value) for value in taken.values if isinstance(value, bytes)) <= most
        seen += taken.values
    assert seen == values
    assert takes >= len(payload) // most


def test_snappy_that_claims_gigabytes_is_refused() -> None:
    block = b"\xff\xff\xff\xff\x0f" + b"x" * 100
    tracemalloc.start()
    try:
        [(offset, value)] = rows(DefaultRecordBatch(sealed(block, 1, segments.SNAPPY)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert offset == 100
    assert isinstance(value, Partial)
    assert value.sentence == (
        "offset 100 cannot be decoded: 105 bytes of snappy cannot unpack to 4,294,967,295 bytes"
    )
    assert peak < PIECE
