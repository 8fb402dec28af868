"""Slice: what one poll brought of one partition, as events and rejects."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.event import NotAnEvent, one_line, parse


class Record(Protocol):
    """What is used of a kafka-python ConsumerRecord."""

    offset: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that is no event, and why (`reason` for counting, `error` as a sentence)."""

    offset: int
    key: bytes | None
    value: bytes | None
    reason: str
    error: str


@dataclass(frozen=True, slots=True)
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


def read(partition: int, start: int, records: Iterable[Record]) -> Slice:
    """The slice that begins at `start` and holds `records`, sorted into events and rejects."""
    offsets: list[int] = []
    lines: list[bytes] = []
    levels: list[str] = []
    minutes: list[int] = []
    rejects: list[Reject] = []
    end = start
    for record in records:
        value = record.value
        end = record.offset + 1
        try:
            event = parse(value)
        except NotAnEvent as error:
            rejects.append(Reject(record.offset, record.key, value, error.reason, str(error)))
            continue
        assert value is not None  # parse has refused it
        offsets.append(record.offset)
        lines.append(one_line(value))
        levels.append(event.level)
        minutes.append(int(event.timestamp // 60))
    return Slice(partition, start, end, offsets, lines, levels, minutes, rejects)
