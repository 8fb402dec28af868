"""Disk: writing that survives a power cut."""

import os
from pathlib import Path


def write_all(fd: int, data: bytes) -> None:
    """os.write until everything is written. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one step, on disk before it replaces what was there.

    Raises OSError.
    """
    draft = path.with_name(path.name + ".tmp")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        write_all(fd, data)
        os.fdatasync(fd)
    finally:
        os.close(fd)
    draft.replace(path)


def sync(path: Path) -> None:
    """Make what a file holds, or which files a folder has, survive a power cut. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
