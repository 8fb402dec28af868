"""Child: a process that never outlives the one that started it, not even by a SIGKILL."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def spawn(command: Sequence[str], **popen: Any) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, so that a terminal's Ctrl-C is ours to pass on.

    Linux kills it when the calling *thread* ends: call this from one that lives as long as the
    child should. Further arguments are Popen's. Raises OSError.
    """
    launcher = [sys.executable, "-I", "-S", __file__, str(os.getpid())]
    return subprocess.Popen([*launcher, *command], start_new_session=True, **popen)


def main() -> None:
    """Tie this process to its parent, then become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec would keep that
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
