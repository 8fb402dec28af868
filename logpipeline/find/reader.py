"""Reader: the lines of one file in chunks, in any order."""

import os
from pathlib import Path
from typing import NamedTuple

from logpipeline.archive.frames import BlockReader, pieces
from logpipeline.archive.index import Block
from logpipeline.archive.packing import BROKEN
from logpipeline.files import NEW
from logpipeline.find.sources import SearchedFile, line_starts

STEP = 2**20  # bytes


class Chunk(NamedTuple):
    """Whole lines: `length` bytes from `position` on, those of `block` if the file is indexed."""

    position: int
    length: int
    block: Block | None = None


class SourceReader:
    """A packed file without an index is unpacked into `folder` first."""

    def __init__(self, source: SearchedFile, folder: Path) -> None:
        """Raises OSError."""
        self._blocks: BlockReader | None = None
        self._fd, self._mine = source.fd, -1
        if source.index:
            self._blocks = BlockReader(source.path())
            self.chunks = _of_blocks(source.index.blocks)
            return
        length = source.length
        if source.file:
            self._fd = self._mine = _plain(source, folder)
            length = os.fstat(self._fd).st_size
        ranges = line_starts(self._fd, length, STEP)
        self.chunks = [Chunk(begin, end - begin) for begin, end in ranges]

    def read(self, chunk: Chunk) -> bytes:
        """Raises OSError."""
        try:
            if self._blocks and chunk.block:
                return self._blocks.read(chunk.block)
        except BROKEN as error:
            raise OSError(str(error)) from None
        return os.pread(self._fd, chunk.length, chunk.position)

    def close(self) -> None:
        if self._blocks:
            self._blocks.close()
        if self._mine >= 0:
            os.close(self._mine)


def _of_blocks(blocks: list[Block]) -> list[Chunk]:
    chunks, position = [], 0
    for block in blocks:
        chunks.append(Chunk(position, block.length, block))
        position += block.length
    return chunks


def _plain(source: SearchedFile, folder: Path) -> int:
    """The descriptor of a file with its lines. Raises OSError."""
    path = source.path()
    if source.file and path == source.file.plain:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    plain = folder / f"{source.name}.unpacked"
    fd = os.open(plain, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, NEW)
    plain.unlink()
    try:
        for _, piece in pieces(path):
            os.write(fd, piece)
    except BROKEN:
        pass  # what could be read was searched, too
    return fd
