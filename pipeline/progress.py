"""Progress: how far a run has come, for a person who waits or for a log."""

import logging
import sys
import time
from contextlib import ExitStack
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from pipeline.outbox import Outbox

log = logging.getLogger(__name__)

LONG = 5_000  # events that deserve a bar
EVERY = 10.0  # seconds between log lines


class Progress:
    """A bar when `count` events are many and stderr is a terminal, else a log line now and then.

    While there is a bar, log lines go above it.
    """

    def __init__(self, outbox: Outbox, count: int | None) -> None:
        self._outbox = outbox
        self._bar: tqdm[Any] | None = None
        self._every = EVERY
        self._cleanup = ExitStack()
        if count is not None and count >= LONG and sys.stderr.isatty():
            self._cleanup.enter_context(logging_redirect_tqdm())
            bar: tqdm[Any] = tqdm(total=count, unit=" events", unit_scale=True)
            self._bar = self._cleanup.enter_context(bar)
            self._every = bar.mininterval
        self._next = time.monotonic() + self._every

    def show(self) -> None:
        """To be called often: it does something when it is time."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._every
        if self._bar is None:
            log.info("%s events sent", f"{self._outbox.delivered:,}")
        else:
            self._bar.update(self._outbox.delivered - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.update(self._outbox.delivered - self._bar.n)
        self._cleanup.close()
