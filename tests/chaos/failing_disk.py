"""Failing disk: runs consumer.py on a disk some of whose calls fail with EIO or ENOSPC.

    python -m tests.chaos.failing_disk FILE [consumer.py's arguments]

While FILE exists, one of so many writes, syncs, truncations and renames fails. A sync that fails
has not happened; a failed write may have written the half.
"""

import errno
import os
import random
import stat
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import consumer

CALLS = ("write", "pwrite", "fsync", "fdatasync", "ftruncate", "rename", "replace")
ERRORS = (errno.EIO, errno.ENOSPC)
SHARE = 0.05  # of the calls fails


def failing(real: Callable[..., Any], file: Path, dice: random.Random) -> Callable[..., Any]:
    """The call, which may fail while `file` exists."""

    @wraps(real)
    def call(what: Any, *rest: Any, **more: Any) -> Any:
        if file.exists() and dice.random() < SHARE and _is_on_disk(what):
            if real.__name__ in ("write", "pwrite"):
                data, *at = rest
                real(what, bytes(data[: len(data) // 2]), *at)
            error = dice.choice(ERRORS)
            raise OSError(error, os.strerror(error))
        return real(what, *rest, **more)

    return call


def _is_on_disk(what: Any) -> bool:
    """Not a socket or a pipe."""
    mode = os.stat(what).st_mode  # noqa: PTH116 - of a descriptor, too
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def main() -> int:
    file, dice = Path(sys.argv[1]), random.Random(os.getpid())
    for name in CALLS:
        setattr(os, name, failing(getattr(os, name), file, dice))
    return consumer.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
