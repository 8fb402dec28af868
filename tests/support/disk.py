"""Disk: a small filesystem of its own, that can be full."""

import ctypes
import os
import subprocess
from contextlib import suppress
from pathlib import Path

CLONE_NEWNS = 0x00020000  # linux/sched.h
ROOMY = 4 * 2**30  # bytes; memory is used for what is written only
LEFT = 50_000  # bytes: less than a batch
TRIES = 50


class Disk:
    """A tmpfs at the empty `folder`, seen by this process and its children, and gone with them.

    Raises OSError where that may not be had: it takes Linux and root.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        _run("mount", "--make-rprivate", "/")
        _run("mount", "-t", "tmpfs", "-o", f"size={ROOMY}", "chaos", str(folder))

    def fill(self) -> None:
        """Leave next to nothing free. Raises OSError."""
        for _ in range(TRIES - 1):
            with suppress(OSError):  # others have written more than that meanwhile
                self._resize(self._used() + LEFT)
                return
        self._resize(self._used() + LEFT)

    def empty(self) -> None:
        """Make room again. Raises OSError."""
        self._resize(ROOMY)

    def close(self) -> None:
        """Raises OSError while something is open there."""
        _run("umount", str(self.folder))

    def _used(self) -> int:
        there = os.statvfs(self.folder)
        return (there.f_blocks - there.f_bfree) * there.f_frsize

    def _resize(self, size: int) -> None:
        _run("mount", "-o", f"remount,size={size}", str(self.folder))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(done.stderr.strip())
