"""Measure searching an archive: find.py against zstdcat and grep, and DuckDB.

    .venv/bin/python -m bench.search                     5 GB in 100 files: about 15 minutes
    .venv/bin/python -m bench.search 0.5 10 --rounds 3   0.5 GB in 10 files
    .venv/bin/python -m bench.search --write             … and into bench/RESULTS.md

All take turns on the same packed files, with as many processes as there are cores; figures are
medians. Then what packing costs with an index, and whether events wait for it: for this it starts
its own Kafka and Redis on free ports. 5 GB need 2 GB of disk.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import duckdb

from bench import archive, packing
from bench.contender import ROOT
from bench.stage import Stage
from logpipeline.archive.packing import unpacked
from logpipeline.find.query import Matcher, Query
from logpipeline.find.search import Search
from logpipeline.find.sources import SearchedFiles
from logpipeline.localstack.server import ServerError

RESULTS = ROOT / "bench" / "RESULTS.md"
HEAD = "## Searching the archive"
TEXT_OF_TABLE = """\
{gigabytes:g} GB of events in {files} packed files, one run, medians of {rounds} rounds, as many
processes as cores; CPU seconds are those of all processes, the start of Python included.

{table}

- the last ten minutes: {recent}
- the trace id: {trace}
- events by level and hour: find.py takes {times:.0f} times less than DuckDB over the packed JSON
- {packing}

From an event's timestamp to logs.txt on disk, at {rate:,} events/s for {seconds:.0f} s each:

{waits}
"""
COUNT = """
SELECT date_trunc('hour', to_timestamp(timestamp)) AS hour, level, count(*)
FROM read_json('{folder}/*.zst', format = 'newline_delimited',
    columns = {{level: 'VARCHAR', timestamp: 'DOUBLE'}})
GROUP BY ALL
"""
DUCK, COUNTED = "DuckDB, events by level and hour", "find.py --count"
TEN_MINUTES = 600


class Used(NamedTuple):
    """Seconds."""

    wall: float
    cpu: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.search")
    parser.add_argument("gigabytes", nargs="?", type=float, default=5.0)
    parser.add_argument("files", nargs="?", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write it to bench/RESULTS.md")
    options = parser.parse_args()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            Stage(Path(folder)).running() as stage,
        ):
            section = measure(stage, options.gigabytes, options.files, options.rounds)
    except (ServerError, OSError) as error:
        print(f"bench.search: {error}", file=sys.stderr)
        return 1
    print(section)
    if options.write:
        write(section)
    return 0


def write(section: str) -> None:
    """Put it at the end of RESULTS.md, in the place of an earlier one."""
    others = RESULTS.read_text().partition(HEAD)[0].rstrip()
    RESULTS.write_text(f"{others}\n\n{HEAD}\n\n{section}")


def written() -> str:
    """The section of an earlier run; "" for none."""
    return RESULTS.read_text().partition(HEAD)[2].lstrip()


def measure(stage: Stage, gigabytes: float = 5.0, files: int = 100, rounds: int = 5) -> str:
    """The section of RESULTS.md, without its heading."""
    waits = packing.waits(stage)
    with tempfile.TemporaryDirectory(prefix="bench-search-") as name:
        folder = Path(name)
        costs = packing.costs(folder)
        end = archive.fill(folder, int(gigabytes * 1e9), files)
        trace = trace_id(sorted(folder.glob("*.zst"))[files // 3])
        find(folder, trace)  # compiles
        medians = race(jobs(folder, trace, end - TEN_MINUTES), rounds)
        return TEXT_OF_TABLE.format(
            gigabytes=gigabytes,
            files=files,
            rounds=rounds,
            table=rows(medians),
            recent=opened(folder, Query(since=end - TEN_MINUTES)),
            trace=opened(folder, Query(words=(trace,))),
            times=medians[DUCK].wall / medians[COUNTED].wall,
            packing=costs,
            rate=packing.RATE,
            seconds=packing.SECONDS,
            waits=waits,
        )


def jobs(folder: Path, trace: str, since: float) -> dict[str, Callable[[], None]]:
    word = archive.WORD
    return {
        f"zstdcat, grep -c {word}": lambda: grep(folder),
        f"find.py {word}": lambda: find(folder, word),
        f"find.py {word.lower()}, in any case": lambda: find(folder, word.lower()),
        "find.py, a trace id as a word": lambda: find(folder, trace),
        "find.py --where trace_id=…": lambda: find(folder, "--where", f"trace_id={trace}"),
        "find.py, the last ten minutes": lambda: find(folder, "--since", str(since)),
        DUCK: lambda: duck(folder),
        COUNTED: lambda: find(folder, "--count"),
    }


def trace_id(path: Path) -> str:
    """That of an event in the file."""
    with unpacked(path) as lines:
        return str(json.loads(lines.read().splitlines()[archive.MEAN])["trace_id"])


def grep(folder: Path) -> None:
    word = archive.WORD
    line = f"ls {folder}/*.zst | xargs -P {os.cpu_count()} -I@ sh -c 'zstdcat @ | grep -c {word}'"
    subprocess.run(["sh", "-c", line], stdout=subprocess.DEVNULL, check=False)


def find(folder: Path, *args: str) -> None:
    """With compiled modules, as after its first start."""
    environment = os.environ | {"PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, str(ROOT / "find.py"), "--log-file", str(folder / "logs.txt"), *args]
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)


def duck(folder: Path) -> None:
    """What somebody would write who knows DuckDB: it reads the two fields alone."""
    with duckdb.connect() as database:
        database.sql(COUNT.format(folder=folder)).fetchall()


def opened(folder: Path, query: Query) -> str:
    sources = SearchedFiles(folder / "logs.txt")
    with Search(sources, Matcher(query), processes=1) as search:
        events = sum(len(found.lines) for found in search.results())
    sources.close()
    return f"{len(search.opened)} of {len(search.sources)} files opened, {events:,} events"


def race(jobs: dict[str, Callable[[], None]], rounds: int) -> dict[str, Used]:
    """The medians of each."""
    runs: dict[str, list[Used]] = {name: [] for name in jobs}
    for number in range(rounds):
        for name, job in jobs.items():
            print(f"{number + 1}/{rounds} {name}", file=sys.stderr, flush=True)
            begun = time.monotonic()
            used = packing.cpu(job)
            runs[name].append(Used(time.monotonic() - begun, used))
    return {name: Used(*map(median, zip(*each, strict=True))) for name, each in runs.items()}


def rows(medians: dict[str, Used]) -> str:
    """A table; the first one is what the others are compared with."""
    first = next(iter(medians.values()))
    head = "| search | seconds | to grep | CPU s | to grep |\n| --- | ---: | ---: | ---: | ---: |"
    lines = [
        f"| {name} | {used.wall:.2f} | {used.wall / first.wall:.2f} "
        f"| {used.cpu:.2f} | {used.cpu / first.cpu:.2f} |"
        for name, used in medians.items()
    ]
    return "\n".join([head, *lines])


if __name__ == "__main__":
    sys.exit(main())
