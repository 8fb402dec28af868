"""Slice: what one poll brought of one partition, as events and rejects."""

from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

from pipeline.columns import Columns, Record
from pipeline.event import NotAnEvent, one_line, parse, parse_all

CHUNK = 500  # records that are decoded at once, so that one that is no event slows only these


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that is no event, and why (`reason` for counting, `error` as a sentence)."""

    offset: int
    key: bytes | None
    value: bytes | None
    reason: str
    error: str


@dataclass(frozen=True)
class Slice:
    """The records of one partition from offset `start` up to, not including, `end`.

    The four lists are parallel and in the order of their offsets. `minutes` are Unix
    time / 60 by the event's timestamp, `lines` have no newline.
    """

    partition: int
    start: int
    end: int
    offsets: list[int] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    levels: list[str] = field(default_factory=list)
    minutes: list[int] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)

    @cached_property
    def counts(self) -> Counter[tuple[int, str]]:
        """Events per (minute, level)."""
        return Counter(zip(self.minutes, self.levels, strict=True))

    def since(self, offset: int) -> "Slice":
        """The part of it from `offset` on; empty (`start` == `end`) if it ends before."""
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
        )

    def until(self, offset: int) -> "Slice":
        """The part of it before `offset`, which is one of `offsets`."""
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
        )


def pieces(batch: list[Slice], room: int, most: int) -> Iterator[list[Slice]]:
    """`batch` in its order, cut: the lines of the first piece, which may have none, take `room`
    bytes at most, those of the others `most`. A line that takes more is a piece of its own."""
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
        after = part.offsets[fit]
        waiting.appendleft(part.since(after))
        yield [*piece, part.until(after)] if fit else piece
        piece, room = [], most
    if piece:
        yield piece


def read(partition: int, start: int, polled: Iterable[Record | Columns]) -> Slice:
    """The slice that begins at `start` and holds what was polled: events and rejects."""
    records = Columns.of(polled)
    end = records.offsets[-1] + 1 if records else start
    part = Slice(partition, start, end)
    for i in range(0, len(records), CHUNK):
        _add(part, records.part(i, i + CHUNK))
    return part


def _add(part: Slice, records: Columns) -> None:
    parsed = parse_all(records.values)
    if parsed is None:
        _add_singly(part, records)
        return
    levels, timestamps = parsed
    part.offsets.extend(records.offsets)
    part.lines.extend(records.values)  # type: ignore[arg-type]  # there is no None
    part.levels.extend(levels)
    first, last = int(min(timestamps) // 60), int(max(timestamps) // 60)
    if first == last:
        part.minutes.extend([first] * len(levels))
    else:
        part.minutes.extend(int(timestamp // 60) for timestamp in timestamps)


def _add_singly(part: Slice, records: Columns) -> None:
    for offset, key, value in zip(records.offsets, records.keys, records.values, strict=True):
        try:
            event = parse(value)
        except NotAnEvent as error:
            part.rejects.append(Reject(offset, key, value, error.reason, str(error)))
            continue
        assert value is not None  # parse has refused it
        part.offsets.append(offset)
        part.lines.append(one_line(value))
        part.levels.append(event.level)
        part.minutes.append(int(event.timestamp // 60))
