"""Measure searching an archive: find.py against zstdcat and grep, and DuckDB.

    .venv/bin/python -m bench.search                5 GB in 100 files: about half an hour
    .venv/bin/python -m bench.search 0.5 10 3       0.5 GB in 10 files, three rounds
    .venv/bin/python -m bench.search --write        … and into bench/RESULTS.md

All take turns on the same packed files, with as many processes as there are cores; figures are
medians. It prints a table, and what packing costs with and without indexes.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path
from random import Random
from statistics import median

import zstandard

from logpipeline.archive.indexing import index
from logpipeline.archive.packing import pack, unpacked
from logpipeline.archive.rotated import STAMP, RotatedFile
from logpipeline.find.query import Matcher, Query
from logpipeline.find.search import Search
from logpipeline.find.sources import SearchedFiles
from logpipeline.report.events import table

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "RESULTS.md"
HEAD = "## Searching the archive"
TEXT_OF_TABLE = """\
{gigabytes:g} GB of events in {files} packed files, one run, medians of {rounds} rounds, as many
processes as cores; CPU seconds are those of all processes, the start of Python included.

{table}

- the last ten minutes: {recent}
- the trace id: {trace}
- {packing}
"""
MEAN = 226  # bytes of an event with its newline
START = 1_790_000_000.0
EVERY = 0.03  # seconds between events
WORD = "Chargeback"  # each thousandth event has it
TEXT = (
    "payment failed order placed user login timeout connecting database cache miss retry upstream "
    "returned request completed slow query stock reserved invoice created email sent queue "
    "consumer lagging connection reset by peer certificate expired session opened closed"
)
WORDS = TEXT.split()
SERVICES = ("payments", "shop", "auth", "search", "mail", "stock", "gateway", "billing")
LEVELS = ("DEBUG",) * 3 + ("INFO",) * 12 + ("WARNING",) * 2 + ("ERROR",)
COUNT = "SELECT date_trunc('hour', time) AS hour, level, count(*) FROM events GROUP BY ALL"


def event(dice: Random, number: int) -> bytes:
    words = dice.choices(WORDS, k=5)
    if number % 1_000 == 7:
        words.append(WORD)
    fields = {
        "level": dice.choice(LEVELS),
        "message": f"{' '.join(words)} {dice.randrange(100_000)}",
        "timestamp": round(START + number * EVERY, 3),
        "service": dice.choice(SERVICES),
        "host": f"web-{dice.randrange(20)}",
        "trace_id": f"{dice.getrandbits(128):032x}",
        "status": dice.choice((200, 200, 200, 404, 500)),
        "duration_ms": round(dice.random() * 900, 1),
    }
    return json.dumps(fields).encode()


def fill(folder: Path, size: int, files: int) -> None:
    """Make the packed and indexed files, by as many processes as there are cores."""
    count = size // files // MEAN
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("fork")) as pool:
        made = pool.map(_fill_one, repeat(folder), range(files), repeat(count))
        for number, _ in enumerate(made, 1):
            print(f"\r{number} of {files} files", end="", file=sys.stderr)
    print(file=sys.stderr)


def _fill_one(folder: Path, number: int, count: int) -> None:
    file = plain(folder, number, count)
    pack(file.plain, file.packed(".zst"), threading.Event())
    file.plain.unlink()
    index(file)


def plain(folder: Path, number: int, count: int) -> RotatedFile:
    """The rotated file of this number, with so many events, not packed."""
    dice = Random(number)
    begin = number * count
    stamp = datetime.fromtimestamp(START + (begin + count) * EVERY, UTC).strftime(STAMP)
    file = RotatedFile(stamp, folder / f"logs-{stamp}.txt")
    with file.plain.open("wb") as lines:
        lines.writelines(event(dice, each) + b"\n" for each in range(begin, begin + count))
    return file


def packing(file: RotatedFile) -> str:
    """What packing costs: as before, in one frame; in frames; with the index in a process."""

    def before() -> None:
        data = file.plain.read_bytes()
        file.packed(".zst").write_bytes(
            zstandard.ZstdCompressor(3, write_checksum=True).compress(data)
        )
        hashlib.sha256(data).digest()
        with unpacked(file.packed(".zst")) as back:
            hashlib.sha256(back.read()).digest()

    def indexed() -> None:
        pack(file.plain, file.packed(".zst"), threading.Event())
        command = [sys.executable, "-m", "logpipeline.archive.indexing", str(file.plain)]
        subprocess.run(command, check=True, cwd=ROOT)

    def framed() -> None:
        pack(file.plain, file.packed(".zst"), threading.Event())

    first, second, third = (median(cpu(job) for _ in range(3)) for job in (before, framed, indexed))
    size = file.packed(".zst").stat().st_size
    extra = file.plain.with_name(f"{file.plain.name}.index").stat().st_size
    return (
        f"packing a file, CPU: one frame {first:.2f} s; frames {second / first:.2f} times that; "
        f"frames and index {third / first:.2f} times; the index has {extra / size:.0%} of its size"
    )


def cpu(job: Callable[[], None]) -> float:
    def used() -> float:
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system

    begun = used()
    job()
    return used() - begun


def grep(folder: Path, word: str) -> None:
    line = f"ls {folder}/*.zst | xargs -P {os.cpu_count()} -I@ sh -c 'zstdcat @ | grep -c {word}'"
    subprocess.run(["sh", "-c", line], stdout=subprocess.DEVNULL, check=False)


def find(folder: Path, *args: str) -> None:
    command = [sys.executable, str(ROOT / "find.py"), "--log-file", str(folder / "logs.txt"), *args]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def duck(folder: Path) -> None:
    with table(sorted(folder.glob("*.zst"))) as database:
        database.sql(COUNT).fetchall()


def opened(folder: Path, query: Query) -> str:
    sources = SearchedFiles(folder / "logs.txt")
    with Search(sources, Matcher(query), processes=1) as search:
        events = sum(len(found.lines) for found in search.results())
    sources.close()
    return f"{len(search.opened)} of {len(search.sources)} files opened, {events:,} events"


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.search")
    parser.add_argument("gigabytes", nargs="?", type=float, default=5.0)
    parser.add_argument("files", nargs="?", type=int, default=100)
    parser.add_argument("rounds", nargs="?", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write it to bench/RESULTS.md")
    options = parser.parse_args()
    section = measure(options.gigabytes, options.files, options.rounds)
    print(section)
    if options.write:
        write(section)


def write(section: str) -> None:
    """Put it at the end of RESULTS.md, in the place of an earlier one."""
    others = RESULTS.read_text().partition(HEAD)[0].rstrip()
    RESULTS.write_text(f"{others}\n\n{HEAD}\n\n{section}")


def written() -> str:
    """The section of an earlier run; "" for none."""
    return RESULTS.read_text().partition(HEAD)[2].lstrip()


def measure(gigabytes: float = 5.0, files: int = 100, rounds: int = 5) -> str:
    """The section of RESULTS.md, without its heading."""
    with tempfile.TemporaryDirectory(prefix="bench-search-") as name:
        folder = Path(name)
        trace, end, costs = fill(folder, int(gigabytes * 1e9), files)
        since = str(end - 600)
        jobs: dict[str, Callable[[], None]] = {
            f"zstdcat, grep -c {WORD}": lambda: grep(folder, WORD),
            f"find.py {WORD}": lambda: find(folder, WORD),
            f"find.py {WORD.lower()}, in any case": lambda: find(folder, WORD.lower()),
            "find.py, a trace id as a word": lambda: find(folder, trace),
            "find.py --where trace_id=…": lambda: find(folder, "--where", f"trace_id={trace}"),
            "find.py, the last ten minutes": lambda: find(folder, "--since", since),
            "DuckDB, events by level and hour": lambda: duck(folder),
            "find.py --count": lambda: find(folder, "--count"),
        }
        return TEXT_OF_TABLE.format(
            gigabytes=gigabytes,
            files=files,
            rounds=rounds,
            table=race(jobs, rounds),
            recent=opened(folder, Query(since=end - 600)),
            trace=opened(folder, Query(words=(trace,))),
            packing=costs,
        )


def race(jobs: dict[str, Callable[[], None]], rounds: int) -> str:
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            begun = time.monotonic()
            used = cpu(job)
            runs[name].append((time.monotonic() - begun, used))
    medians = {
        name: [median(each) for each in zip(*times, strict=True)] for name, times in runs.items()
    }
    wall, used = next(iter(medians.values()))
    rows = [
        f"| {name} | {took:.2f} | {took / wall:.2f} | {burnt:.2f} | {burnt / used:.2f} |"
        for name, (took, burnt) in medians.items()
    ]
    head = "| search | seconds | to grep | CPU s | to grep |\n| --- | ---: | ---: | ---: | ---: |\n"
    return head + "\n".join(rows)


if __name__ == "__main__":
    main()
