"""Repeats: what a library logs again and again for each request or message of a stranger.

One of a kind, that is of one line of code and one exception, passes in so many seconds; the next
one that does says how many did not. So nobody can fill the log, and each traceback is in it once.
"""

import logging
import time
from types import TracebackType

from logpipeline.terminal import printable

SECONDS = 60.0
KINDS = 1_000  # that are remembered
SPEAKERS = (
    "uvicorn",
    "nicegui",
    "engineio",
    "socketio",
    "asyncio",
    "logpipeline.dashboard.sockets",
)  # loggers
WORDS = 500  # characters of one: some repeat what they were sent

Kind = tuple[str, int, str, int]


class Repeats(logging.Filter):
    """For a handler."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[Kind, tuple[float, int]] = {}  # kind → when it passed, how many since

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or not record.name.startswith(SPEAKERS):
            return True
        kind = _kind(record)
        at, more = self._seen.pop(kind, (0.0, 0))
        now = time.monotonic()
        if at and now - at < SECONDS:
            self._seen[kind] = (at, more + 1)
            return False
        self._seen[kind] = (now, 0)
        if len(self._seen) > KINDS:
            del self._seen[next(iter(self._seen))]
        words = printable(record.getMessage()[:WORDS])
        record.msg, record.args = f"{words} (and {more:,} more times)" if more else words, ()
        return True


def _kind(record: logging.LogRecord) -> Kind:
    error, trace = "", None
    if record.exc_info and record.exc_info[0]:
        error, trace = record.exc_info[0].__name__, record.exc_info[2]
    return record.pathname, record.lineno, error, _line(trace)


def _line(trace: TracebackType | None) -> int:
    """Where the exception comes from."""
    line = 0
    while trace:
        line, trace = trace.tb_lineno, trace.tb_next
    return line
