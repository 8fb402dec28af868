"""Search: the tasks of a query, done by several processes, their results in the archive's order."""

import os
import signal
import tempfile
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from msgspec import Raw
from msgspec.structs import replace

from logpipeline import orphans
from logpipeline.archive.index import Block, Key
from logpipeline.find.query import Matcher
from logpipeline.find.reader import SourceReader
from logpipeline.find.sources import SearchedFile, SearchedFiles, line_starts
from logpipeline.find.task import PART, Searcher, Task, TaskResult

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

AHEAD = 3  # tasks for each process, so that results take little memory
LOOK = 0.2  # seconds between looks whether to stop
SMALL = 64 * 2**20  # bytes of lines that one process searches sooner than others are started;
DECODED = 16  # times as long is what it takes to decode each line, as without a literal

_searcher: Searcher  # of a worker process


class Search:
    """One search of all sources. `newest` above 0: the newest so many, from the newest back.

    `on_done` is called with each result; `opened` counts the files of which lines were read.
    """

    def __init__(
        self,
        sources: SearchedFiles,
        matcher: Matcher,
        counts: bool = False,
        newest: int = 0,
        processes: int = 0,
    ) -> None:
        self._matcher = matcher
        self._newest = newest
        self._counts = counts
        self._sources = sources
        self.totals: Counter[Key] = Counter()  # of blocks that did not have to be read
        self.opened: set[int] = set()
        self._waiting: deque[Future[TaskResult]] = deque()
        self._cleanup = ExitStack()
        self.sources = sources.local()
        self._processes = processes or os.cpu_count() or 1
        self._searcher = Searcher(matcher, counts, newest)
        self._size = 0  # of the tasks until now
        self._pool: ProcessPoolExecutor | None = None
        if sources.has_store:  # whose library has threads, after which nothing should fork
            self._start()

    @property
    def is_backwards(self) -> bool:
        return bool(self._newest)

    def __enter__(self) -> Self:
        """Finds what is only in the store. Raises StoreError."""
        query = self._matcher.query
        if not self._sources.has_store:
            return self
        stored = self._sources.stored(query.since, query.to, self._folder)
        self.sources = [*stored, *self.sources]
        return self

    @cached_property
    def _folder(self) -> Path:
        """For what has to be fetched or unpacked, until the end."""
        made = tempfile.TemporaryDirectory(prefix="log-find-")
        return Path(self._cleanup.enter_context(made))

    def __exit__(self, *_: object) -> None:
        if self._pool:
            if self._waiting:  # for results that nobody wants
                for process in list((self._pool._processes or {}).values()):
                    process.terminate()
            self._pool.shutdown(cancel_futures=True)
        self._cleanup.close()

    def results(self, stop: object = False) -> Iterator[TaskResult]:
        """In the archive's order; newest first when only the newest are wanted. They end once
        `stop` is true."""
        waiting = self._waiting
        tasks = self._tasks()
        while True:
            while len(waiting) < AHEAD * self._processes and (task := next(tasks, None)):
                waiting.append(self._submit(task))
                if not self._pool:
                    break
            if not waiting or not _is_done(waiting[0], stop):
                return
            yield waiting.popleft().result()

    def reader(self, number: int) -> SourceReader:
        """For a source's lines in any order. Raises OSError, StoreError."""
        source = self.sources[number]
        if source.stored and number not in self.opened:
            self._sources.fetch(source)
            self.opened.add(number)
        return SourceReader(source, self._folder)

    def _tasks(self) -> Iterator[Task]:
        numbers = range(len(self.sources))
        for number in reversed(numbers) if self._newest else numbers:
            source = self.sources[number]
            tasks = list(self._of(number, source))
            if not tasks:
                continue
            if source.stored and number not in self.opened:
                self._sources.fetch(source)
            self.opened.add(number)
            yield from reversed(tasks) if self._newest else tasks

    def _of(self, number: int, source: SearchedFile) -> Iterator[Task]:
        """The tasks of one file: none when it cannot have what is wanted."""
        if source.index:
            yield from self._of_blocks(number, source)
        elif source.file is None:
            for begin, end in line_starts(source.fd, source.length, PART):
                yield Task(number, None, begin=begin, end=end, fd=source.fd)
        else:
            for begin, end in _parts(source):
                yield Task(number, source.file, begin=begin, end=end)

    def _of_blocks(self, number: int, source: SearchedFile) -> Iterator[Task]:
        blocks: list[Block] = []
        positions: list[int] = []
        size = 0
        for position, block in self._wanted(source):
            if size and size + block.length > PART:
                yield Task(number, source.file, tuple(blocks), tuple(positions))
                blocks, positions, size = [], [], 0
            blocks.append(replace(block, counts=Raw()))  # which no other process needs
            positions.append(position)
            size += block.length
        if blocks:
            yield Task(number, source.file, tuple(blocks), tuple(positions))

    def _wanted(self, source: SearchedFile) -> Iterator[tuple[int, Block]]:
        """The blocks that may have what is wanted, with their positions."""
        assert source.index
        index, position, found = source.index, 0, []
        for block in index.blocks:
            if self._matcher.may_have(index, block):
                whole = self._matcher.whole(index, block) if self._counts else None
                if whole is None:
                    found.append((position, block))
                else:
                    self.totals.update(whole)
            position += block.length
        if not self._matcher.asks_bitmaps:
            return iter(found)
        bitmaps = index.bitmaps([block for _, block in found])
        may = self._matcher.may_be_in
        return (each for each, bitmap in zip(found, bitmaps, strict=True) if may(bitmap))

    def _submit(self, task: Task) -> "Future[TaskResult]":
        self._size += task.size * (1 if self._matcher.literal else DECODED)
        if self._size > SMALL:
            self._start()
        if self._pool:
            return self._pool.submit(_work, task)
        done: Future[TaskResult] = Future()
        done.set_result(self._searcher.work(task))
        return done

    def _start(self) -> None:
        """Start the workers once, by fork: they have logs.txt open, and start at once."""
        if self._pool or self._processes == 1:
            return
        import multiprocessing  # 0.02 s, with what follows
        from concurrent.futures import ProcessPoolExecutor

        self._searcher.prepare()
        forks = multiprocessing.get_context("fork")
        arguments = self._searcher, os.getpid()
        self._pool = ProcessPoolExecutor(self._processes, forks, _begin, arguments)
        self._pool.submit(os.getpid)  # starts all


def _is_done(future: "Future[TaskResult]", stop: object) -> bool:
    """Wait for it. False once `stop` is true."""
    while not stop:
        if wait([future], LOOK).done:
            return True
    return False


def _begin(searcher: Searcher, parent: int) -> None:
    global _searcher
    _searcher = searcher
    orphans.end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # by which the parent ends them


def _work(task: Task) -> TaskResult:
    return _searcher.work(task)


def _parts(source: SearchedFile) -> Iterator[tuple[int, int]]:
    """Ranges of a file's lines; one to the end when it is packed, or when it cannot be read, which
    the task will report."""
    if source.file and not source.stored:
        with suppress(OSError), source.file.plain.open("rb") as file:
            if source.path() == source.file.plain:
                yield from line_starts(file.fileno(), os.fstat(file.fileno()).st_size, PART)
                return
    yield 0, -1
