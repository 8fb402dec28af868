"""Trends: the files as a table, and what the page shows of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from logpipeline.events.event import LEVEL_OF
from logpipeline.report.sources import literally

TOP = 12  # messages
BINS = 96  # at most, in a chart over time
STEPS = (60, 300, 900, 1_800, 3_600, 21_600, 86_400)  # seconds of a bin

# Lines that are no events have no level here: broken ones, somebody else's, a last one that is
# just being written.
TABLE = r"""
CREATE TEMP VIEW lines AS
SELECT l.level, message, service, TRY(to_timestamp(timestamp)) AS time, timestamp
FROM read_json([{files}], format = 'newline_delimited', ignore_errors = true, columns = {{
    level: 'VARCHAR', message: 'VARCHAR', timestamp: 'DOUBLE', service: 'VARCHAR'}}) AS r
LEFT JOIN (VALUES {levels}) AS l (name, level)
ON upper(r.level) = l.name AND message IS NOT NULL AND TRY(to_timestamp(timestamp)) IS NOT NULL;

-- Like events, but without what makes each message a different one.
CREATE TEMP MACRO shape(message) AS regexp_replace(
    regexp_replace(left(message, 300), '\b[0-9a-f]*[0-9][0-9a-f-]{{7,}}\b', '#', 'g'),
    '\b\d+([.,]\d+)*', '#', 'g');

CREATE TEMP VIEW events AS
SELECT time, level, service, message, shape(message) AS shape FROM lines
WHERE level IS NOT NULL AND timestamp >= '{start}'::DOUBLE AND timestamp < '{end}'::DOUBLE
"""
COUNTS = """
SELECT CAST(floor(timestamp / $step) * $step AS BIGINT) AS bin, coalesce(service, ''), level,
    count(*)
FROM lines WHERE level IS NOT NULL AND timestamp >= $start AND timestamp < $end
GROUP BY ALL ORDER BY ALL
"""
MESSAGES = """
SELECT shape(message) AS shape, coalesce(service, ''), level, count(*) AS events, min(timestamp),
    max(timestamp)
FROM lines WHERE level IN ('ERROR', 'CRITICAL') AND timestamp >= $start AND timestamp < $end
GROUP BY ALL ORDER BY events DESC, shape LIMIT $top
"""
EXTENT = """
SELECT count(*) FILTER (level IS NULL),
    min(timestamp) FILTER (level IS NOT NULL AND timestamp >= $start AND timestamp < $end),
    max(timestamp) FILTER (level IS NOT NULL AND timestamp >= $start AND timestamp < $end)
FROM lines
"""


@dataclass(frozen=True)
class Count:
    """`events` of a service ("" when they name none) and level in the bin that begins at `bin`."""

    bin: int
    service: str
    level: str
    events: int


@dataclass(frozen=True)
class Message:
    """ERROR or CRITICAL events whose messages have one shape: numbers are #."""

    shape: str
    service: str
    level: str
    events: int
    first: float
    last: float


@dataclass(frozen=True)
class Trends:
    """What happened from `start` to `end` (Unix seconds), in bins of `step` seconds.

    `unreadable` lines of the files are no events.
    """

    start: float
    end: float
    step: int
    counts: list[Count]
    messages: list[Message]
    unreadable: int


def table(
    paths: Sequence[Path], start: float = -math.inf, end: float = math.inf
) -> duckdb.DuckDBPyConnection:
    """A database with the view `events`, of those from `start` to `end` (Unix seconds): time, level
    (one of five), service, message, shape. Raises duckdb.Error."""
    database = duckdb.connect()
    database.execute("SET preserve_insertion_order = false")
    levels = ", ".join(f"({_quoted(name)}, {_quoted(level)})" for name, level in LEVEL_OF.items())
    names = ", ".join(_quoted(literally(str(path))) for path in paths)
    database.execute(TABLE.format(files=names, levels=levels, start=start, end=end))
    return database


def trends(paths: Sequence[Path], start: float, end: float) -> Trends:
    """Read the files and count. Raises duckdb.Error."""
    if not paths:
        return Trends(start, end, STEPS[0], [], [], 0)
    with table(paths) as database:
        between = {"start": start, "end": end}
        extent = database.execute(EXTENT, between).fetchone()
        assert extent
        unreadable, first, last = extent
        if first is None:
            return Trends(start, end, STEPS[0], [], [], unreadable)
        step = bin_size(last - first, BINS)
        counts = database.execute(COUNTS, between | {"step": step}).fetchall()
        messages = database.execute(MESSAGES, between | {"top": TOP}).fetchall()
    return Trends(
        *(first, last, step),
        [Count(*row) for row in counts],
        [Message(*row) for row in messages],
        unreadable,
    )


def bin_size(seconds: float, most: int) -> int:
    """The smallest step that needs at most so many bins."""
    return next((step for step in STEPS if seconds / step < most), STEPS[-1])


def _quoted(text: str) -> str:
    """As a string of SQL."""
    return "'" + text.replace("'", "''") + "'"
