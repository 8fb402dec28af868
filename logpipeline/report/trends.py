"""Trends: the files as a table, and the counts that the page shows."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

import duckdb

from logpipeline.events.event import LEVEL_OF, LEVELS
from logpipeline.report.sources import plainly_named

TOP = 12  # messages, and services: by events, and by errors
NAME = 100  # characters of a service's name
MEMORY = "512MB"  # that DuckDB may use; beyond it, DuckDB uses a temporary folder
THREADS = 4  # at most: each takes 32 MiB of a file
BINS = 96  # at most, in a chart over time
STEPS = (60, 300, 900, 1_800, 3_600, 21_600, 86_400)  # seconds of a bin

LIMITS = {
    "preserve_insertion_order": "false",
    "memory_limit": f"'{MEMORY}'",
    "threads": str(min(THREADS, os.cpu_count() or 1)),
    "temp_directory": f"'{Path(gettempdir()) / f'log-report-{os.getpid()}'}'",
}
# Invalid lines have no level here: broken ones, other programs', and a last one that is just being
# written.
TABLE = r"""
CREATE TEMP VIEW lines AS
SELECT CASE WHEN message IS NOT NULL AND TRY(to_timestamp(timestamp)) IS NOT NULL THEN {level} END
    AS level, message, service, TRY(to_timestamp(timestamp)) AS time, timestamp
FROM read_json([{files}], format = 'newline_delimited', ignore_errors = true, columns = {{
    level: 'VARCHAR', message: 'VARCHAR', timestamp: 'DOUBLE', service: 'VARCHAR'}}) AS r;
"""
MACROS = r"""
-- Messages without the numbers that make each of them different.
CREATE TEMP MACRO shape(message) AS regexp_replace(
    regexp_replace(left(message, 300), '\b[0-9a-f]*[0-9][0-9a-f-]{7,}\b', '#', 'g'),
    '\b\d+([.,]\d+)*', '#', 'g');
"""
NAMED = """
CREATE TEMP MACRO named(service) AS CASE WHEN length(service) > {name}
    THEN left(service, {name}) || '…' ELSE coalesce(service, '') END;
"""
COUNTS = """
CREATE TEMP TABLE counts AS
SELECT CAST(floor(timestamp / $step) * $step AS BIGINT) AS bin, named(service) AS service, level,
    count(*) AS events, count(*) FILTER (level IN ('ERROR', 'CRITICAL')) AS errors
FROM lines WHERE level IS NOT NULL AND timestamp >= $start AND timestamp < $end
GROUP BY ALL
"""
SERVICES = "SELECT count(DISTINCT service) FROM counts"
# Counts of services that are not shown are added up.
SHOWN = """
WITH sums AS (
    SELECT service, sum(events) AS events, sum(errors) AS errors FROM counts GROUP BY ALL),
shown AS (
    (SELECT service FROM sums ORDER BY events DESC, service LIMIT $top) UNION
    (SELECT service FROM sums ORDER BY errors DESC, service LIMIT $top))
SELECT bin, shown.service, level, sum(events)::BIGINT FROM counts LEFT JOIN shown USING (service)
GROUP BY ALL ORDER BY ALL
"""
MESSAGES = """
SELECT shape(message) AS shape, named(service), level, count(*) AS events, min(timestamp),
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
    """`events` of a service ("" when they name none, None for those that are not shown) and level
    in the bin that begins at `bin`."""

    bin: int
    service: str | None
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

    `services` is the number of all, `counts` names the largest; `unreadable` lines are invalid.
    """

    start: float
    end: float
    step: int
    counts: list[Count]
    messages: list[Message]
    unreadable: int
    services: int = 0


def database() -> duckdb.DuckDBPyConnection:
    """An empty one, in bounds."""
    connection = duckdb.connect()
    for name, value in LIMITS.items():
        connection.execute(f"SET {name} = {value}")
    return connection


@contextmanager
def lines_of(paths: Sequence[Path]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the view `lines`. Raises duckdb.Error."""
    with plainly_named(paths) as plain, database() as connection:
        names = ", ".join(quoted(str(path)) for path in plain)
        connection.execute(TABLE.format(files=names, level=level_case("r.level")))
        connection.execute(MACROS)
        connection.execute(NAMED.format(name=NAME))
        yield connection


def trends(paths: Sequence[Path], start: float, end: float) -> Trends:
    """Read the files and count. Raises duckdb.Error."""
    if not paths:
        return Trends(start, end, STEPS[0], [], [], 0)
    with lines_of(paths) as database:
        between = {"start": start, "end": end}
        extent = database.execute(EXTENT, between).fetchone()
        assert extent
        unreadable, first, last = extent
        if first is None:
            return Trends(start, end, STEPS[0], [], [], unreadable)
        step = bin_size(last - first, BINS)
        database.execute(COUNTS, between | {"step": step})
        counts = database.execute(SHOWN, {"top": TOP}).fetchall()
        services = database.execute(SERVICES).fetchone()
        messages = database.execute(MESSAGES, between | {"top": TOP}).fetchall()
    return Trends(
        *(first, last, step),
        [Count(*row) for row in counts],
        [Message(*row) for row in messages],
        unreadable,
        services[0] if services else 0,
    )


def unreadable(path: Path) -> str:
    """Why a file cannot be read to its end, "" if it can."""
    try:
        with lines_of([path]) as database:
            database.execute("SELECT count(message) FROM lines")
    except duckdb.Error as error:
        reason = " ".join(str(error).split())
        return "a line is longer than 16 MiB" if "maximum_object_size" in reason else reason
    return ""


def bin_size(seconds: float, most: int) -> int:
    """The smallest step that needs at most so many bins."""
    return next((step for step in STEPS if seconds / step < most), STEPS[-1])


def level_case(column: str) -> str:
    """SQL for the one of LEVELS that a column names, NULL for none."""
    names = {level: [n for n, meant in LEVEL_OF.items() if meant == level] for level in LEVELS}
    branches = (
        f"WHEN upper({column}) IN ({', '.join(map(quoted, each))}) THEN {quoted(level)}"
        for level, each in names.items()
    )
    return f"CASE {' '.join(branches)} END"


def quoted(text: str) -> str:
    """A string literal of SQL."""
    return "'" + text.replace("'", "''") + "'"
