"""Run: one search for people: prints what it finds, as it finds it."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager

from logpipeline.archive.index import Key
from logpipeline.find import counts
from logpipeline.find.context import LinePlace, Neighbours
from logpipeline.find.follow import Follower
from logpipeline.find.output import EventPrinter, SearchProgress, discard_output
from logpipeline.find.query import Matcher
from logpipeline.find.search import Search
from logpipeline.find.sources import SearchedFiles
from logpipeline.find.task import TaskResult
from logpipeline.shutdown import Shutdown
from logpipeline.terminal import printable

FOUND, NOTHING, UNUSABLE = 0, 1, 2
SLICE = 1_000  # lines that are written without a look whether to stop


class SearchRun:
    """Once `stop` is set, as by Ctrl-C, it ends with what was found."""

    def __init__(
        self, sources: SearchedFiles, matcher: Matcher, output: EventPrinter, stop: Shutdown
    ) -> None:
        self._sources = sources
        self._matcher = matcher
        self._output = output
        self._left_out: set[str] = set()
        self._stop = stop

    @property
    def status(self) -> int:
        """The exit status."""
        if self._output.count:
            return FOUND
        return UNUSABLE if self._left_out else NOTHING

    def find(self, newest: int, context: int, every: bool) -> None:
        """Raises StoreError, OSError."""
        with Search(self._sources, self._matcher, newest=newest) as search, self._while_read():
            results = self._results(search)
            if newest:
                results = iter(self._newest(results, newest))
            if context:
                with closing(Neighbours(search, context, every)) as neighbours:
                    self._with_neighbours(results, neighbours)
                return
            for found in results:
                for begin in range(0, len(found.lines), SLICE):
                    if self._stop:
                        break
                    self._output.write(line for _, line in found.lines[begin : begin + SLICE])
                self._output.flush()

    def count(self, as_json: bool) -> None:
        """Raises StoreError, OSError."""
        keys: Counter[Key] = Counter()
        with Search(self._sources, self._matcher, counts=True) as search:
            for found in self._results(search):
                keys += found.counts
            keys += search.totals
        self._output.count = keys.total()
        with self._while_read():
            print(counts.as_json(keys).decode() if as_json else counts.as_table(keys))

    def follow(self, follower: Follower) -> None:
        """Until Ctrl-C. Raises OSError."""
        with self._while_read():
            for lines in follower.batches(self._stop):
                self._output.write(line for line in lines if self._matcher.match(line))
                self._output.flush()

    @contextmanager
    def _while_read(self) -> Iterator[None]:
        """Less or head may be closed: that ends the search."""
        try:
            yield
            self._output.flush()
        except BrokenPipeError:
            self._stop.request()
            discard_output()

    def _results(self, search: Search) -> Iterator[TaskResult]:
        """In the archive's order, the newest back when only these are wanted."""
        progress = SearchProgress(len(search.sources), search.is_backwards)
        try:
            for found in search.results(self._stop):
                progress.note(found)
                if found.problem:
                    progress.hide()
                    self._complain(search.sources[found.source].name, found.problem)
                if found.lines:
                    progress.hide()
                yield found
            progress.close()
            if self._stop:
                print(f"interrupted after {progress}", file=sys.stderr)
        finally:
            progress.close()

    def _newest(self, results: Iterable[TaskResult], most: int) -> list[TaskResult]:
        """Those of the newest events, oldest first."""
        kept: list[TaskResult] = []
        for found in results:
            kept.append(found)
            found.lines = found.lines[-most:]
            most -= len(found.lines)
            if not most:
                break
        return kept[::-1]

    def _with_neighbours(self, results: Iterable[TaskResult], neighbours: Neighbours) -> None:
        for found in results:
            for position, line in found.lines:
                self._print(neighbours.add(LinePlace(found.source, position), line))
        self._print(neighbours.rest())

    def _print(self, groups: Iterable[list[bytes]]) -> None:
        for lines in groups:
            if lines:
                self._output.write(lines)
            else:
                self._output.gap()

    def _complain(self, name: str, problem: str) -> None:
        if name not in self._left_out:
            self._left_out.add(name)
            sentence = f"find.py: cannot read all of {name}, leaving out a part: {problem}"
            print(printable(sentence), file=sys.stderr)
