"""Rotation: where a log's file has gone to, and what came after it.

A file is known by its `Place`, which finds it again under another name, as the copy that
copytruncate made, or packed by gzip.
"""

import gzip
import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import IO

import msgspec

HEAD = 1_024  # bytes that tell a file from another one with its inode
# app.log.1, app.log-20240323, app.log.2024-03-23_22.gz
ROTATED = re.compile(r"[.-]\d[\d._T:-]*(\.gz)?", re.ASCII)


class Place(msgspec.Struct):
    """A file, and how far it has been read. `digest` is of its first `head` bytes, `written` its
    time of modification in nanoseconds."""

    device: int
    inode: int
    head: int
    digest: str
    written: int
    offset: int

    @classmethod
    def of(cls, file: IO[bytes], head: bytes, offset: int) -> "Place":
        state = os.fstat(file.fileno())
        return cls(
            *(state.st_dev, state.st_ino, len(head), _digest(head), state.st_mtime_ns, offset)
        )

    def is_in(self, file: IO[bytes]) -> bool:
        """Whether `file` begins with the same bytes, and is as long as what was read."""
        head = os.pread(file.fileno(), self.head, 0)
        return os.fstat(file.fileno()).st_size >= self.offset and _digest(head) == self.digest

    def has_inode(self, state: os.stat_result) -> bool:
        return (state.st_dev, state.st_ino) == (self.device, self.inode)


def find(path: Path, place: Place) -> IO[bytes] | None:
    """The file of `place` in the folder of the log `path`: by its inode whatever its name, else
    a rotated copy. Raises OSError."""
    for other in path.parent.iterdir():
        if other.is_file() and place.has_inode(other.stat()):
            file = other.open("rb")
            if place.is_in(file):
                return file
            file.close()
    return find_copy(path, place)


def find_copy(path: Path, place: Place) -> IO[bytes] | None:
    """The newest rotated file of the log `path` that begins as `place` says. Raises OSError."""
    for other in reversed(rotated(path)) if place.head else ():
        file = opened(other)
        if place.is_in(file):
            return file
        file.close()
    return None


def newer(path: Path, since: int, known: list[Place]) -> list[IO[bytes]]:
    """The rotated files of the log `path` that were written at `since` or later, oldest first,
    without those that are `known`. Raises OSError."""
    found = []
    for other in rotated(path):
        state = other.stat()
        if state.st_mtime_ns < since or any(place.has_inode(state) for place in known):
            continue
        file = opened(other)
        if other.suffix == ".gz" and any(place.head and place.is_in(file) for place in known):
            file.close()
        else:
            found.append(file)
    return found


def rotated(path: Path) -> list[Path]:
    """The rotated files of the log `path`, in the order in which they were written."""
    others = [other for other in path.parent.iterdir() if is_rotated(other, path)]
    return sorted(others, key=lambda other: other.stat().st_mtime_ns)


def is_rotated(other: Path, path: Path) -> bool:
    """Whether the name of `other` is what rotation gives to the log `path`."""
    return (
        other.name.startswith(path.name)
        and ROTATED.fullmatch(other.name, len(path.name)) is not None
        and other.parent == path.parent
        and other.is_file()
    )


def opened(path: Path) -> IO[bytes]:
    """The file, unpacked when gzip has packed it. Raises OSError."""
    if path.suffix != ".gz":
        return path.open("rb")
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115
    with gzip.open(path) as packed:
        shutil.copyfileobj(packed, unpacked)
    unpacked.flush()
    written = path.stat().st_mtime_ns
    os.utime(unpacked.fileno(), ns=(written, written))
    return unpacked


def _digest(head: bytes) -> str:
    return hashlib.sha256(head).hexdigest()
