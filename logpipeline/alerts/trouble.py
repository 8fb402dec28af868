"""Trouble: an exception that nobody foresaw. Work is tried again, and it is said and counted."""

import logging

MOST_WAIT = 60.0  # seconds between tries; the first are 1, 2, 4, …


class Trouble:
    """What goes wrong in one piece of work. `count` is of all exceptions."""

    def __init__(self, log: logging.Logger, work: str) -> None:
        self.count = 0
        self._log = log
        self._work = work
        self._kind: type[Exception] | None = None
        self._tries = 0  # since it last went well

    def __str__(self) -> str:
        """What keeps it from its work, "" when nothing does."""
        return f"{self._work} fails: {self._kind.__name__}" if self._kind else ""

    @property
    def wait(self) -> float:
        """Seconds until the next try, 0 when all is well."""
        return min(2.0 ** (self._tries - 1), MOST_WAIT) if self._tries else 0.0

    def had(self, error: Exception) -> None:
        """Count it; log its traceback, unless the last one was of its kind."""
        self.count += 1
        self._tries += 1
        if type(error) is not self._kind:
            self._log.error("%s fails, trying again", self._work, exc_info=error)
            self._kind = type(error)

    def resolve(self) -> None:
        """Say that it went well, if it did not before."""
        if self._kind:
            self._log.info("%s works again", self._work)
            self._kind, self._tries = None, 0
