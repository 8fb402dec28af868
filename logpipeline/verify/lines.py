"""Lines: those of a range of bytes in consecutive files, with their numbers."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import IO

from logpipeline.archive.packing import BROKEN
from logpipeline.verify.files import File

CHUNK = 2**20  # bytes
LONGEST = 64 * 2**20  # bytes of a line, so that a file without newlines does not fill memory


class FileLines:
    """The lines of `files` from byte `position` to byte `end`, without their newline.

    `number` is that of the last line returned, and `place` describes where a line is; `before` is
    the number of lines that were skipped; `torn` is true if the last one has no newline. `odd`
    names the files that are longer or shorter than they should be. Iterating raises OSError.
    """

    def __init__(self, files: Sequence[File], position: int, end: int) -> None:
        self._files = files
        self._end = end
        self._firsts: list[int] = []  # the number before a file's first line
        self._names: list[str] = []
        self.position = position
        self.before = self.number = 0
        self.torn = False
        self.odd: list[str] = []

    def __iter__(self) -> Iterator[bytes]:
        begin = 0
        for file in self._files:
            end = begin + file.length
            if begin <= self.position < min(end, self._end):
                with file.open() as opened:
                    try:
                        yield from self._of(file, opened, begin)
                    except BROKEN as error:
                        raise OSError(f"cannot unpack {file.name}: {error}") from None
            begin = end

    def place(self, number: int) -> str:
        """The file and number of a line, for people."""
        file = bisect_right(self._firsts, number - 1) - 1
        name = f"{self._names[file]} " if file < len(self._names) - 1 or self._is_rotated else ""
        return f"{name}line {number - self._firsts[file]}"

    def _of(self, file: File, opened: IO[bytes], begin: int) -> Iterator[bytes]:
        end = min(begin + file.length, self._end)
        self._firsts.append(self.number)
        self._names.append(file.name)
        if skipped := self._count(opened, self.position - begin):
            self.before += skipped
            self.number += skipped
        while line := opened.readline(min(LONGEST, end - self.position)):
            self.position += len(line)
            self.number += 1
            self.torn = not line.endswith(b"\n")
            yield line.removesuffix(b"\n")
        if file is not self._files[-1] and (self.position < end or opened.read(1)):
            self.odd.append(f"{file.name}, which had {file.length:,} bytes when it was rotated")
        self.position = end

    @property
    def _is_rotated(self) -> bool:
        return bool(self._names) and self._names[-1] != self._files[-1].name

    def _count(self, opened: IO[bytes], size: int) -> int:
        """Read the next `size` bytes. Returns their newlines."""
        count = 0
        while size and (chunk := opened.read(min(CHUNK, size))):
            size -= len(chunk)
            count += chunk.count(b"\n")
        return count
