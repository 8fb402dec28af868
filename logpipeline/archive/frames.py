"""Frames: the contents of a rotated file, with the positions from which they can be read again.

A file that was packed here has independent frames of about a megabyte of whole lines. Others have
one frame, as those of gzip and plain ones count here.
"""

import gzip
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, cast

import zstandard

from logpipeline.archive.index import Block
from logpipeline.archive.packing import GZIP, ZSTD, frames

CHUNK = 2**18  # bytes of a read

Piece = tuple[int, bytes]  # the position of its frame in the packed file, and contents


def pieces(path: Path) -> Iterator[Piece]:
    """The contents in order. Raises OSError, and BROKEN of packing."""
    with path.open("rb") as file:
        yield from pieces_from(file, 0)


def pieces_from(file: IO[bytes], frame: int) -> Iterator[Piece]:
    """Those from the frame at this position on. Raises OSError, and BROKEN of packing."""
    file.seek(0)
    head = file.read(len(ZSTD))
    file.seek(frame)
    if head == ZSTD:
        yield from frames(file)
    elif head.startswith(GZIP):
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield from ((0, chunk) for chunk in iter(partial(unpacked.read, CHUNK), b""))
    else:
        yield from ((0, chunk) for chunk in iter(partial(file.read, CHUNK), b""))


class BlockReader:
    """Reads blocks of one file, best in their order. Raises OSError, and BROKEN of packing."""

    def __init__(self, path: Path) -> None:
        self._file = cast(IO[bytes], path.open("rb"))
        self._is_plain = not os.pread(self._file.fileno(), 4, 0).startswith((ZSTD, GZIP))
        self._decompressor = zstandard.ZstdDecompressor()
        self._pieces: Iterator[Piece] = iter(())
        self._frame, self._at = -1, 0  # of what `_pieces` will give
        self._rest = b""

    def read(self, block: Block) -> bytes:
        if self._is_plain:
            return os.pread(self._file.fileno(), block.length, block.skip)
        if block.size:
            data = os.pread(self._file.fileno(), block.size, block.frame)
            return self._decompressor.decompress(data)
        return self._streamed(block)

    def close(self) -> None:
        self._file.close()

    def _streamed(self, block: Block) -> bytes:
        if block.frame != self._frame or block.skip < self._at:
            self._pieces, self._rest = pieces_from(self._file, block.frame), b""
            self._frame, self._at = block.frame, 0
        while self._at + len(self._rest) <= block.skip and self._more():
            pass
        self._rest = self._rest[block.skip - self._at :]
        self._at = block.skip
        parts, missing = [self._rest], block.length - len(self._rest)
        while missing > 0 and self._more():
            parts.append(self._rest)
            missing -= len(self._rest)
        data = b"".join(parts)
        self._rest, self._at = data[block.length :], block.skip + min(block.length, len(data))
        return data[: block.length]

    def _more(self) -> bool:
        """Put the next piece in the place of the rest."""
        self._at += len(self._rest)
        piece = next(self._pieces, None)
        self._rest = piece[1] if piece else b""
        return piece is not None
