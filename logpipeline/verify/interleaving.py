"""Interleaving: whether lines are the events of several streams, each once and in its order.

Lines of several partitions are mixed in any order, and different events may have identical lines.
So each line counts as the next event of *every* stream that expects that line; if several did, the
others are owed, and a later line may pay for them. The lines are wrong if one comes that no stream
expects and that is not owed, or if at the end a stream expects more or something is owed. Correct
lines are never reported, since a stream that takes the first line it can is never behind its true
position. Wrong lines pass only if a line is misplaced and its identical twin from another partition
is where that line should be.

Lines are compared by Python's 64-bit hash of their bytes.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

from logpipeline.events.event import is_event

AHEAD = 20_000  # events of a stream that are searched for a line that came too early
CALM = 100  # events in order again that end a disturbance
MOST = 100_000  # problems after which nothing more is compared
KEPT = 1_000  # surplus lines that are kept, to be identified later


class FindingSink(Protocol):
    """Collects events that are "missing" or "out of order"."""

    def add_offset(self, kind: str, stream: str, offset: int) -> None: ...


@dataclass(eq=False)
class EventStream:
    """The expected events of one partition: their `offsets` and the hashes of their lines, the next
    one first. If `ended`, no more will be added."""

    name: str
    offsets: deque[int] = field(default_factory=deque)
    hashes: deque[int] = field(default_factory=deque)
    ended: bool = False
    early: set[int] = field(default_factory=set)  # offsets whose lines came before their turn
    disturbed: list[int] = field(default_factory=list)  # offsets in the order they came, since then

    def pop(self) -> tuple[int, int]:
        return self.offsets.popleft(), self.hashes.popleft()

    def find(self, digest: int) -> int | None:
        """The first offset of that line that has not come early."""
        start = 0
        with suppress(ValueError):
            while True:
                start = self.hashes.index(digest, start)
                if self.offsets[start] not in self.early:
                    return self.offsets[start]
                start += 1
        return None

    def sequel(self, digest: int) -> int | None:
        """The offset after the last one that came, if it has that line."""
        i = bisect_right(self.offsets, self.disturbed[-1])
        while i < len(self.offsets) and self.offsets[i] in self.early:
            i += 1
        return self.offsets[i] if i < len(self.offsets) and self.hashes[i] == digest else None


@dataclass(frozen=True)
class Surplus:
    """A line that no stream expects: its hash, its number, and whether it is a valid event."""

    hash: int
    number: int
    is_event: bool


class Interleaving:
    """Compares lines one by one with `streams`, and reports to `findings`.

    `fill(stream, count)` provides at least `count` events of a stream, unless it ends before.
    `accept(line)` decides whether a line that no stream expects is valid all the same.
    """

    def __init__(
        self,
        streams: Sequence[EventStream],
        findings: FindingSink,
        fill: Callable[[EventStream, int], None] = lambda stream, count: None,
        accept: Callable[[bytes], bool] = lambda line: False,
    ) -> None:
        self._streams = streams
        self._findings = findings
        self._fill = fill
        self._accept = accept
        self._heads: dict[int, list[EventStream]] = {}
        self._owed: dict[int, list[tuple[str, int]]] = {}
        self._skipped: dict[int, list[tuple[str, int]]] = {}
        self._disturbed: dict[str, EventStream] = {}
        self._problems = 0
        self.taken = 0
        self.accepted = 0
        self.surplus: list[Surplus] = []  # the first KEPT
        self.surplus_total = 0
        for stream in streams:
            self._await_next(stream)

    def take(self, line: bytes, number: int) -> bool:
        """Compare the next line. Returns False once there were too many problems to continue."""
        digest = hash(line)
        came = [(stream, stream.offsets[0]) for stream in self._heads.pop(digest, ())]
        if self._disturbed:
            came = self._with_sequels(digest, came)
        if came:
            self.taken += 1
            if len(came) > 1:
                owed = [(stream.name, offset) for stream, offset in came[1:]]
                self._owed.setdefault(digest, []).extend(owed)
            for stream, offset in came:
                self._came(stream, offset)
            return True
        if self._pay(self._owed, digest):
            self.taken += 1
        elif self._accept(line):
            self.accepted += 1
        else:
            self._problems += 1
            self._explain(digest, line, number)
        return self._problems < MOST

    def finish(self, complete: bool = True) -> None:
        """End the comparison. If `complete`, each stream must have come to its end."""
        for stream in self._streams:
            self._end_disturbance(stream)
            while complete and stream.offsets:
                offset, _ = stream.pop()
                if offset not in stream.early:
                    self._findings.add_offset("missing", stream.name, offset)
                self._fill(stream, 1)
        unpaid = [*self._skipped.values()]
        if complete:
            unpaid += self._owed.values()
        for name, offset in sorted(event for events in unpaid for event in events):
            self._findings.add_offset("missing", name, offset)

    @staticmethod
    def _pay(debts: dict[int, list[tuple[str, int]]], digest: int) -> tuple[str, int] | None:
        events = debts.get(digest)
        if not events:
            return None
        event = events.pop(0)
        if not events:
            del debts[digest]
        return event

    def _with_sequels(
        self, digest: int, came: list[tuple[EventStream, int]]
    ) -> list[tuple[EventStream, int]]:
        """In a disturbed stream the event after its last line is likelier than the expected one."""
        for stream in list(self._disturbed.values()):
            offset = stream.sequel(digest)
            if offset is not None and (stream, offset) not in came:
                if (stream, stream.offsets[0]) in came:
                    came.remove((stream, stream.offsets[0]))
                    self._heads.setdefault(digest, []).append(stream)
                came.append((stream, offset))
        return came

    def _came(self, stream: EventStream, offset: int) -> None:
        """A line of `stream` came: the expected one, or one before its turn."""
        expected = offset == stream.offsets[0]
        if not expected:
            stream.early.add(offset)
            self._disturbed[stream.name] = stream
        if stream.name in self._disturbed:
            stream.disturbed.append(offset)
        if expected:
            stream.pop()
            self._await_next(stream)
        if stream.disturbed and (not stream.early or _is_in_order(stream.disturbed[-CALM:])):
            self._end_disturbance(stream)

    def _await_next(self, stream: EventStream) -> None:
        while True:
            if not stream.offsets:
                self._fill(stream, 1)
            if not stream.offsets:
                return
            if stream.offsets[0] not in stream.early:
                self._heads.setdefault(stream.hashes[0], []).append(stream)
                return
            stream.early.discard(stream.pop()[0])

    def _explain(self, digest: int, line: bytes, number: int) -> None:
        """Classify a line that no stream expects: early, late, or surplus."""
        late = self._pay(self._skipped, digest)
        if late:
            self._findings.add_offset("out of order", *late)
            return
        for least in (1, AHEAD):
            for stream in self._streams:
                self._fill(stream, least)
                offset = stream.find(digest)
                if offset is not None:
                    self._came(stream, offset)
                    return
        self.surplus_total += 1
        if len(self.surplus) < KEPT:
            self.surplus.append(Surplus(digest, number, is_event(line)))

    def _end_disturbance(self, stream: EventStream) -> None:
        """Report which events were out of order, and skip those that did not come.

        Events are out of order that are not in the longest run of rising offsets.
        """
        if not stream.disturbed:
            return
        del self._disturbed[stream.name]
        rising = _longest_rising(stream.disturbed)
        for offset in sorted(set(stream.disturbed) - set(rising)):
            self._findings.add_offset("out of order", stream.name, offset)
        stream.disturbed.clear()
        if not stream.offsets or stream.offsets[0] > rising[-1]:
            return
        waiters = self._heads[stream.hashes[0]]
        waiters.remove(stream)
        if not waiters:
            del self._heads[stream.hashes[0]]
        while stream.offsets and stream.offsets[0] <= rising[-1]:
            offset, digest = stream.pop()
            if offset in stream.early:
                stream.early.discard(offset)
            else:
                self._problems += 1
                self._skipped.setdefault(digest, []).append((stream.name, offset))
        self._await_next(stream)


def _is_in_order(offsets: list[int]) -> bool:
    """Whether they rise, and are enough to end a disturbance."""
    return len(offsets) == CALM and all(one < other for one, other in pairwise(offsets))


def _longest_rising(offsets: list[int]) -> list[int]:
    """A longest strictly rising subsequence (patience sorting)."""
    ends: list[int] = []  # of the best subsequence of each length, as an index into offsets
    previous = [-1] * len(offsets)
    values: list[int] = []
    for i, offset in enumerate(offsets):
        length = bisect_left(values, offset)
        previous[i] = ends[length - 1] if length else -1
        values[length : length + 1] = [offset]
        ends[length : length + 1] = [i]
    found, i = [], ends[-1]
    while i >= 0:
        found.append(offsets[i])
        i = previous[i]
    return found[::-1]
