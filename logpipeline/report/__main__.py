"""Report the day's trends in logs.txt and its rotated files: one HTML page, or an answer to SQL.

Rotated files that have been deleted here are read from ARCHIVE_URL.

SQL may query the table `events`: time, level, service, message, shape, which is the message with #
for its numbers, trace_id, host, method, path, status, duration_ms, logger, event, which is the
whole event as JSON (event->>'user'), and record, its own bytes. `level` is one of DEBUG, INFO,
WARNING, ERROR and CRITICAL.
"""

import argparse
import csv
import datetime
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

import duckdb

from logpipeline import command_line
from logpipeline.archive.store import Store, StoreError
from logpipeline.files import own_target, replace_file
from logpipeline.moment import A_TIME, moment
from logpipeline.report import events
from logpipeline.report.page import render
from logpipeline.report.settings import ReportSettings
from logpipeline.report.sources import NoLogs, gathered
from logpipeline.report.trends import trends, unreadable
from logpipeline.terminal import printable

DAY = 24 * 3600.0
UNREADABLE = (duckdb.IOException, duckdb.InvalidInputException)
NAMES = 5  # of files, at most, on the page
EXAMPLES = """\
examples:
  make report                                  report the last 24 hours in report.html
  make report DAY=2026-11-23                   report one day, local time: report-2026-11-23.html
  python -m logpipeline.report --sql "SELECT level, count(*) FROM events GROUP BY ALL"
  python -m logpipeline.report --day 2026-11-23 --sql "SELECT DISTINCT service FROM events"
  python -m logpipeline.report --since 2h --csv --sql "SELECT time, event->>'user' FROM events"
  python -m logpipeline.report --since 7d --export parquet

exit status: 0, 1 when there are no events (a page that exists is kept), or when a file (the others
are read all the same) or the query cannot be read, 2 for an option or a setting that cannot be used
"""

Span = tuple[float, float]  # Unix seconds, the end not included
Gather = Callable[[float, float], AbstractContextManager[Sequence[Path]]]


def main(argv: Sequence[str] | None = None) -> int:
    settings, options = command_line.load(
        ReportSettings, argv, __doc__ or "", add_options, EXAMPLES, shows_times=True
    )
    try:
        store = Store.of(settings)
        gather = partial(gathered, settings.log_file, store)
        left_out: list[str] = []
        period = chosen(options)
        if options.sql:
            work = partial(ask, period, options.sql, options.csv)
        elif options.export:
            work = partial(export, period, options.export)
        else:
            work = partial(write, settings.log_file.name, options.day, options.output, left_out)
        try:
            work(gather)
        except UNREADABLE:  # or retention has just packed or deleted one
            work(partial(readable, gather, left_out))
    except (NoLogs, StoreError, duckdb.Error, OSError) as error:
        command_line.fail("report", " ".join(str(error).split()), 1)
    return 1 if left_out else 0


@contextmanager
def readable(
    gather: Gather, left_out: list[str], start: float, end: float
) -> Iterator[Sequence[Path]]:
    """The readable files of `gather`; the others are reported, and added to `left_out`."""
    with gather(start, end) as paths:
        why = {path: unreadable(path) for path in paths}
        for path, reason in why.items():
            if reason:
                print(f"report: cannot read {path}, leaving it out: {reason}", file=sys.stderr)
                left_out.append(path.name)
        yield [path for path, reason in why.items() if not reason]


def write(
    name: str,
    day: datetime.date | None,
    output: Path | None,
    left_out: Sequence[str],
    gather: Gather,
) -> None:
    """Write the page, unless it would have no events. Raises NoLogs, StoreError, duckdb.Error,
    OSError."""
    output = output or Path(f"report-{day}.html" if day else "report.html")
    end = time.time()
    start = end - DAY
    title = f"{name}: the last 24 hours"
    if day:
        start, end = span(day)
        title = f"{name} on {day:%A, %-d %B %Y}"
    with gather(start, end) as paths:
        found = trends(paths, start, end)
        names = [path.name for path in paths] or [name]
    try:
        target = own_target(output)
    except ValueError as error:
        raise OSError(f"{output} cannot be written: it is {error}") from None
    if not found.counts:
        kept = f"; {output} is left as it was" if target.exists() else ""
        raise NoLogs(f"no events {f'on {day}' if day else 'in the last 24 hours'}{kept}")
    if len(names) > NAMES:
        names = [names[0], "…", f"{names[-1]} ({len(names)} files)"]
    source = ", ".join(names) + "".join(f"; {name} cannot be read" for name in left_out[:NAMES])
    replace_file(target, render(found, title, source).encode())
    print(output)


def ask(period: Span, sql: str, as_csv: bool, gather: Gather) -> None:
    """Print the answer as a table. Raises NoLogs, StoreError, duckdb.Error, OSError."""
    with gather(*period) as paths, events.table(existing(paths), *period) as database:
        if as_csv:
            write_csv(database.execute(sql))
        elif answer := database.sql(sql):
            with redirect_stdout(StringIO()) as shown:
                answer.show(max_rows=1_000, max_width=160)
            print("\n".join(map(printable, shown.getvalue().rstrip("\n").split("\n"))))


def write_csv(answer: duckdb.DuckDBPyConnection) -> None:
    """All rows, after the names of the columns."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([column[0] for column in answer.description or ()])
    while rows := answer.fetchmany(1_000):
        writer.writerows(rows)


def export(period: Span, folder: Path, gather: Gather) -> None:
    """Write Parquet files. Raises NoLogs, StoreError, duckdb.Error, OSError."""
    with gather(*period) as paths:
        count = events.export(existing(paths), *period, folder)
    print(f"{count:,} events in {folder}")


def existing(paths: Sequence[Path]) -> Sequence[Path]:
    """Raises NoLogs when there are none."""
    if not paths:
        raise NoLogs("no readable file was written after that time began")
    return paths


def chosen(options: argparse.Namespace) -> Span:
    """The period of --day, or of --since and --to. Raises SystemExit for contradictions."""
    asks = options.sql or options.export
    begun = options.since is not None or options.to is not None
    for is_wrong, sentence in (
        (options.sql and options.export, "--sql cannot be used with --export"),
        (options.csv and not options.sql, "--csv requires --sql"),
        (begun and not asks, "--since and --to require --sql or --export; the page takes --day"),
        (begun and options.day, "--day cannot be used with --since or --to"),
    ):
        if is_wrong:
            command_line.fail("report", sentence)
    if options.day:
        return span(options.day)
    start = -math.inf if options.since is None else options.since
    end = math.inf if options.to is None else options.to
    if start >= end:
        command_line.fail("report", "--to must be a time after --since")
    return start, end


def span(day: datetime.date) -> tuple[float, float]:
    """Its first moment and the next day's, local time, in Unix seconds."""
    midnight = datetime.datetime.combine(day, datetime.time()).astimezone()
    return midnight.timestamp(), (midnight + datetime.timedelta(days=1)).timestamp()


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.prog = "python -m logpipeline.report"
    parser.add_argument(
        "--day", type=date, metavar="YYYY-MM-DD", help="report this day, not the last 24 hours"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write the page to this file (report.html, or report-YYYY-MM-DD.html with --day)",
    )
    parser.add_argument(
        "--sql", metavar="QUERY", help="query the table `events`, and print the answer"
    )
    parser.add_argument("--csv", action="store_true", help="print the answer as CSV, all rows")
    parser.add_argument(
        "--export",
        type=Path,
        metavar="FOLDER",
        help="write the events as Parquet, by day of UTC, into a new folder",
    )
    parser.add_argument(
        "--since", type=time_of, metavar="TIME", help=f"events dated from then on: {A_TIME}"
    )
    parser.add_argument("--to", type=time_of, metavar="TIME", help="and before then")


def date(text: str) -> datetime.date:
    """Raises ArgumentTypeError."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a day such as 2026-11-23") from None


def time_of(text: str) -> float:
    """Raises ArgumentTypeError."""
    try:
        return moment(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: must be {A_TIME}") from None


if __name__ == "__main__":
    sys.exit(main())
