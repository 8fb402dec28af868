"""Events: each event of the files as a row of the table `events`, with its own bytes."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from logpipeline.report.sources import plainly_named
from logpipeline.report.trends import MACROS, database, level_case, quoted

LONGEST = 16 * 2**20  # bytes of a line
# An event with a lone surrogate is JSON, but the database has no text for it: it is left out.
EVENTS = """
CREATE TEMP VIEW records AS SELECT json::VARCHAR AS record, json AS event
FROM read_ndjson_objects([{files}], ignore_errors = true);
"""
# Here another character stands for it, outside the record. No line has the separator of columns:
# JSON has no such character.
RECORDS = r"""
CREATE TEMP VIEW records AS
SELECT record, coalesce(TRY_CAST(record AS JSON), TRY_CAST(regexp_replace(record,
    '\\u[dD][89a-fA-F][0-9a-fA-F]{{2}}', '\\ufffd', 'g') AS JSON)) AS event
FROM read_csv([{files}], header = false, auto_detect = false, columns = {{record: 'VARCHAR'}},
    delim = '{separator}', quote = '', escape = '', new_line = '\n', strict_mode = false,
    ignore_errors = true, max_line_size = {longest}, buffer_size = {longest});
"""
TABLE = r"""
CREATE TEMP VIEW parsed AS
SELECT record, event, event->>'level' AS given, event->>'message' AS message,
    CASE WHEN json_type(event, '$.timestamp') IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'DOUBLE')
    THEN TRY_CAST(event->>'timestamp' AS DOUBLE) END AS timestamp
FROM records WHERE json_type(event) = 'OBJECT' AND json_type(event, '$.message') = 'VARCHAR';

CREATE TEMP VIEW events AS
SELECT TRY(to_timestamp(timestamp)) AS time, {level} AS level, event->>'service' AS service,
    message, shape(message) AS shape, event->>'trace_id' AS trace_id, event->>'host' AS host,
    coalesce(event->>'method', event->>'$.http.method') AS method,
    coalesce(event->>'path', event->>'$.http.path') AS path,
    TRY_CAST(coalesce(event->>'status', event->>'$.http.status') AS INTEGER) AS status,
    TRY_CAST(event->>'duration_ms' AS DOUBLE) AS duration_ms, event->>'logger' AS logger,
    event, record
FROM parsed WHERE {level} IS NOT NULL AND time IS NOT NULL
    AND timestamp >= '{start}'::DOUBLE AND timestamp < '{end}'::DOUBLE
"""
EXPORT = """
COPY (SELECT * EXCLUDE (event, shape), strftime(time AT TIME ZONE 'UTC', '%Y-%m-%d') AS day
    FROM events)
TO {folder} (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (day), OVERWRITE_OR_IGNORE)
"""


@contextmanager
def table(
    paths: Sequence[Path], start: float = -math.inf, end: float = math.inf, records: str = EVENTS
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the view `events`, of those from `start` to `end` (Unix seconds): the columns
    of the page on SQL. Raises duckdb.Error."""
    with plainly_named(paths) as plain, database() as connection:
        connection.execute(MACROS)
        names = ", ".join(quoted(str(path)) for path in plain)
        connection.execute(records.format(files=names, longest=LONGEST, separator="\x01"))
        connection.execute(TABLE.format(level=level_case("given"), start=start, end=end))
        yield connection


def export(paths: Sequence[Path], start: float, end: float, folder: Path) -> int:
    """Write the events as Parquet files, in a folder for each day of UTC. Returns their number.

    Raises OSError for a folder that has something in it; duckdb.Error.
    """
    if folder.exists() and any(folder.iterdir()):
        raise OSError(f"{folder} must be a new or an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    with table(paths, start, end, RECORDS) as connection:
        row = connection.execute(EXPORT.format(folder=quoted(str(folder)))).fetchone()
    return int(row[0]) if row else 0
