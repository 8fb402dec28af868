"""Claims: a log is followed by one producer of a STATE_DIR at a time."""

import fcntl
import hashlib
import os
import struct
from pathlib import Path

from logpipeline.files import open_file

NAME = "follow.lock"
# Of the open file, so that two of one process exclude each other too; elsewhere, of the process.
OF_FILE = getattr(fcntl, "F_OFD_SETLK", None)


class Claims:
    """The claims of a process: bytes of one lock file, so that they need one descriptor. The
    kernel frees those of a dead process. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._file = open_file(folder / NAME, os.O_RDWR | os.O_CREAT)

    def take(self, path: Path) -> bool:
        """Claim the log at `path`. Returns False if another producer has it."""
        digest = hashlib.sha256(os.fsencode(path)).digest()
        at = int.from_bytes(digest[:8], "big") >> 2
        try:
            if OF_FILE is None:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, at)
            else:
                request = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, at, 1, 0)
                fcntl.fcntl(self._file, OF_FILE, request)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def close(self) -> None:
        os.close(self._file)
