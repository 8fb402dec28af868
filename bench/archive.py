"""Archive: packed and indexed files of made-up events, for the benchmark of searching."""

import json
import multiprocessing
import os
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path
from random import Random

from logpipeline.archive.indexing import index
from logpipeline.archive.packing import pack
from logpipeline.archive.rotated import STAMP, RotatedFile

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


def fill(folder: Path, size: int, files: int) -> float:
    """Make the files, by as many processes as there are cores. Returns the end of their time."""
    count = size // files // MEAN
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("fork")) as pool:
        made = pool.map(_fill_one, repeat(folder), range(files), repeat(count))
        for number, _ in enumerate(made, 1):
            print(f"\r{number} of {files} files made", end="", file=sys.stderr)
    print(file=sys.stderr)
    return START + files * count * EVERY


def plain(folder: Path, number: int, count: int) -> RotatedFile:
    """The rotated file of this number, with so many events, not packed yet."""
    dice, begin = Random(number), number * count
    stamp = datetime.fromtimestamp(START + (begin + count) * EVERY, UTC).strftime(STAMP)
    file = RotatedFile(stamp, folder / f"logs-{stamp}.txt")
    with file.plain.open("wb") as lines:
        lines.writelines(event(dice, each) + b"\n" for each in range(begin, begin + count))
    return file


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


def _fill_one(folder: Path, number: int, count: int) -> None:
    file = plain(folder, number, count)
    pack(file.plain, file.packed(".zst"), threading.Event())
    file.plain.unlink()
    index(file)
