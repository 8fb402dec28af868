"""LogFile: logs.txt as a file that is open for append.

A new one has its predecessor's permissions; the first one is 0640, less the umask. The files beside
it have the same permissions.
"""

import os
from pathlib import Path

from logpipeline.files import allow, open_file, permissions, sync, sync_data, write_all
from logpipeline.locks import same_file

BLOCK = 65_536  # bytes


class LogFile:
    """The file at `path`, whichever that is at the moment. Every method raises OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self._mode: int | None = None  # of the last one that was open here

    @property
    def mode(self) -> int | None:
        """Its permissions."""
        return permissions(os.fstat(self._fd))

    @property
    def size(self) -> int:
        return os.fstat(self._fd).st_size

    @property
    def inode(self) -> int:
        return os.fstat(self._fd).st_ino

    def open(self) -> None:
        """Open it, creating it if missing, unless it is open and still the one at `path`.

        What was renamed or created before is on disk then.
        """
        if self._fd >= 0 and same_file(self._fd, self.path):
            return
        self.close()
        try:
            self._open()
            sync(self.path.parent)
        except OSError:
            self.close()  # so that the next try syncs it, too
            raise
        self._mode = self.mode

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_APPEND
        try:
            self._fd = open_file(self.path, flags)
        except FileNotFoundError:
            sync(self.path.parent)  # a predecessor's rename, before the new name
            self._fd = open_file(self.path, flags | os.O_CREAT | os.O_EXCL)
            allow(self._fd, self._mode)
            os.fsync(self._fd)

    def append(self, data: bytes) -> None:
        """Append `data`, on disk, or nothing of it."""
        before = self.size
        try:
            write_all(self._fd, data)
            sync_data(self._fd)
            if self.size < before + len(data):
                before = 0  # it holds only bytes of `data` now
                raise OSError("another program truncated it during a write")
        except OSError:
            self.cut(before)
            raise

    def cut(self, length: int) -> None:
        """Truncate it to `length`, if it is longer."""
        if self.size > length:
            os.ftruncate(self._fd, length)

    def sync(self) -> None:
        """Put its contents on disk."""
        sync_data(self._fd)

    def read(self, begin: int, size: int) -> bytes:
        """At most `size` bytes from the position `begin`."""
        return os.pread(self._fd, size, begin)

    def is_end_of_line(self, position: int) -> bool:
        """Whether it has so many bytes, and a line ends there."""
        return position == 0 or self.read(position - 1, 1) == b"\n"

    def end_of_last_line(self) -> int:
        """The position after its last newline."""
        length = self.size
        while length:
            begin = max(0, length - BLOCK)
            newline = os.pread(self._fd, length - begin, begin).rfind(b"\n")
            if newline >= 0:
                return begin + newline + 1
            length = begin
        return 0

    def rename(self, path: Path) -> None:
        """Rename it to `path`, and create a new one; both are on disk then."""
        self._mode = self.mode  # somebody may have changed it
        self.path.rename(path)
        self.open()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
