"""Child: a process that never outlives its parent, even when the parent gets a SIGKILL."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def spawn(command: Sequence[str], **popen: Any) -> subprocess.Popen[bytes]:
    """Start `command` in its own session, so that a terminal's Ctrl-C reaches only the parent.

    Linux kills it when the calling *thread* ends: call this from a thread that lives as long as the
    child should. Further arguments are Popen's. Raises OSError.
    """
    launcher = [sys.executable, "-I", "-S", __file__, str(os.getpid())]
    return subprocess.Popen([*launcher, *command], start_new_session=True, **popen)


class Child:
    """One child that can be restarted; `process` is the latest.

    While `starting`, there may be one that nothing can stop yet: a signal's handler must not raise.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.process: subprocess.Popen[bytes] | None = None
        self.starting = False

    def start(self) -> None:
        raise NotImplementedError

    def _spawn(self, command: Sequence[str], **popen: Any) -> None:
        """As `spawn`, and keep it as `process`."""
        self.starting = True
        try:
            self.process = spawn(command, **popen)
            self._spawned(self.process)
        finally:
            self.starting = False

    def _spawned(self, process: subprocess.Popen[bytes]) -> None:
        """Do what belongs to its start."""

    def status(self) -> int | None:
        """The exit status, -N for signal N; None while it runs. 0 when it was never started."""
        return self.process.poll() if self.process else 0

    def stop(self, timeout: float = 8.0) -> None:
        """End it by SIGTERM, and by SIGKILL after `timeout` seconds."""
        self.resume()
        self.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self.process:
                self.process.wait(timeout)
        self.kill()

    def kill(self) -> None:
        """End it at once by SIGKILL, like a crash."""
        self.signal(signal.SIGKILL)
        if self.process:
            self.process.wait()

    def pause(self) -> None:
        """Freeze it: connections stay open, but it does not answer."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if it is running."""
        if self.process and self.process.poll() is None:
            os.kill(self.process.pid, number)


def main() -> None:
    """Tie this process to its parent, then become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent died before the line above
        sys.exit(1)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec would keep that
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
