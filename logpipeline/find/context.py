"""Context: the neighbours of found events, each once, in the archive's order."""

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from logpipeline.events.readable import readable
from logpipeline.find.reader import Chunk, SourceReader
from logpipeline.find.search import Search

REACH = 16 * 2**20  # bytes, at least, that are searched for neighbours in each direction
CACHED = 16  # chunks of a megabyte


class LinePlace(NamedTuple):
    """The number of a source, and the position of a line in its lines."""

    source: int
    position: int


class Neighbours:
    """Up to `most` events before and after each found one: those of its service or of its host, of
    the files when it has neither, or with `every`."""

    def __init__(self, search: Search, most: int, every: bool) -> None:
        self._most = most
        self._every = every
        self._search = search
        self._lines = lru_cache(CACHED)(self._split)
        self._readers: dict[int, SourceReader] = {}
        self._waiting: dict[LinePlace, bytes] = {}
        self._begun = False

    def add(self, place: LinePlace, line: bytes) -> Iterator[list[bytes]]:
        """Groups of lines that are complete: what is before the neighbours of this event."""
        window = self._window(place, line)
        first = min(window)
        done = sorted(each for each in self._waiting if each < first)
        if done:
            apart = len(done) == len(self._waiting)
            yield [self._waiting.pop(each) for each in done]
            if apart:
                yield []
        self._waiting |= window

    def rest(self) -> Iterator[list[bytes]]:
        """The last group."""
        yield [self._waiting[each] for each in sorted(self._waiting)]
        self._waiting = {}

    def _window(self, place: LinePlace, line: bytes) -> dict[LinePlace, bytes]:
        marks = set() if self._every else marks_of(line)
        window = {place: line}
        for lines in self._before(place), self._after(place):
            near = (each for each in lines if not marks or marks & marks_of(each[1]))
            window |= dict(islice(near, self._most))
        return window

    def _before(self, place: LinePlace) -> Iterator[tuple[LinePlace, bytes]]:
        """The lines before, the nearest first, within REACH."""
        left = REACH
        for source in range(place.source, -1, -1):
            end = len(self._chunks(source))
            if source == place.source:
                end = self._chunk_at(place) + 1
            for number in reversed(range(end)):
                lines = self._lines(source, number)
                yield from (each for each in reversed(lines) if each[0] < place)
                left -= self._chunks(source)[number].length
                if left < 0:
                    return

    def _after(self, place: LinePlace) -> Iterator[tuple[LinePlace, bytes]]:
        left = REACH
        for source in range(place.source, len(self._search.sources)):
            begin = self._chunk_at(place) if source == place.source else 0
            for number in range(begin, len(self._chunks(source))):
                lines = self._lines(source, number)
                yield from (each for each in lines if each[0] > place)
                left -= self._chunks(source)[number].length
                if left < 0:
                    return

    def _chunk_at(self, place: LinePlace) -> int:
        """The number of the chunk with that line."""
        chunks = self._chunks(place.source)
        return max(0, bisect_left(chunks, place.position + 1, key=itemgetter(0)) - 1)

    def _chunks(self, source: int) -> list[Chunk]:
        """None of a file that cannot be read, such as one that was deleted meanwhile."""
        try:
            return self._reader(source).chunks
        except OSError:
            return []

    def _split(self, source: int, number: int) -> list[tuple[LinePlace, bytes]]:
        chunk = self._chunks(source)[number]
        position, found = chunk.position, []
        with suppress(OSError):  # which the search has reported
            for line in self._reader(source).read(chunk).removesuffix(b"\n").split(b"\n"):
                found.append((LinePlace(source, position), line))
                position += len(line) + 1
        return found

    def _reader(self, source: int) -> SourceReader:
        if source not in self._readers:
            self._readers[source] = self._search.reader(source)
        return self._readers[source]


def marks_of(line: bytes) -> set[tuple[str, str]]:
    """The service and the host that an event names."""
    event = readable(line)
    if event is None:
        return {("", "")}
    return {
        (name, value) for name in ("service", "host") for value in event.values(name)[:1] if value
    }
