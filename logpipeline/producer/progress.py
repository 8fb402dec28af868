"""Progress: of a run, as a bar for a waiting person or as log lines."""

import logging
import sys
import time
from contextlib import ExitStack
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from logpipeline.kafka.outbox import Outbox
from logpipeline.producer.source import Source

log = logging.getLogger(__name__)

LONG = 5_000  # events that warrant a bar
LARGE = 2**20  # bytes that warrant one
EVERY = 10.0  # seconds between log lines


class Progress:
    """A bar when stderr is a terminal and the work is long and known; otherwise log lines.

    The bar counts up to `count` events, or without it the bytes of `source`. Log lines go above it.
    """

    def __init__(self, outbox: Outbox, source: Source, count: int | None) -> None:
        self._outbox = outbox
        self._source = source
        self._by_count = count is not None
        self._bar: tqdm[Any] | None = None
        self._every = EVERY
        self._cleanup = ExitStack()
        total, least = (source.size, LARGE) if count is None else (count, LONG)
        if total is not None and total >= least and sys.stderr.isatty():
            self._cleanup.enter_context(logging_redirect_tqdm())
            unit = " events" if self._by_count else "B"
            bar: tqdm[Any] = tqdm(total=total, unit=unit, unit_scale=True)
            self._bar = self._cleanup.enter_context(bar)
            self._every = bar.mininterval
        self._next = time.monotonic() + self._every

    def show(self) -> None:
        """Update the display when it is due; call this often."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._every
        if self._bar is None:
            log.info("%s events sent", f"{self._outbox.delivered:,}")
        else:
            self._update(self._bar)

    def close(self) -> None:
        if self._bar is not None:
            self._update(self._bar)
        self._cleanup.close()

    def _update(self, bar: "tqdm[Any]") -> None:
        done = self._outbox.delivered if self._by_count else self._source.position
        bar.update(done - bar.n)
