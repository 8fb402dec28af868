"""Shutdown: the flag that SIGTERM and Ctrl-C set."""

import logging
import os
import signal
import time
from collections.abc import Iterator
from types import FrameType

log = logging.getLogger(__name__)

STEP = 0.05  # seconds; kafka-python has no wakeup(), so every wait polls the flag
FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0  # seconds between retries


class Shutdown:
    """True once the process has been asked to stop. A second Ctrl-C ends it at once.

    `looked` is when (time.monotonic) the main loop last read it, as it does in each iteration.
    """

    def __init__(self) -> None:
        self._requested = False
        self.looked = time.monotonic()

    def __bool__(self) -> bool:
        self.looked = time.monotonic()
        return self._requested

    @property
    def requested(self) -> bool:
        """The same, without counting as a look: for code outside the main loop."""
        return self._requested

    def on_signals(self) -> "Shutdown":
        """Set it on SIGTERM, SIGINT and when the terminal closes. For the main thread.

        The SIGHUP that logrotate sends needs no action: moved files are noticed in any case.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._request)
        if not _has_terminal():
            signal.signal(signal.SIGHUP, _note)
        else:
            signal.signal(signal.SIGHUP, self._hang_up)
        return self

    def request(self) -> None:
        self._requested = True

    def wait(self, seconds: float) -> bool:
        """Sleep until the time is up or a stop is requested. Returns whether it was requested."""
        deadline = time.monotonic() + seconds
        while not self and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(STEP, left))
        return self._requested

    def backoff(self) -> Iterator[int]:
        """Count retries, with doubling waits between them; ends on a request to stop."""
        seconds, tries = FIRST_WAIT, 0
        while not self:
            yield tries
            tries += 1
            self.wait(seconds)
            seconds = min(2 * seconds, LONGEST_WAIT)

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        if _has_terminal():
            _note(number, frame)
        else:
            self._request(number, frame)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self._requested:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._requested = True


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _note(number: int, frame: FrameType | None) -> None:
    log.info("%s received: looking for moved files", signal.Signals(number).name)
