"""Columns: the records of a partition as parallel lists."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, Self

from logpipeline.events.event import Value

Headers = list[tuple[str, bytes | None]]


class Record(Protocol):
    """The part of a kafka-python ConsumerRecord that is used here."""

    offset: int
    key: bytes | None
    value: bytes | None


@dataclass(slots=True)
class Columns:
    """Parallel lists; `len()` is the number of records. `epoch` is the leader epoch of all of them,
    -1 if it is unknown.

    `details` are Kafka's time in milliseconds and the headers; empty unless they were requested.
    kafka-python passes one on by list.extend, which takes it as a single item.
    """

    offsets: list[int] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    details: list[tuple[int, Headers]] = field(default_factory=list)
    epoch: int = field(default=-1, compare=False)  # kafka-python's records are of several

    @classmethod
    def of(cls, polled: "Iterable[Record | Columns]", details: bool = False) -> "Columns":
        """All records that `KafkaConsumer.poll` returned for one partition. A single part is
        returned as it is."""
        parts = list(polled)
        if len(parts) == 1 and isinstance(parts[0], Columns):
            return parts[0]
        whole = cls()
        for part in parts:
            if not isinstance(part, Columns):
                detail = _details(part) if details else []
                part = cls([part.offset], [part.key], [part.value], detail)
            whole.extend(part)
        return whole

    def __len__(self) -> int:
        return len(self.offsets)

    def __iter__(self) -> Iterator[Self]:
        yield self

    def extend(self, later: "Columns") -> None:
        self.offsets += later.offsets
        self.keys += later.keys
        self.values += later.values
        self.details += later.details

    def part(self, begin: int, end: int) -> "Columns":
        """The records from index `begin` up to, not including, `end`."""
        return Columns(
            self.offsets[begin:end],
            self.keys[begin:end],
            self.values[begin:end],
            self.details[begin:end],
            self.epoch,
        )

    def cut(self, count: int) -> "Columns":
        """Remove and return the first `count` records."""
        if count >= len(self):
            everything = Columns(self.offsets, self.keys, self.values, self.details, self.epoch)
            self.offsets, self.keys, self.values, self.details = [], [], [], []
            return everything
        first = self.part(0, count)
        del self.offsets[:count], self.keys[:count], self.values[:count], self.details[:count]
        return first


def _details(record: Record) -> list[tuple[int, Headers]]:
    """The details of one of kafka-python's own records."""
    time = getattr(record, "timestamp", None)
    return [] if time is None else [(time, getattr(record, "headers", []))]
