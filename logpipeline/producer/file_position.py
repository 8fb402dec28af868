"""File position: the identity of a file, whatever its name, and the offset read so far.

It finds the file under another name, as a copy by logrotate's copytruncate, or packed by gzip.
"""

import gzip
import hashlib
import os
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import IO, Annotated

import msgspec

HEAD = 1_024  # bytes that distinguish files with the same inode
MOST = 2**63 - 1  # bytes that a file may have


class FilePosition(msgspec.Struct):
    """A file and the offset read so far. `digest` is that of its first `head` bytes."""

    device: int
    inode: int
    head: Annotated[int, msgspec.Meta(ge=0, le=HEAD)]
    digest: str
    offset: Annotated[int, msgspec.Meta(ge=0, le=MOST)]

    @classmethod
    def of(cls, file: IO[bytes], head: bytes, offset: int) -> "FilePosition":
        state = os.fstat(file.fileno())
        return cls(state.st_dev, state.st_ino, len(head), _digest(head), offset)

    def is_in(self, file: IO[bytes]) -> bool:
        """Whether `file` begins with the same bytes, and is at least `offset` long."""
        head = os.pread(file.fileno(), self.head, 0)
        return os.fstat(file.fileno()).st_size >= self.offset and _digest(head) == self.digest

    def is_of(self, path: Path) -> bool:
        """Whether `path` is the same file, and was not truncated. Raises OSError."""
        if not self.has_inode(path.stat()):
            return False
        with path.open("rb") as file:
            return self.is_in(file)

    def has_inode(self, state: os.stat_result) -> bool:
        return (state.st_dev, state.st_ino) == (self.device, self.inode)


def find(path: Path, position: FilePosition) -> Path | None:
    """The file of `position` in the folder of the log `path`. Raises OSError."""
    others = (other for other in path.parent.iterdir() if other.is_file())
    return next((other for other in others if position.is_of(other)), None)


def opened(path: Path) -> IO[bytes]:
    """Open the file, unpacked if gzip packed it, with its modification time. Raises OSError, also
    when gzip has not finished it."""
    if path.suffix != ".gz":
        return path.open("rb")
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        with gzip.open(path) as packed:
            shutil.copyfileobj(packed, unpacked)
    except (EOFError, zlib.error) as error:
        unpacked.close()
        raise gzip.BadGzipFile(f"{path}: {error}") from None
    unpacked.flush()
    written = path.stat().st_mtime_ns
    os.utime(unpacked.fileno(), ns=(written, written))
    return unpacked


def end_of(path: Path) -> FilePosition:
    """The position at the end of a file, which will not be read. Raises OSError."""
    with path.open("rb") as file:
        head = os.pread(file.fileno(), HEAD, 0)
        return FilePosition.of(file, head, os.fstat(file.fileno()).st_size)


def _digest(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()
