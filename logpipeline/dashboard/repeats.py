"""Repeats: limits what libraries log for each request or message, as strangers send many.

One record of a kind (one line of code and one exception) passes every SECONDS, and the next one
says how many were dropped. So nobody can fill the log, and it has each traceback once.
"""

import logging
import time
from types import TracebackType

from logpipeline.terminal import printable

SECONDS = 60.0
KINDS = 1_000  # remembered
LIMITED = (
    "uvicorn",
    "nicegui",
    "engineio",
    "socketio",
    "asyncio",
    "logpipeline.dashboard.sockets",
)  # names of loggers
CHARACTERS = 500  # of a message: some quote what a stranger has sent

Kind = tuple[str, int, str, int]


class Repeats(logging.Filter):
    """A filter for a handler."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[Kind, tuple[float, int]] = {}  # kind → when one passed, how many not

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or not record.name.startswith(LIMITED):
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
        text = printable(record.getMessage()[:CHARACTERS])
        record.msg, record.args = f"{text} (and {more:,} more times)" if more else text, ()
        return True


def _kind(record: logging.LogRecord) -> Kind:
    error, trace = "", None
    if record.exc_info and record.exc_info[0]:
        error, trace = record.exc_info[0].__name__, record.exc_info[2]
    return record.pathname, record.lineno, error, _line(trace)


def _line(trace: TracebackType | None) -> int:
    """The line of code that raised the exception."""
    line = 0
    while trace:
        line, trace = trace.tb_lineno, trace.tb_next
    return line
