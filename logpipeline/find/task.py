"""Task: a part of a file that one process searches at a time."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from logpipeline.archive.frames import BlockReader, pieces
from logpipeline.archive.index import Block, Key
from logpipeline.archive.packing import BROKEN
from logpipeline.archive.rotated import RotatedFile
from logpipeline.find.query import Matcher
from logpipeline.find.scan import Scan

PART = 8 * 2**20  # bytes of lines, about
CHUNK = 2**20  # bytes
UNPACKED = 8  # bytes of lines in one that is packed, about
LONGEST = 64 * 2**20  # bytes of a line, so that a file without newlines does not fill memory
Lines = tuple[int, bytes, bool]  # a position in the file's lines, some of them, and if `plain`


class Task(msgspec.Struct, frozen=True):
    """Search these `blocks`, which are at those `positions` in the lines, or, without blocks, from
    `begin` to `end`, -1 for all. Of logs.txt `fd` is open, other files are found by `file`."""

    source: int
    file: RotatedFile | None
    blocks: Sequence[Block] = ()
    positions: Sequence[int] = ()
    begin: int = 0
    end: int = -1
    fd: int = -1

    @property
    def size(self) -> int:
        """Bytes of lines, about."""
        if self.blocks:
            return sum(block.length for block in self.blocks)
        if self.end >= 0:
            return self.end - self.begin
        with suppress(FileNotFoundError):
            return UNPACKED * self.file.path().stat().st_size if self.file else 0
        return 0

    def lines(self) -> Iterator[Lines]:
        """Raises OSError, BROKEN."""
        if self.blocks and self.file:
            yield from self._of_blocks(self.file.path())
        elif self.file is None:
            yield from _ranges(partial(os.pread, self.fd), self.begin, self.end)
        elif self.end < 0 or self.file.path() != self.file.plain:
            yield from _between(self.file.path(), self.begin, self.end)
        else:
            with self.file.plain.open("rb") as opened:
                read = partial(os.pread, opened.fileno())
                yield from _ranges(read, self.begin, self.end)

    def _of_blocks(self, path: Path) -> Iterator[Lines]:
        reader, problem = BlockReader(path), None
        try:
            for position, block in zip(self.positions, self.blocks, strict=True):
                try:
                    yield position, reader.read(block), block.plain
                except BROKEN as error:
                    problem = error
                    if not block.size:  # what follows is in the same frame
                        break
            if problem:
                raise problem
        finally:
            reader.close()


class TaskResult(msgspec.Struct):
    """What a task found: lines with their positions, or only their number by bin, level, service.
    `problem` is why the file could not be read to its end; `size` are the bytes searched."""

    source: int
    lines: list[tuple[int, bytes]] = []
    counts: Counter[Key] = msgspec.field(default_factory=Counter)
    size: int = 0
    problem: str = ""


class Searcher:
    """Works for one process. `counts`: it only counts. It keeps the `newest` lines of a task."""

    def __init__(self, matcher: Matcher, counts: bool = False, newest: int = 0) -> None:
        self._matcher = matcher
        self._scan = Scan(matcher.literal) if matcher.literal else None
        self._counts = counts
        self._newest = newest

    def prepare(self) -> None:
        """Before it is given to several processes."""
        if self._scan:
            self._scan.prepare()

    def work(self, task: Task) -> TaskResult:
        found = TaskResult(task.source)
        try:
            for position, lines, plain in task.lines():
                found.size += len(lines)
                self._search(position, lines, plain, found)
                del lines  # so that the next ones take its memory, not new pages
        except (OSError, *BROKEN) as error:
            found.problem = str(getattr(error, "strerror", None) or error)
        return found

    def _search(self, position: int, lines: bytes, plain: bool, found: TaskResult) -> None:
        if self._counts and self._scan:
            events = (self._matcher.match(line) for _, line in self._candidates(lines, plain))
            found.counts.update(self._matcher.key(event) for event in events if event)
        elif self._counts:
            found.counts.update(self._matcher.count(lines))
        elif self._scan:
            for at, line in self._candidates(lines, plain):
                if self._matcher.match(line):
                    found.lines.append((position + at, line))
        else:
            found.lines += ((position + at, line) for at, line in self._matcher.found(lines))
        if self._newest:
            del found.lines[: -self._newest]

    def _candidates(self, lines: bytes, plain: bool) -> Iterator[tuple[int, bytes]]:
        assert self._scan
        return ((begin, lines[begin:end]) for begin, end in self._scan.lines(lines, plain))


def _ranges(read: "partial[bytes]", begin: int, end: int) -> Iterator[Lines]:
    """Whole lines from `begin` to `end`, which are a line's begin and end."""
    rest = b""
    while begin < end and (chunk := read(min(CHUNK, end - begin), begin + len(rest))):
        data = rest + chunk
        cut = data.rfind(b"\n") + 1
        if begin + len(data) >= end:
            cut = len(data)
        if cut:
            yield begin, data[:cut], False
        begin, rest = begin + cut, data[cut:]


def _between(path: Path, begin: int, end: int) -> Iterator[Lines]:
    """The same of a packed file; `end` may be -1."""
    at, rest = 0, b""
    for _, chunk in pieces(path):
        rest += chunk
        cut = rest.rfind(b"\n") + 1 if len(rest) >= CHUNK else 0
        if len(rest) > LONGEST:
            raise OSError("a line is longer than 64 MiB")
        if cut:
            yield from _clipped(at, rest[:cut], begin, end)
            at, rest = at + cut, rest[cut:]
        if 0 <= end <= at:
            return
    if rest:
        yield from _clipped(at, rest, begin, end)


def _clipped(at: int, lines: bytes, begin: int, end: int) -> Iterator[Lines]:
    first = max(0, begin - at)
    last = len(lines) if end < 0 else min(len(lines), end - at)
    if first < last:
        yield at + first, lines[first:last], False
