"""Feeding: events that arrive in Redis at a rate, while a test looks at the page."""

import itertools
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import redis

from tests.support.holding import Holding, event

STEP = 0.1  # seconds


class Feeding:
    """Adds `rate` events a second while it is entered; `make` makes one of its number. They are in
    `log_file` too, and there alone while Redis is away."""

    def __init__(
        self,
        holding: Holding,
        rate: int,
        make: Callable[[int], bytes] | None = None,
        log_file: Path = Path(os.devnull),
    ) -> None:
        self._holding = holding
        self._rate = rate
        self._make = make or (lambda number: event(message=f"event {number}", n=number))
        self._log_file = log_file
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        numbers = itertools.count()
        began, sent = time.monotonic(), 0
        with self._log_file.open("ab", buffering=0) as log:
            while not self._stop.wait(STEP):
                due = int((time.monotonic() - began) * self._rate) - sent
                lines = [self._make(next(numbers)) for _ in range(min(due, 2 * self._rate))]
                sent += due
                log.write(b"".join(line + b"\n" for line in lines))
                with suppress(redis.ConnectionError):
                    self._holding.add(*lines)
