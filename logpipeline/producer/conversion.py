"""Conversion: a file's bytes become events; its position is before all that Kafka may not have."""

import time
from collections import deque
from collections.abc import Iterable
from itertools import accumulate, compress

from logpipeline.events.joining import Joined, Joiner
from logpipeline.events.lines import HEADER, Lines
from logpipeline.events.w3c import HeaderFields
from logpipeline.producer.line_reader import UTF_8, Line, LineReader, line_reader

FEWEST = 4  # lines that are given to the joiner at once, where one may join another


class Conversion:
    """Converts a file's bytes from `offset` on; `joiner` joins its lines, `lines` make the events.

    If it is `followed`, the acknowledgement of each event is to be reported, in order.
    """

    def __init__(
        self, lines: Lines, joiner: Joiner, offset: int = 0, followed: bool = True
    ) -> None:
        self._lines, self._joiner = lines, joiner
        self._encoding = UTF_8
        self._columns = HeaderFields()
        self._reader: LineReader | None = None
        self._at = offset  # where the first line begins that was not given to the joiner
        self._earlier: Conversion | None = None  # that of the file whose events this one continues
        self._handed = self._owed = 0  # of those that are to be made, and acknowledged
        # Of the events that Kafka has not acknowledged, where they begin.
        self._starts: deque[int] = deque(maxlen=None if followed else 0)

    def begin(self, encoding: str, before: bytes = b"") -> None:
        """`before` is the beginning of what precedes the offset."""
        self._encoding = encoding
        self._columns = self._columns.after_all(before)
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
    def ends_whole(self) -> bool:
        """Whether the last line that was read ended."""
        return self._reader is not None and not self._reader.unfinished

    @property
    def is_acknowledged(self) -> bool:
        return not self._starts

    def events(self, data: bytes) -> list[bytes]:
        """The events that the next bytes complete."""
        if self._reader is None:
            return []
        begin = data.find(b"\n") + 1
        end = data.rfind(b"\n", begin, max(begin, data.rfind(b"\n"))) + 1
        nul = b"\0" in data and b"\n\0" in data
        if self._encoding != UTF_8 or not begin < end or nul or HEADER in data:
            return self._fed(data)
        made = self._fed(data[:begin])
        last = begin  # where the last line begins that was fed
        fed = FEWEST  # lines at once
        while begin < end:
            stop = self._bulk_end(data, begin, end, last)
            if stop > begin:
                made += self._of(self._joiner.end())
                made += self._separate(data[begin:stop])
                begin, last, fed = stop, stop, FEWEST
                continue
            for _ in range(fed):
                last, begin = begin, data.find(b"\n", begin) + 1
                if begin >= end:
                    break
            made += self._fed(data[stop:begin])
            fed *= 2
        return made + self._fed(data[end:])  # the last line may be continued

    def hand_over(self, later: "Conversion") -> None:
        """Let the file that rotation began after this one, and of which nothing was converted,
        continue the events that wait. Their acknowledgement is reported here too."""
        if starts := self._joiner.begin_again():
            self._joiner, later._joiner = later._joiner, self._joiner
            later._earlier, later._handed, later._owed = self, len(starts), len(starts)
            for start in starts:
                self._push(start)

    def _bulk_end(self, data: bytes, begin: int, end: int, last: int) -> int:
        """The end of those whole lines that are events as they are; `begin` if the next line must
        be fed. The `last` line that was fed may be one that such a line joins."""
        if not self._joiner.is_quiet:
            return begin
        special = self._joiner.next_special(data, last - 1)
        if special is None or special > end:
            return end
        if special <= begin:
            return begin
        return data.rfind(b"\n", begin, special - 1) + 1 or begin

    def late_events(self, with_unfinished: bool) -> list[bytes]:
        """Those that need not wait any longer for a continuation; with the unfinished line or
        without."""
        unfinished = self._unfinished() if with_unfinished else []
        return unfinished + self._of(self._joiner.expired(time.monotonic()))

    def last_events(self, with_unfinished: bool = True) -> list[bytes]:
        """The rest, of a file that is finished."""
        unfinished = self._unfinished() if with_unfinished else []
        return unfinished + self._of(self._joiner.end())

    def acknowledge(self, count: int = 1) -> None:
        """Record that Kafka has the `count` oldest events that it had not acknowledged."""
        for _ in range(count):
            self._starts.popleft()
            if self._owed and self._earlier:
                self._owed -= 1
                self._earlier.acknowledge()

    def skip_to(self, offset: int) -> None:
        self._at = offset

    def drop(self) -> int:
        """Discard the bytes that are in no event yet. Returns the position of the first."""
        self._at = self.unconverted
        self._reader = None
        self._joiner.end()
        return self._at

    def _unfinished(self) -> list[bytes]:
        return self._converted(self._reader.end()) if self._reader else []

    def _converted(self, found: list[Line]) -> list[bytes]:
        now = time.monotonic()
        made: list[bytes] = []
        for line, size, end in found:
            joined = self._joiner.feed(line, size, self._at, now)
            self._at = end
            if joined:
                made += self._of(joined)
        return made

    def _fed(self, data: bytes) -> list[bytes]:
        """The events that some bytes complete."""
        assert self._reader
        made = self._converted(self._reader.feed(data))
        if not self._reader.unfinished:
            self._at = self._reader.at  # after NULs
        return made

    def _separate(self, data: bytes) -> list[bytes]:
        """The events of whole lines that are one each."""
        assert self._reader
        lines = self._reader.whole(data)
        self._lines.columns = self._columns
        values = self._lines.separate(lines)
        if self._starts.maxlen != 0:
            starts = accumulate([len(line) + 1 for line in lines], initial=self._at)
            self._starts += compress(starts, values)
        self._at = self._reader.at
        return [value for value in values if value is not None]

    def _of(self, joined: Iterable[Joined]) -> list[bytes]:
        """The events; positions stay before all of them until Kafka has them."""
        made = []
        for each in joined:
            self._lines.count += each.lines - 1
            begun_in = self._earlier if self._handed and self._earlier else self
            self._handed -= begun_in is not self
            self._lines.columns = begun_in._columns
            value = self._lines.event(each.text, each.size)
            begun_in._columns = self._lines.columns
            if value is not None:
                made.append(value)
                self._push(each.start)
        return made

    def _push(self, start: int) -> None:
        """A container's streams may overlap: an event that begins earlier holds the others."""
        starts = self._starts
        starts.append(start)
        at = len(starts) - 2
        while at >= 0 and starts[at] > start:
            starts[at] = start
            at -= 1
