"""Context: the neighbours of found events, each once, in the archive's order."""

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from logpipeline.events.readable import readable, service_text
from logpipeline.find.reader import Chunk, SourceReader
from logpipeline.find.search import Search

REACH = 16 * 2**20  # bytes, at least, that are searched for neighbours in each direction
CACHED = 16  # chunks of a megabyte
OPEN = 16  # files


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
        self._known_chunks: dict[int, list[Chunk]] = {}
        self._waiting: dict[LinePlace, bytes] = {}
        self._spans: list[tuple[LinePlace, LinePlace]] = []  # of what waits, apart from another
        self._begun = False

    def add(self, place: LinePlace, line: bytes) -> Iterator[list[bytes]]:
        """Groups of lines that are complete, an empty one between two: the neighbours of events
        that follow this one are after them."""
        window = self._window(place, line)
        self._waiting |= window
        first, last = min(window), max(window)
        while self._spans and self._spans[-1][1] >= first:
            begin, end = self._spans.pop()
            first, last = min(begin, first), max(end, last)
        self._spans.append((first, last))
        yield from self._before_place(min(window) if self._every else self._farthest(place))

    def rest(self) -> Iterator[list[bytes]]:
        """The last groups."""
        yield from self._before_place(LinePlace(len(self._search.sources), 0))

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()
        self._readers = {}

    def _before_place(self, place: LinePlace) -> Iterator[list[bytes]]:
        """The groups before it."""
        while self._spans and self._spans[0][1] < place:
            _, last = self._spans.pop(0)
            if self._begun:
                yield []
            self._begun = True
            yield [self._waiting.pop(each) for each in sorted(self._waiting) if each <= last]

    def _window(self, place: LinePlace, line: bytes) -> dict[LinePlace, bytes]:
        marks = set() if self._every else marks_of(line)
        window = {place: line}
        for lines in self._before(place), self._after(place):
            near = (each for each in lines if not marks or marks & marks_of(each[1]))
            window |= dict(islice(near, self._most))
        return window

    def _farthest(self, place: LinePlace) -> LinePlace:
        """Before it are no neighbours of what is at `place` or after it."""
        farthest = place
        for source, number in self._back(place):
            farthest = LinePlace(source, self._chunks(source)[number].position)
        return farthest

    def _before(self, place: LinePlace) -> Iterator[tuple[LinePlace, bytes]]:
        """The lines before, the nearest first, within REACH."""
        for source, number in self._back(place):
            lines = self._lines(source, number)
            yield from (each for each in reversed(lines) if each[0] < place)

    def _after(self, place: LinePlace) -> Iterator[tuple[LinePlace, bytes]]:
        left = REACH
        for source in range(place.source, len(self._search.sources)):
            begin = self._chunk_at(place) if source == place.source else 0
            for number in range(max(0, begin), len(self._chunks(source))):
                lines = self._lines(source, number)
                yield from (each for each in lines if each[0] > place)
                left -= self._chunks(source)[number].length
                if left < 0:
                    return

    def _back(self, place: LinePlace) -> Iterator[tuple[int, int]]:
        """The numbers of sources and of their chunks, from that of `place` back within REACH."""
        left = REACH
        for source in range(place.source, -1, -1):
            end = len(self._chunks(source))
            if source == place.source:
                end = self._chunk_at(place) + 1
            for number in reversed(range(end)):
                yield source, number
                left -= self._chunks(source)[number].length
                if left < 0:
                    return

    def _chunk_at(self, place: LinePlace) -> int:
        """The number of the chunk with that line, -1 of a file that can no longer be read."""
        chunks = self._chunks(place.source)
        return bisect_left(chunks, place.position + 1, key=itemgetter(0)) - 1

    def _chunks(self, source: int) -> list[Chunk]:
        """None of a file that cannot be read, such as one that was deleted meanwhile."""
        if source not in self._known_chunks:
            self._known_chunks[source] = []
            with suppress(OSError):
                self._known_chunks[source] = self._reader(source).chunks
        return self._known_chunks[source]

    def _split(self, source: int, number: int) -> list[tuple[LinePlace, bytes]]:
        chunk = self._chunks(source)[number]
        position, found = chunk.position, []
        with suppress(OSError):  # which the search has reported
            for line in self._reader(source).read(chunk).removesuffix(b"\n").split(b"\n"):
                found.append((LinePlace(source, position), line))
                position += len(line) + 1
        return found

    def _reader(self, source: int) -> SourceReader:
        """Raises OSError, StoreError."""
        if source not in self._readers:
            if len(self._readers) == OPEN:
                self._readers.pop(min(self._readers)).close()  # events are added in order
            self._readers[source] = self._search.reader(source)
        return self._readers[source]


def marks_of(line: bytes) -> set[tuple[str, str]]:
    """The service and the host that an event names."""
    event = readable(line)
    if event is None:
        return {("", "")}
    named = ((name, service_text(event.fields.get(name))) for name in ("service", "host"))
    return {(name, value) for name, value in named if value}
