"""Slice: the records of one partition from one poll, as events and rejects."""

import math
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from logpipeline.events.columns import Columns, Record
from logpipeline.events.event import (
    InvalidRecord,
    Partial,
    Value,
    checked,
    one_line,
    parse,
    parse_all,
)

CHUNK = 500  # records decoded at once, so that an invalid one slows only these


@dataclass(frozen=True, slots=True)
class Reject:
    """An invalid record, and why (`reason` for counting, `error` as a sentence).

    `value` is only the beginning when the record is too large, or its batch cannot be read.
    """

    offset: int
    key: bytes | None
    value: bytes | None
    reason: str
    error: str


class Place(NamedTuple):
    """The next offset of a partition, and the leader epoch of the record before it (-1: unknown).

    Kafka may lose records and reuse their offsets; the new records then have a higher epoch.
    """

    offset: int
    epoch: int = -1

    def precedes(self, other: "Place") -> bool:
        """Whether what is read up to `other` includes records that are not read up to here."""
        if self.epoch != other.epoch and min(self.epoch, other.epoch) >= 0:
            return self.epoch < other.epoch
        return self.offset < other.offset


@dataclass(frozen=True)
class Slice:
    """The records of one partition from offset `start` up to, not including, `end`, all of one
    leader `epoch` (-1: unknown).

    The lists of events are parallel and in the order of their offsets. `times` are the events'
    own timestamps in Unix seconds, `minutes` these / 60; `lines` have no newline. `topic_id`
    distinguishes a topic from a deleted one of the same name.
    """

    partition: int
    start: int
    end: int
    offsets: list[int] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    levels: list[str] = field(default_factory=list)
    minutes: list[int] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    topic_id: str = ""
    epoch: int = -1

    @property
    def place(self) -> Place:
        """The place after it."""
        return Place(self.end, self.epoch)

    @cached_property
    def counts(self) -> Counter[tuple[int, str]]:
        """Events per (minute, level)."""
        return Counter(zip(self.minutes, self.levels, strict=True))

    @cached_property
    def size(self) -> int:
        """Bytes of the lines."""
        return sum(map(len, self.lines))

    def since(self, offset: int) -> "Slice":
        """The part from `offset` on; empty (`start` == `end`) if the slice ends before it."""
        if offset <= self.start:
            return self
        i = bisect_left(self.offsets, offset)
        return Slice(
            self.partition,
            min(offset, self.end),
            self.end,
            self.offsets[i:],
            self.lines[i:],
            self.levels[i:],
            self.minutes[i:],
            [reject for reject in self.rejects if reject.offset >= offset],
            self.times[i:],
            self.topic_id,
            self.epoch,
        )

    def after(self, place: Place) -> "Slice":
        """The part that is not read up to `place`: all of it if Kafka has reused offsets since,
        none if Kafka has lost it since."""
        if self.epoch != place.epoch and min(self.epoch, place.epoch) >= 0:
            return self if self.epoch > place.epoch else self.since(self.end)
        return self.since(place.offset)

    def until(self, offset: int) -> "Slice":
        """The part before `offset`, which is one of `offsets`."""
        i = bisect_left(self.offsets, offset)
        return Slice(
            self.partition,
            self.start,
            offset,
            self.offsets[:i],
            self.lines[:i],
            self.levels[:i],
            self.minutes[:i],
            [reject for reject in self.rejects if reject.offset < offset],
            self.times[:i],
            self.topic_id,
            self.epoch,
        )


def pieces(batch: list[Slice], room: int, most: int) -> Iterator[list[Slice]]:
    """`batch` cut into pieces, in order: the lines of the first piece, which may be empty, take
    `room` bytes at most, those of the others `most`. A longer line is a piece of its own."""
    piece: list[Slice] = []
    waiting = deque(batch)
    while waiting:
        part = waiting.popleft()
        ends = list(accumulate(len(line) + 1 for line in part.lines))
        fit = bisect_right(ends, room)
        if not fit and room == most:
            fit = 1
        if fit >= len(ends):
            piece.append(part)
            room -= ends[-1] if ends else 0
            continue
        if fit:
            after = part.offsets[fit]
            piece.append(part.until(after))
            part = part.since(after)
        waiting.appendleft(part)
        yield piece
        piece, room = [], most
    if piece:
        yield piece


def read(
    partition: int,
    start: int,
    polled: Iterable[Record | Columns],
    most: float = math.inf,
    topic_id: str = "",
) -> Slice:
    """The slice that begins at `start` and holds the polled records: events, of `most` bytes each
    at most, and rejects."""
    records = Columns.of(polled)
    end = records.offsets[-1] + 1 if records else start
    part = Slice(partition, start, end, topic_id=topic_id)
    for i in range(0, len(records), CHUNK):
        _add(part, records.part(i, i + CHUNK), most)
    return part


def _add(part: Slice, records: Columns, most: float) -> None:
    parsed = parse_all(records.values, most)
    if parsed is None:
        _add_singly(part, records, most)
        return
    levels, times = parsed
    part.offsets.extend(records.offsets)
    part.lines.extend(records.values)  # type: ignore[arg-type]  # all are bytes
    part.levels.extend(levels)
    part.times.extend(times)
    first, last = int(min(times) // 60), int(max(times) // 60)
    if first == last:
        part.minutes.extend([first] * len(levels))
    else:
        part.minutes.extend(int(time // 60) for time in times)


def _add_singly(part: Slice, records: Columns, most: float) -> None:
    for offset, key, value in zip(records.offsets, records.keys, records.values, strict=True):
        try:
            event = parse(value, most)
        except InvalidRecord as error:
            part.rejects.append(Reject(offset, key, kept(value, most), error.reason, str(error)))
            continue
        assert isinstance(value, bytes)  # parse refuses everything else
        part.offsets.append(offset)
        part.lines.append(one_line(value))
        part.levels.append(event.level)
        part.times.append(event.timestamp)
        part.minutes.append(int(event.timestamp // 60))


def kept(value: Value, most: float) -> bytes | None:
    """The value that a reject keeps: only its beginning, if it has more than `most` bytes."""
    whole = None if value is None else checked(value, most)
    return whole.beginning if isinstance(whole, Partial) else whole
