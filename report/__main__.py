"""The day's trends in logs.txt and its rotated files: one HTML page, or an answer to SQL.

SQL may ask the table `events`: time, level, service, message, and shape, which is the message
with # for its numbers. `level` is one of DEBUG, INFO, WARNING, ERROR and CRITICAL.
"""

import argparse
import datetime
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import duckdb

import config
from report.page import render
from report.trends import NoLogs, files, table, trends

DAY = 24 * 3600.0
EXAMPLES = """\
examples:
  make report                                  the last 24 hours, to report.html
  make report DAY=2026-11-23                   one day, local time
  python -m report --sql "SELECT level, count(*) FROM events GROUP BY ALL"

exit status: 0, also when the time has no events, 1 when logs.txt or the query can't be read,
2 for an option or a setting that can't be used
"""


def main(argv: Sequence[str] | None = None) -> int:
    settings, options = config.load(argv, __doc__ or "", add_options, EXAMPLES)
    try:
        if options.sql:
            ask(settings.log_file, options.sql)
        else:
            write(settings.log_file, options.day, options.output)
    except (NoLogs, duckdb.Error, OSError) as error:
        config.fail("report", " ".join(str(error).split()), 1)
    return 0


def write(log_file: Path, day: datetime.date | None, output: Path) -> None:
    """Make the page. Raises NoLogs, duckdb.Error, OSError."""
    end = time.time()
    start = end - DAY
    title = f"{log_file.name}: the last 24 hours"
    if day:
        midnight = datetime.datetime.combine(day, datetime.time()).astimezone()
        start, end = midnight.timestamp(), (midnight + datetime.timedelta(days=1)).timestamp()
        title = f"{log_file.name} on {day:%A, %-d %B %Y}"
    names = ", ".join(path.name for path in files(log_file, start)) or log_file.name
    output.write_text(render(trends(log_file, start, end), title, names), "utf-8")
    print(output)


def ask(log_file: Path, sql: str) -> None:
    """Print the answer as a table. Raises NoLogs, duckdb.Error."""
    with table(files(log_file)) as database:
        answer = database.sql(sql)
        if answer:
            answer.show(max_rows=1_000, max_width=160)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.prog = "python -m report"
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
