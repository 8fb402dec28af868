"""Events: record batches and their values, as whoever may write to the topic sends them."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.record import MemoryRecords

from logpipeline.events.event import InvalidRecord, parse
from logpipeline.events.slices import Slice, read
from logpipeline.kafka.fetcher import Fetched
from tests.fuzz import reference
from tests.fuzz.batches import Record, batch
from tests.fuzz.hostile import Parts, anything, encoded, joined, some_bytes
from tests.fuzz.reference import deep_down, doubtful
from tests.fuzz.target import MIB, Target, hold, pure
from tests.support import segments
from tests.support.records import Record as Given

AT = TopicPartition("logs", 0)
WELL = b'{"level":"INFO","message":"hello","timestamp":1711234567.5}'
BEGINNING = WELL[:-1] + b',"x":'
NEXT = [(WELL, 1)]
MOST = 128 * MIB
LARGEST = MIB  # bytes of a record
ROOM = 8 * MIB  # bytes that one poll unpacks

keys = st.none() | some_bytes
headers = st.lists(st.tuples(some_bytes, st.none() | some_bytes), max_size=3)
record = st.tuples(keys, st.none() | anything, headers)
batches = st.tuples(st.lists(record, min_size=1, max_size=4), st.integers(0, 4))


def nested(depth: int) -> Parts:
    return [(BEGINNING, 1), (b"[", depth), (b"1", 1), (b"]", depth), (b"}", 1)]


def bytes_of(parts: Parts | None) -> bytes | None:
    return None if parts is None else joined(parts, 3 * MIB)


def value(given: bytes | None) -> Callable[[], None]:
    """Decide about one value, alone, among others, and where the stack is nearly full."""
    shallow, deep = _verdict(given), deep_down(lambda: _verdict(given))
    part = read(0, 0, [Given(0, WELL), Given(1, given), Given(2, WELL)], LARGEST)

    def compare() -> None:
        hold(shallow == deep, f"another verdict deep down the stack: {shallow} and {deep}")
        expected = reference.verdict(given)
        if not doubtful(given):
            hold(shallow == expected, f"{shallow}, but by RFC 8259 {expected}")
        hold(_accounted(part, 3), "a record is neither a line nor a reject, or both")
        hold((1 in part.offsets) == (shallow is not None), "one verdict alone, another one among")
        if 1 in part.offsets and given is not None:
            _same_line(part.lines[part.offsets.index(1)], given)

    return compare


def sent(given: Any) -> tuple[bytes, list[Record]]:
    """The bytes that Kafka has, of a batch and of the next one; the batch's records."""
    specs, compression = given
    made = [
        Record(key, None if parts is None else joined(parts, 2 * MOST), tuple(headers))
        for key, parts, headers in specs
    ]
    return batch(made, compression) + batch([Record(None, WELL)], offset=len(made)), made


def fetched(given: tuple[bytes, list[Record]]) -> Callable[[], None]:
    """Read them as they come from Kafka."""
    data, made = given
    events, rejects = _read(data)

    def compare() -> None:
        whole = sorted([*events, *rejects]) == list(range(len(made) + 1))
        hold(whole, "a record is neither a line nor a reject, or both")
        for offset, each in enumerate(made):
            if not doubtful(each.value):
                expected = reference.verdict(each.value) is not None
                hold((offset in events) == expected, f"record {offset}: event is {expected}")

    return compare


def _read(data: bytes) -> tuple[list[int], list[int]]:
    """The offsets of the events and of the rejects, as many polls give them."""
    part = Fetched(0, AT, MemoryRecords(data), most=LARGEST)
    events: list[int] = []
    rejects: list[int] = []
    while part:
        part.room = ROOM
        polled = read(0, 0, [part.take(10_000)], LARGEST)
        events += polled.offsets
        rejects += [reject.offset for reject in polled.rejects]
    return events, rejects


def _verdict(value: bytes | None) -> tuple[str, float] | None:
    with suppress(InvalidRecord):
        event = parse(value, LARGEST)
        return event.level, event.timestamp
    return None


def _accounted(part: Slice, count: int) -> bool:
    offsets = sorted([*part.offsets, *(reject.offset for reject in part.rejects)])
    same = len(part.offsets) == len(part.lines) == len(part.levels) == len(part.minutes)
    return offsets == list(range(count)) and same


def _same_line(line: bytes, given: bytes) -> None:
    hold(b"\n" not in line and b"\r" not in line, "an event on two lines")
    if line != given:
        hold(b"\n" in given or b"\r" in given, "other bytes than the record's")
        hold(json.loads(line) == json.loads(given), "another event than the record's")


TARGETS = (
    Target(
        "values",
        "a value is an event or not by RFC 8259 and a fixed nesting, at any depth of the stack; "
        "it becomes one line of the same bytes, or one reject",
        st.none() | anything,
        pure(value, bytes_of),
        corpus=[
            *(nested(depth) for depth in (20, 99, 110, 500, 900, 980, 991, 996, 100_000)),
            [(BEGINNING, 1), (b'{"a":', 991), (b"1", 1), (b"}", 991), (b"}", 1)],
            [(b"[", 1_000_000)],
            [(WELL[:-3], 1), (b"9", 5_000), (b"}", 1)],
            [(encoded({"level": "x" * 1_000, "message": "m", "timestamp": 1}), 1)],
            [(b"\xef\xbb\xbf", 1), (WELL, 1)],
        ],
    ),
    Target(
        "batches",
        "each record of a batch, packed by whatever, is one line or one reject, in bounded memory",
        batches,
        pure(fetched, sent),
        corpus=[
            ([(None, nested(991), []), (None, NEXT, [])], segments.NONE),
            ([(b"k", NEXT, [(b"\xff\xfe", b"x")])], segments.NONE),
            ([(b"k", NEXT, [(b"", None)]), (None, None, [])], segments.ZSTD),
            # One record of 200 MB, and many that are 200 MB together.
            ([(None, [(BEGINNING + b'"', 1), (b"a", 2**27), (b'"}', 1)], [])], segments.ZSTD),
            ([(None, [(b" ", 2**22)], [])] * 48, segments.ZSTD),
            ([(None, [(b" ", 2**22)], [])] * 48, segments.GZIP),
            ([(b"\xff" * 100, [(b"[", 2**20)], [(b"a", b"b")] * 1_000)], segments.LZ4),
        ],
        seconds=2.0,
        bytes=96 * MIB,
    ),
)
