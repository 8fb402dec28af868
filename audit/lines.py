"""Lines: of a part of a file, with their numbers."""

from collections.abc import Iterator
from typing import BinaryIO

CHUNK = 2**20  # bytes
LONGEST = 64 * 2**20  # bytes of a line, so that a file without newlines does not fill the memory


class Lines:
    """The lines of an open file from byte `position` to byte `end`, without their newline.

    `number` is of the last line given, the file's first has 1; `before` are not given; `torn`
    says that the last one has no newline.
    """

    def __init__(self, file: BinaryIO, position: int, end: int) -> None:
        self._file = file
        self._end = end
        self.position = position
        self.before = self._count(position)
        self.number = self.before
        self.torn = False

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(self.position)
        while line := self._file.readline(min(LONGEST, self._end - self.position)):
            self.position += len(line)
            self.number += 1
            self.torn = not line.endswith(b"\n")
            yield line.removesuffix(b"\n")

    def _count(self, end: int) -> int:
        self._file.seek(0)
        count = 0
        while chunk := self._file.read(min(CHUNK, end - self._file.tell())):
            count += chunk.count(b"\n")
        return count
