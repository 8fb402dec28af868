"""File position: the identity of a file, whatever its name, and the offset read so far.

It finds the file under another name, as a copy by logrotate's copytruncate, or packed.
"""

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Annotated

import msgspec

from logpipeline.producer import contents
from logpipeline.producer.unpacking import DamagedError, TrailingError, unpacked

log = logging.getLogger(__name__)

HEAD = 1_024  # bytes at the beginning, and before the offset, that distinguish files
MOST = 2**63 - 1  # bytes that a file may have
CHUNK = 2**18  # bytes read at once
YOUNG = 10.0  # seconds after its last change in which a packed file may not be finished

Few = Annotated[int, msgspec.Meta(ge=0, le=HEAD)]


class FilePosition(msgspec.Struct):
    """A file and the offset read so far. `digest` is that of its first `head` bytes, and
    `before_digest` that of the `before` bytes before the offset. `older`: it was there before its
    log was followed, and is not read."""

    device: int
    inode: int
    head: Few
    digest: str
    offset: Annotated[int, msgspec.Meta(ge=0, le=MOST)]
    before: Few = 0
    before_digest: str = ""
    older: bool = False

    @classmethod
    def of(cls, inode: tuple[int, int], head: bytes, offset: int, before: bytes) -> "FilePosition":
        """Of the file with this device and inode."""
        return cls(*inode, len(head), _digest(head), offset, len(before), _digest(before))

    def is_in(self, file: IO[bytes]) -> bool:
        """Whether `file` begins with the same bytes, and has those before the offset there."""
        descriptor = file.fileno()
        if os.fstat(descriptor).st_size < self.offset:
            return False
        if _digest(os.pread(descriptor, self.head, 0)) != self.digest:
            return False
        before = os.pread(descriptor, self.before, max(0, self.offset - self.before))
        return not self.before or _digest(before) == self.before_digest

    def is_of(self, path: Path) -> bool:
        """Whether `path` is the same file, and was not truncated. Raises OSError."""
        if not self.has_inode(path.stat()):
            return False
        with path.open("rb") as file:
            return self.is_in(file)

    def is_known(self, path: Path, state: os.stat_result) -> bool:
        """Whether the file at `path` has been read. An empty one tells nothing: its inode may have
        been given to another file. Raises OSError."""
        known = self.head > 0 and not self.older
        return known and self.has_inode(state) and self.is_of(path)

    def is_copied_to(self, file: IO[bytes]) -> bool:
        """Whether `file`, another one, is beyond doubt a copy, perhaps a longer one."""
        if not self.offset or not self.is_in(file):
            return False
        return self.offset >= HEAD or os.fstat(file.fileno()).st_size == self.offset

    def has_inode(self, state: os.stat_result) -> bool:
        return (state.st_dev, state.st_ino) == (self.device, self.inode)


class UnfinishedError(OSError):
    """A packed file is still being written."""


def opened(path: Path) -> tuple[IO[bytes], bool]:
    """The open file, and whether it was packed: then it is unpacked, and keeps its time.

    Of a damaged one, it is what can be unpacked. Raises OSError, UnfinishedError while packing."""
    file = path.open("rb")
    kind = contents.packing(file.peek(contents.HEAD)[: contents.HEAD])
    if kind is None:
        return file, False
    with file:
        return _unpacked(path, file, kind), True


def _unpacked(path: Path, file: IO[bytes], kind: str) -> IO[bytes]:
    written = os.fstat(file.fileno()).st_mtime_ns
    with ExitStack() as cleanup:
        whole = cleanup.enter_context(tempfile.TemporaryFile())
        try:
            for data in unpacked(kind, chunks_of(file), lambda: chunks_of(file)):
                whole.write(data)
        except TrailingError:
            pass
        except DamagedError as error:
            if time.time() - written / 1e9 < YOUNG:
                raise UnfinishedError(f"{path}: {error}") from None
            log.warning("%s cannot be read to its end: %s", path, error)
        cleanup.pop_all()
    whole.flush()
    os.utime(whole.fileno(), ns=(written, written))
    return whole


def chunks_of(file: IO[bytes]) -> Iterator[bytes]:
    at = 0
    while data := os.pread(file.fileno(), CHUNK, at):
        yield data
        at += len(data)


def end_of(path: Path) -> FilePosition:
    """The position at the end of a file, which will not be read. Raises OSError."""
    with path.open("rb") as file:
        head = os.pread(file.fileno(), HEAD, 0)
        state = os.fstat(file.fileno())
        before = os.pread(file.fileno(), HEAD, max(0, state.st_size - HEAD))
        return FilePosition.of((state.st_dev, state.st_ino), head, state.st_size, before)


def begins_like(file: IO[bytes], copy: IO[bytes]) -> bool:
    """Whether `copy` may be one of `file`, or of its beginning: its first HEAD bytes and its last
    ones are the same."""
    size = os.fstat(copy.fileno()).st_size
    if size > os.fstat(file.fileno()).st_size:
        return False
    start, length = max(0, size - HEAD), min(size, HEAD)
    return all(
        os.pread(file.fileno(), length, at) == os.pread(copy.fileno(), length, at)
        for at in (0, start)
    )


def _digest(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()
