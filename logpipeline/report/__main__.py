"""The day's trends in logs.txt and its rotated files: one HTML page, or an answer to SQL.

Rotated files that are not here any more are read from ARCHIVE_URL.

SQL may ask the table `events`: time, level, service, message, and shape, which is the message
with # for its numbers. `level` is one of DEBUG, INFO, WARNING, ERROR and CRITICAL.
"""

import argparse
import datetime
import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import duckdb

from logpipeline import command_line
from logpipeline.archive.store import Store, StoreError
from logpipeline.report.page import render
from logpipeline.report.settings import ReportSettings
from logpipeline.report.sources import NoLogs, gathered
from logpipeline.report.trends import table, trends

DAY = 24 * 3600.0
NAMES = 5  # of files, at most, on the page
EXAMPLES = """\
examples:
  make report                                  the last 24 hours, to report.html
  make report DAY=2026-11-23                   one day, local time
  python -m logpipeline.report --sql "SELECT level, count(*) FROM events GROUP BY ALL"
  python -m logpipeline.report --day 2026-11-23 --sql "SELECT DISTINCT service FROM events"

exit status: 0, also when the time has no events, 1 when logs.txt or the query can't be read,
2 for an option or a setting that can't be used
"""

Gather = Callable[[float, float], AbstractContextManager[Sequence[Path]]]


def main(argv: Sequence[str] | None = None) -> int:
    settings, options = command_line.load(
        ReportSettings, argv, __doc__ or "", add_options, EXAMPLES
    )
    try:
        store = Store.of(settings)
        gather = partial(gathered, settings.log_file, store)
        if options.sql:
            work = partial(ask, gather, options.day, options.sql)
        else:
            work = partial(write, settings.log_file.name, gather, options.day, options.output)
        try:
            work()
        except duckdb.IOException:  # a file was packed or deleted just then
            work()
    except (NoLogs, StoreError, duckdb.Error, OSError) as error:
        command_line.fail("report", " ".join(str(error).split()), 1)
    return 0


def write(name: str, gather: Gather, day: datetime.date | None, output: Path) -> None:
    """Make the page. Raises NoLogs, StoreError, duckdb.Error, OSError."""
    end = time.time()
    start = end - DAY
    title = f"{name}: the last 24 hours"
    if day:
        start, end = span(day)
        title = f"{name} on {day:%A, %-d %B %Y}"
    with gather(start, end) as paths:
        found = trends(paths, start, end)
        names = [path.name for path in paths] or [name]
    if len(names) > NAMES:
        names = [names[0], "…", f"{names[-1]} ({len(names)} files)"]
    output.write_text(render(found, title, ", ".join(names)), "utf-8")
    print(output)


def ask(gather: Gather, day: datetime.date | None, sql: str) -> None:
    """Print the answer as a table. Raises NoLogs, StoreError, duckdb.Error, OSError."""
    start, end = span(day) if day else (-math.inf, math.inf)
    with gather(start, end) as paths:
        if not paths:
            raise NoLogs("no file was written after that day began: nothing to ask")
        with table(paths, start, end) as database:
            answer = database.sql(sql)
            if answer:
                answer.show(max_rows=1_000, max_width=160)


def span(day: datetime.date) -> tuple[float, float]:
    """Its first moment and the next day's, local time, in Unix seconds."""
    midnight = datetime.datetime.combine(day, datetime.time()).astimezone()
    return midnight.timestamp(), (midnight + datetime.timedelta(days=1)).timestamp()


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.prog = "python -m logpipeline.report"
    parser.add_argument("--day", type=date, metavar="YYYY-MM-DD", help="instead of 24 hours")
    parser.add_argument("--output", type=Path, default=Path("report.html"), metavar="FILE")
    parser.add_argument("--sql", metavar="QUERY", help="ask the table `events` instead")


def date(text: str) -> datetime.date:
    """Raises ArgumentTypeError."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: allowed is a day, 2026-11-23") from None


if __name__ == "__main__":
    sys.exit(main())
