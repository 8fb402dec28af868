"""Locks: one holder at a time among the processes of a host; the kernel frees a dead one's."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from logpipeline.files import open_file

PATIENCE = 5.0  # seconds; a holder that was paused (SIGSTOP) keeps the lock
STEP = 0.001  # seconds between tries


@contextmanager
def locked(path: Path, patience: float | None = None) -> Iterator[None]:
    """Hold the lock file at `path`, which is created if missing. Waits up to `patience` seconds
    (default: PATIENCE).

    Raises OSError; TimeoutError when another process keeps the lock.
    """
    fd = _acquire(path, PATIENCE if patience is None else patience)
    try:
        yield
    finally:
        os.close(fd)


def same_file(fd: int, path: Path) -> bool:
    """Whether the open file is still the one at `path`. Raises OSError."""
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False


def _acquire(path: Path, patience: float) -> int:
    deadline = time.monotonic() + patience
    while True:
        fd = open_file(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The file may have been deleted, and others lock its successor.
            if same_file(fd, path):
                return fd
        except BlockingIOError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        if time.monotonic() > deadline:
            raise TimeoutError(f"another process holds {path}")
        time.sleep(STEP)
