"""Backlog: events that Redis does not have yet, in bounded memory through any outage."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from logpipeline.events.event import LEVELS
from logpipeline.events.slices import Place, Slice

MOST_EVENTS = 50_000  # kept as slices, about 20 MB; older ones are folded
MOST_BYTES = 16 * 2**20  # of the lines of these
LIST_BYTES = 4 * 2**20  # bytes of a list's lines, if it has fewer than `cap`: see list_bytes
LINE_BYTES = 512  # or so many for each line of `cap`
NOWHERE = -1  # an offset that is never Redis' position
START = Place(0)

Counts = Counter[tuple[int, str]]  # (minute, level) → events


def list_bytes(cap: int) -> int:
    """The bytes that a list of at most `cap` lines holds before it may lack an older line."""
    return max(LIST_BYTES, LINE_BYTES * cap)


def _size(lines: Iterable[bytes]) -> int:
    return sum(map(len, lines))


@dataclass
class News:
    """What to write to Redis in one step.

    `spans` is partition → [first offset, next offset], and `epochs` is partition → the leader epoch
    of the record before the latter; `lists` is level, or "" for all → the
    newest `cap` lines, oldest first. Those in `cut` have fewer, which take list_bytes.
    `times` are those of the list of all, in Unix seconds.
    """

    cap: int
    spans: dict[int, list[int]] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counter)
    lists: dict[str, deque[bytes]] = field(default_factory=dict)
    times: deque[float] = field(default_factory=deque)
    cut: set[str] = field(default_factory=set)
    _added: int = 0  # bytes since the lists were last cut

    def __post_init__(self) -> None:
        self.times = deque(maxlen=self.cap)
        for name in ("", *LEVELS):
            self.lists[name] = deque(maxlen=self.cap)

    def ends(self) -> dict[int, Place]:
        """Partition → the place after its span."""
        return {p: Place(end, self.epochs.get(p, -1)) for p, (_, end) in self.spans.items()}

    def add(self, part: Slice) -> None:
        """Append a slice."""
        self._span(part.partition, part.start, part.place)
        self.counts.update(part.counts)
        self.lists[""].extend(part.lines[-self.cap :])
        self.times.extend(part.times[-self.cap :])
        for level, line in zip(part.levels, part.lines, strict=True):
            self.lists[level].append(line)
        self._grow(part.size)

    def add_lines(self, lines: Iterable[tuple[str, bytes]]) -> None:
        """Append (level, line) pairs to the lists alone."""
        for level, line in lines:
            self.lists[""].append(line)
            self.lists[level].append(line)
            self._grow(len(line))

    def extend(self, later: "News") -> None:
        """Append all of `later`."""
        for partition, place in later.ends().items():
            self._span(partition, later.spans[partition][0], place)
        self.counts.update(later.counts)
        self.times.extend(later.times)
        for name, lines in later.lists.items():
            if name in later.cut:
                self.lists[name].clear()  # otherwise lines would be missing in between
                self.cut.add(name)
            self.lists[name].extend(lines)
        self._grow(max(map(_size, later.lists.values())))

    def cut_lists(self) -> dict[str, int]:
        """Drop the oldest lines of a list beyond list_bytes. Returns the bytes of each list."""
        most, sizes = list_bytes(self.cap), {}
        for name, lines in self.lists.items():
            size = _size(lines)
            while lines and size - len(lines[0]) >= most:
                size -= len(lines.popleft())
                self.cut.add(name)
            sizes[name] = size
        while len(self.times) > len(self.lists[""]):
            self.times.popleft()
        return sizes

    def _grow(self, added: int) -> None:
        """Cut the lists now and then: counting their bytes takes time."""
        self._added += added
        if self._added > list_bytes(self.cap):
            self._added = 0
            self.cut_lists()

    def _span(self, partition: int, start: int, end: Place) -> None:
        """Extend a span. Offsets that do not follow its end leave a hole."""
        span = self.spans.setdefault(partition, [start, start])
        if span[1] != start:
            span[0] = NOWHERE
        span[1], self.epochs[partition] = end


class Backlog:
    """Slices in the order of the archive: the newest as they are, older ones folded into one.

    Only slices can be cut at Redis' position. Folding is for an outage, in which that position
    does not change.
    """

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._folded = News(cap)
        self._slices: deque[Slice] = deque()
        self._events = self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._slices or self._folded.spans)

    def __len__(self) -> int:
        """The events in the slices that are not folded."""
        return self._events

    def add(self, part: Slice) -> None:
        """Append a slice."""
        self._slices.append(part)
        self._events += len(part.lines)
        self._bytes += part.size
        while self._events + len(self._slices) > MOST_EVENTS or self._bytes > MOST_BYTES:
            self._fold()

    def extend(self, later: "Backlog") -> None:
        """Append all of `later`."""
        if later._folded.spans:
            while self._slices:
                self._fold()
            self._folded.extend(later._folded)
        for part in later._slices:
            self.add(part)

    def ends(self) -> dict[int, Place]:
        """The place after each partition's events in it."""
        return self._folded.ends() | {part.partition: part.place for part in self._slices}

    def after(self, position: Mapping[int, Place]) -> News | None:
        """What follows Redis' position, partition → place, START if missing; None if something
        before it is missing, if Kafka has lost and replaced records before it, or if the cut would
        be in folded slices."""
        news = News(self._cap)
        ends = self._folded.ends().items()
        if any(position.get(partition, START).precedes(end) for partition, end in ends):
            news.extend(self._folded)
        for part in self._slices:
            new = part.after(position.get(part.partition, START))
            if new.start < new.end:
                news.add(new)
        spans = news.spans.items()
        follows = all(position.get(p, START).offset == start for p, (start, _) in spans)
        return news if follows else None

    def counts(self, position: Mapping[int, Place]) -> Counts:
        """Counts of the events that Redis, at that position, has certainly not counted."""
        counts: Counts = Counter()
        spans = self._folded.spans.items()
        if all(position.get(partition, START).offset <= start for partition, (start, _) in spans):
            counts.update(self._folded.counts)
        for part in self._slices:
            counts.update(part.after(position.get(part.partition, START)).counts)
        return counts

    def counts_between(self, start: Mapping[int, Place], end: Mapping[int, Place]) -> Counts:
        """Of the events after one position and before another."""
        return self.counts(start) - self.counts(end)

    def _fold(self) -> None:
        oldest = self._slices.popleft()
        self._events -= len(oldest.lines)
        self._bytes -= oldest.size
        self._folded.add(oldest)
