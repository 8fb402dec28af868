"""Unforeseen: exceptions that nobody expected, in a loop that has to continue."""

import logging
import traceback

FIRST, MOST = 1.0, 30.0  # seconds until the next try


class Unforeseen:
    """Says each kind with its traceback, once until a success; counts them all."""

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log = log
        self._what = what
        self._said: set[str] = set()
        self._row = 0  # since the last success
        self.count = 0

    def failed(self, error: Exception) -> float:
        """Note it. Returns how many seconds to wait before the next try."""
        self.count += 1
        self._row += 1
        kind = type(error).__name__ + "".join(traceback.format_tb(error.__traceback__)[-1:])
        if kind not in self._said:
            self._said.add(kind)
            self._log.error("%s failed, trying again", self._what, exc_info=error)
        return float(min(FIRST * 2 ** min(self._row - 1, 16), MOST))

    def succeeded(self) -> None:
        if self._row:
            self._log.info("%s works again, failures: %d", self._what, self._row)
        self._row = 0
        self._said.clear()
