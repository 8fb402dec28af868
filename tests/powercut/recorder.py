"""Recorder: what a real run of the real code does to the files of a folder, call by call.

While it is on, it stands between the code and os.*: it passes each call on and notes it. Each file
keeps a second name in a pool, so its inode number is never used again; a state that is built from
the notes later has the same numbers, which the checkpoint knows.
"""

import errno
import fcntl
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from unittest.mock import patch


@dataclass(frozen=True)
class Write:
    """Bytes that came into the file at `at`."""

    inode: int
    at: int
    data: bytes


@dataclass(frozen=True)
class Resize:
    inode: int
    size: int


@dataclass(frozen=True)
class Sync:
    """Of a file. One that failed may have lost what it should have written, for good."""

    inode: int
    failed: bool = False


@dataclass(frozen=True)
class Create:
    """`name` is relative to the folder."""

    name: str
    inode: int


@dataclass(frozen=True)
class Rename:
    name: str
    to: str


@dataclass(frozen=True)
class Unlink:
    name: str


@dataclass(frozen=True)
class SyncFolder:
    name: str


@dataclass(frozen=True)
class Acknowledged:
    """Partition → next offset, when `append` returned."""

    next: dict[int, int]


Operation = Write | Resize | Sync | Create | Rename | Unlink | SyncFolder | Acknowledged
Fault = Callable[[int, str], int | None]  # number of the call, function → errno, None for none


class Recorder:
    """Of the files below `folder`, with second names in `pool`. Unless it is `real`, nothing
    waits for the disk. `fault` may make calls fail."""

    def __init__(
        self, folder: Path, pool: Path, fault: Fault = lambda *_: None, real: bool = False
    ) -> None:
        self.operations: list[Operation] = []
        self.calls: list[str] = []
        self._folder = str(folder)
        self._pool = pool
        self._fault = fault
        self._is_real = real
        self._inodes: dict[int, int] = {}  # descriptor → inode
        self._folders: dict[int, str] = {}  # descriptor → name
        self._real = {name: getattr(os, name) for name in (*CALLS, "fdopen")}

    @contextmanager
    def on(self) -> Iterator[None]:
        patches = {name: getattr(self, f"_{name}") for name in self._real}
        with patch.multiple(os, **patches):
            yield

    def note(self, operation: Operation) -> None:
        self.operations.append(operation)

    def _fail(self, function: str) -> None:
        """Raises OSError if it is this call's turn."""
        self.calls.append(function)
        if number := self._fault(len(self.calls) - 1, function):
            raise OSError(number, f"injected: {os.strerror(number)}")

    def _name(self, path: Any) -> str | None:
        """The path relative to the folder; None if it is not below the folder."""
        try:
            name = os.fsdecode(path)
        except TypeError:
            return None
        if name == self._folder:
            return "."
        below = f"{self._folder}/"
        return name.removeprefix(below) if name.startswith(below) else None

    def _open(self, path: Any, flags: int, *rest: Any, **more: Any) -> int:
        name = self._name(path)
        new = name is not None and bool(flags & os.O_CREAT) and not os.path.lexists(path)
        if new:
            self._fail("open")
        fd: int = self._real["open"](path, flags, *rest, **more)
        self._inodes.pop(fd, None)  # of a file that was closed unseen, by its file object
        self._folders.pop(fd, None)
        if name is not None:
            self._opened(fd, path, name, new, flags)
        return fd

    def _opened(self, fd: int, path: Any, name: str, new: bool, flags: int) -> None:
        state = os.fstat(fd)
        if stat.S_ISDIR(state.st_mode):
            self._folders[fd] = name
            return
        inode = self._inodes[fd] = state.st_ino
        if new:
            os.link(path, self._pool / str(inode))
            self.note(Create(name, inode))
        elif flags & os.O_TRUNC:
            self.note(Resize(inode, 0))

    def _close(self, fd: int) -> None:
        self._inodes.pop(fd, None)
        self._folders.pop(fd, None)
        self._real["close"](fd)

    def _fdopen(self, fd: int, mode: str = "r", *rest: Any, **more: Any) -> IO[Any]:
        """A file object writes by itself, without os.write."""
        if fd in self._inodes and mode == "wb":
            return io.BufferedWriter(Raw(fd))
        return self._real["fdopen"](fd, mode, *rest, **more)  # type: ignore[no-any-return]

    def _write(self, fd: int, data: bytes) -> int:
        if fd not in self._inodes:
            return int(self._real["write"](fd, data))
        appends = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND
        at = os.fstat(fd).st_size if appends else os.lseek(fd, 0, os.SEEK_CUR)
        return self._put(fd, bytes(data), at, "write", lambda some: self._real["write"](fd, some))

    def _pwrite(self, fd: int, data: bytes, at: int) -> int:
        if fd not in self._inodes:
            return int(self._real["pwrite"](fd, data, at))
        put = self._real["pwrite"]
        return self._put(fd, bytes(data), at, "pwrite", lambda some: put(fd, some, at))

    def _put(self, fd: int, data: bytes, at: int, name: str, put: Callable[[bytes], int]) -> int:
        """A write that fails may have written the half."""
        try:
            self._fail(name)
        except OSError as error:
            if error.errno == errno.ENOSPC and data:
                half = put(data[: len(data) // 2])
                self.note(Write(self._inodes[fd], at, data[:half]))
            raise
        written = put(data)
        self.note(Write(self._inodes[fd], at, data[:written]))
        return written

    def _ftruncate(self, fd: int, size: int) -> None:
        if fd in self._inodes:
            self._fail("ftruncate")
        self._real["ftruncate"](fd, size)
        if fd in self._inodes:
            self.note(Resize(self._inodes[fd], size))

    def _sync(self, fd: int, function: str) -> None:
        if fd in self._folders:
            self._fail(f"{function} of the folder")
            self._wait(fd, function)
            self.note(SyncFolder(self._folders[fd]))
        elif fd in self._inodes:
            try:
                self._fail(function)
            except OSError:
                self.note(Sync(self._inodes[fd], failed=True))
                raise
            self._wait(fd, function)
            self.note(Sync(self._inodes[fd]))

    def _wait(self, fd: int, function: str) -> None:
        if self._is_real:
            self._real[function](fd)

    def _fsync(self, fd: int) -> None:
        self._sync(fd, "fsync")

    def _fdatasync(self, fd: int) -> None:
        self._sync(fd, "fdatasync")

    def _rename(self, path: Any, to: Any, **more: Any) -> None:
        self._move("rename", path, to, **more)

    def _replace(self, path: Any, to: Any, **more: Any) -> None:
        self._move("replace", path, to, **more)

    def _move(self, function: str, path: Any, to: Any, **more: Any) -> None:
        name, new = self._name(path), self._name(to)
        if name and new:
            self._fail(function)
        self._real[function](path, to, **more)
        if name and new:
            self.note(Rename(name, new))

    def _unlink(self, path: Any, **more: Any) -> None:
        name = self._name(path)
        if name and os.path.lexists(path):
            self._fail("unlink")
        self._real["unlink"](path, **more)
        if name:
            self.note(Unlink(name))


CALLS = (
    "open write pwrite ftruncate fsync fdatasync rename replace unlink close".split()  # noqa: SIM905
)


class Raw(io.RawIOBase):
    """An open file whose writes are calls of os.write."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return os.write(self._fd, data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._fd)
