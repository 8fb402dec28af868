"""Conversion: a file's bytes become events; its position is before all that Kafka may not have."""

import time
from collections import deque
from collections.abc import Iterable, Iterator

from logpipeline.events.joining import Joined, Joiner
from logpipeline.events.lines import Lines
from logpipeline.producer.line_reader import Line, LineReader, line_reader


class Conversion:
    """Converts a file's bytes from `offset` on; `joiner` joins its lines, `lines` make the events.

    The acknowledgement of each event is to be reported, in order.
    """

    def __init__(self, lines: Lines, joiner: Joiner, offset: int) -> None:
        self._lines, self._joiner = lines, joiner
        self._reader: LineReader | None = None
        self._at = offset  # where the first line begins that was not given to the joiner
        self._starts: deque[int] = deque()  # of the events that Kafka has not acknowledged

    def begin(self, encoding: str) -> None:
        self._reader = line_reader(encoding, self._at)

    @property
    def has_begun(self) -> bool:
        return self._reader is not None

    @property
    def nuls(self) -> int:
        return self._reader.nuls if self._reader else 0

    @property
    def offset(self) -> int:
        """The start of the first line that Kafka may not have."""
        return min(self.unconverted, self._starts[0]) if self._starts else self.unconverted

    @property
    def unconverted(self) -> int:
        """The start of the first line that is not in an event."""
        pending = self._joiner.pending_from
        return self._at if pending is None else min(self._at, pending)

    @property
    def is_joining(self) -> bool:
        """Whether an event waits for its continuation."""
        return self._joiner.pending_from is not None

    @property
    def is_acknowledged(self) -> bool:
        return not self._starts

    def events(self, data: bytes) -> Iterator[bytes]:
        """The events that the next bytes complete."""
        return self._converted(self._reader.feed(data)) if self._reader else iter(())

    def late_events(self, with_unfinished: bool) -> Iterator[bytes]:
        """Those that need not wait any longer for a continuation; with the unfinished line or
        without."""
        if with_unfinished and self._reader and self._reader.unfinished:
            yield from self._converted(self._reader.end())
        yield from self._of(self._joiner.expired(time.monotonic()))

    def last_events(self) -> Iterator[bytes]:
        """The rest, of a file that is finished."""
        if self._reader:
            yield from self._converted(self._reader.end())
        yield from self._of(self._joiner.end())

    def acknowledge(self) -> None:
        """Record that Kafka has the oldest event that it had not acknowledged."""
        self._starts.popleft()

    def skip_to(self, offset: int) -> None:
        self._at = offset

    def drop(self) -> int:
        """Forget what is not in an event. Returns the position where that begins."""
        self._at = self.unconverted
        self._reader = None
        self._joiner.end()
        return self._at

    def _converted(self, found: list[Line]) -> Iterator[bytes]:
        now, start = time.monotonic(), self._at
        feed = self._joiner.feed
        for line, size, end in found:
            joined = feed(line, size, start, now)
            if joined:
                yield from self._of(joined)
            self._at = start = end
        if self._reader and not self._reader.unfinished:
            self._at = self._reader.at  # after NULs

    def _of(self, joined: Iterable[Joined]) -> Iterator[bytes]:
        """The events; positions stay before all of them until Kafka has them."""
        made = []
        for each in joined:
            value = self._lines.event(each.text, each.size)
            if value is not None:
                made.append(value)
                self._push(each.start)
        yield from made

    def _push(self, start: int) -> None:
        """A container's streams may overlap: an event that begins earlier holds the others."""
        starts = self._starts
        starts.append(start)
        at = len(starts) - 2
        while at >= 0 and starts[at] > start:
            starts[at] = start
            at -= 1
