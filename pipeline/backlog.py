"""Backlog: what Redis has not got yet, bounded, however long it is away."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pipeline.batch import Slice
from pipeline.event import LEVELS

MOST_EVENTS = 50_000  # kept as slices, about 20 MB; older ones are folded
MOST_SLICES = 5_000
MOST_BYTES = 16 * 2**20  # of lines in slices, and as many in what is folded
NOWHERE = -1  # an offset at which Redis never stands

Counts = Counter[tuple[int, str]]  # (minute, level) → events


@dataclass
class News:
    """What to put into Redis in one step.

    `spans` is partition → [first offset, next offset]; `lists` is level, or "" for all → the
    newest `cap` lines, oldest first; `times` are those of the list of all, in Unix seconds.
    `whole` says that no list lacks one of them.
    """

    cap: int
    spans: dict[int, list[int]] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counter)
    lists: dict[str, deque[bytes]] = field(default_factory=dict)
    times: deque[float] = field(default_factory=deque)
    whole: bool = True

    def __post_init__(self) -> None:
        self.times = deque(maxlen=self.cap)
        for name in ("", *LEVELS):
            self.lists[name] = deque(maxlen=self.cap)

    def add(self, part: Slice) -> None:
        """Put a slice at the end."""
        self._span(part.partition, part.start, part.end)
        self.counts.update(part.counts)
        self.lists[""].extend(part.lines[-self.cap :])
        self.times.extend(part.times[-self.cap :])
        for level, line in zip(part.levels, part.lines, strict=True):
            self.lists[level].append(line)

    def add_lines(self, lines: Iterable[tuple[str, bytes]]) -> None:
        """Put (level, line) pairs at the end of the lists alone."""
        for level, line in lines:
            self.lists[""].append(line)
            self.lists[level].append(line)

    def extend(self, later: "News") -> None:
        """Put all of `later` at the end."""
        for partition, (start, end) in later.spans.items():
            self._span(partition, start, end)
        self.counts.update(later.counts)
        self.times.extend(later.times)
        self.whole = self.whole and later.whole
        for name, lines in later.lists.items():
            self.lists[name].extend(lines)

    def drop_lists(self) -> None:
        """Keep the counts alone."""
        self.whole = False
        self.times.clear()
        for lines in self.lists.values():
            lines.clear()

    @property
    def size(self) -> int:
        """Bytes of the lines, those twice that are in two lists."""
        return sum(sum(map(len, lines)) for lines in self.lists.values())

    def _span(self, partition: int, start: int, end: int) -> None:
        """Lengthen a span. What does not follow the end of it makes a hole."""
        span = self.spans.setdefault(partition, [start, start])
        if span[1] != start:
            span[0] = NOWHERE
        span[1] = end


class Backlog:
    """Slices in the order of the archive: the newest as they are, older ones folded into one.

    Only slices can be cut where Redis turns out to stand. Folding is for an outage, in which
    Redis stands still. Of what is too large even when folded only the counts are kept: the lists
    are then made from the end of logs.txt.
    """

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._folded = News(cap)
        self._slices: deque[Slice] = deque()
        self._events = self._size = 0

    def __bool__(self) -> bool:
        return bool(self._slices or self._folded.spans)

    def __len__(self) -> int:
        """The events in the slices that are not folded."""
        return self._events

    def add(self, part: Slice) -> None:
        """Put a slice at the end."""
        self._slices.append(replace(part, rejects=[]) if part.rejects else part)
        self._events += len(part.lines)
        self._size += part.size
        while self._is_long():
            self._fold()

    def extend(self, later: "Backlog") -> None:
        """Put all of `later` at the end."""
        if later._folded.spans:
            while self._slices:
                self._fold()
            self._folded.extend(later._folded)
            self._bound()
        for part in later._slices:
            self.add(part)

    def ends(self) -> dict[int, int]:
        """The next offset of each partition in it."""
        ends = {partition: end for partition, (_, end) in self._folded.spans.items()}
        return ends | {part.partition: part.end for part in self._slices}

    def after(self, stood: Mapping[int, int]) -> News | None:
        """What follows the offsets at which Redis stands, 0 where it has none; None when
        something before it is missing, or when the cut would be in what is folded."""
        news = News(self._cap)
        spans = self._folded.spans.items()
        if any(stood.get(partition, 0) < end for partition, (_, end) in spans):
            news.extend(self._folded)
        for part in self._slices:
            new = part.since(stood.get(part.partition, 0))
            if new.start < new.end:
                news.add(new)
        spans = news.spans.items()
        follows = all(stood.get(p, 0) == start for p, (start, _) in spans)
        return news if follows and news.whole else None

    def counts(self, stood: Mapping[int, int]) -> Counts:
        """Of the events that Redis surely has not counted when it stands there."""
        counts: Counts = Counter()
        spans = self._folded.spans.items()
        if all(stood.get(partition, 0) <= start for partition, (start, _) in spans):
            counts.update(self._folded.counts)
        for part in self._slices:
            counts.update(part.since(stood.get(part.partition, 0)).counts)
        return counts

    def _is_long(self) -> bool:
        slices, events, size = len(self._slices), self._events, self._size
        return slices > MOST_SLICES or events > MOST_EVENTS or size > MOST_BYTES

    def _fold(self) -> None:
        oldest = self._slices.popleft()
        self._events -= len(oldest.lines)
        self._size -= oldest.size
        self._folded.add(oldest)
        if oldest.lines:
            self._bound()

    def _bound(self) -> None:
        if not self._folded.whole or self._folded.size > MOST_BYTES:
            self._folded.drop_lists()
