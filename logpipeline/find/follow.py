"""Follow: the lines that arrive in logs.txt, through rotations, each once."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from logpipeline.archive.checkpoint import Checkpoint, CheckpointError
from logpipeline.archive.packing import BROKEN
from logpipeline.archive.rotated import RotatedFile, rotated
from logpipeline.find.sources import SearchedFiles, end_of_last_line
from logpipeline.find.task import Task

LOOK = 0.2  # seconds
CHUNK = 2**20  # bytes


class Follower:
    """From where a search has ended."""

    def __init__(self, log_file: Path, sources: SearchedFiles) -> None:
        self._path = log_file
        self._known = {*sources.older}  # rotated files that are done
        self._fd = os.dup(sources.live.fd) if sources.live else -1
        self._position = sources.live.length if sources.live else 0

    def batches(self, stop: object) -> Iterator[list[bytes]]:
        """Lines without newlines, as they arrive, until `stop` is true. Raises OSError."""
        while not stop:
            begun = self._position, self._fd
            yield from self._arrived()
            if (self._position, self._fd) == begun:
                time.sleep(LOOK)

    def _arrived(self) -> Iterator[list[bytes]]:
        if self._fd >= 0 and self._is_current():
            length = self._length()
            if length < self._position:  # truncated
                self._position = 0
            yield from self._until(length)
            return
        if self._fd >= 0:  # nothing more is appended to it
            yield from self._until(os.fstat(self._fd).st_size)
        yield from self._between()

    def _until(self, length: int) -> Iterator[list[bytes]]:
        """Whole lines up to `length`."""
        while self._position < length:
            data = os.pread(self._fd, min(CHUNK, length - self._position), self._position)
            whole = data.rfind(b"\n") + 1
            if not whole and len(data) == CHUNK:  # a long line
                data = os.pread(self._fd, length - self._position, self._position)
                whole = data.rfind(b"\n") + 1
            if not whole:
                return
            self._position += whole
            yield data[: whole - 1].split(b"\n")

    def _between(self) -> Iterator[list[bytes]]:
        """Open logs.txt, and read what was rotated since, but for the file that was open. Nothing
        while it is being rotated: a file that is not listed yet would be left out."""
        with suppress(FileNotFoundError):
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            found = [file for file in rotated(self._path) if file not in self._known]
            if not self._is(fd):
                os.close(fd)
                return
            before, self._fd, self._position = self._fd, fd, 0
            self._known |= {*found}
            for file in found if before < 0 else found[1:]:
                yield from _all(file)
            if before >= 0:
                os.close(before)

    def _is(self, fd: int) -> bool:
        """Whether it is logs.txt."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(fd), self._path.stat())
        return False

    def _is_current(self) -> bool:
        return self._is(self._fd) or not (self._path.exists() or self._is_rotated())

    def _is_rotated(self) -> bool:
        return any(file not in self._known for file in rotated(self._path))

    def _length(self) -> int:
        """Bytes that the checkpoint accounts for; without one, those of whole lines."""
        status = os.fstat(self._fd)
        checkpoint = None
        with suppress(CheckpointError):
            checkpoint = Checkpoint.load(self._path.with_name(f"{self._path.name}.checkpoint"))
        if checkpoint is None:
            return end_of_last_line(self._fd, status.st_size)
        if checkpoint.inode not in (0, status.st_ino):  # just rotated, or about to be
            return self._position
        return min(checkpoint.length, status.st_size)


def _all(file: RotatedFile) -> Iterator[list[bytes]]:
    with suppress(FileNotFoundError, *BROKEN):
        for _, lines, _ in Task(0, file).lines():
            yield lines.removesuffix(b"\n").split(b"\n")
