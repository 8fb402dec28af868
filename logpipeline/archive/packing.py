"""Packing: files packed by zstd or gzip, whatever their names say."""

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import zstandard

PACKED = (".zst", ".gz")
BROKEN = (zstandard.ZstdError, gzip.BadGzipFile, zlib.error, EOFError)  # what reading may raise
LEVEL = 3  # zstd's own default
BLOCK = 512  # packed bytes at a time: zeros unpack to 32,768 times as many
BUFFER = 2**18  # bytes
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


def packer(target: IO[bytes], suffix: str, size: int) -> IO[bytes]:
    """Packs `size` bytes that are written to it into `target`, which stays open."""
    if suffix == ".gz":
        return cast(IO[bytes], gzip.GzipFile("", "wb", fileobj=target))
    compressor = zstandard.ZstdCompressor(LEVEL, write_checksum=True)
    return cast(IO[bytes], compressor.stream_writer(target, size=size, closefd=False))


def unpacked(path: Path) -> IO[bytes]:
    """What is in the file. Raises OSError; reading raises BROKEN too, also where an end lacks."""
    file = path.open("rb")
    head = file.peek(len(ZSTD))
    if head.startswith(ZSTD):
        return io.BufferedReader(Frames(file), BUFFER)
    if head.startswith(GZIP):
        file.close()
        return cast(IO[bytes], gzip.open(path, "rb"))
    return file


class Frames(io.RawIOBase):
    """Frames of zstd after one another. The library's own reader takes half a one for a whole."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._chunks = self._unpack()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()

    def _unpack(self) -> Iterator[bytes]:
        frame = None
        while data := self._file.read(BLOCK):
            while data:
                frame = frame or zstandard.ZstdDecompressor().decompressobj()
                yield frame.decompress(data)
                data = frame.unused_data
                if frame.eof:
                    frame = None
        if frame:
            raise EOFError("it ends in the middle of a frame")
