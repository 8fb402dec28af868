"""Packing: what it costs to pack and index a rotated file, and whether events wait for it."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import zstandard

from bench import archive, latency
from bench.contender import ROOT
from bench.stage import LOOK, PATIENCE, Stage
from logpipeline.archive.index import index_path
from logpipeline.archive.packing import pack, unpacked
from logpipeline.archive.rotated import STAMP, RotatedFile

EVENTS = 230_000  # of a file, about 50 MB
ROUNDS = 3
RATE = 1_000  # events/s
SECONDS = 24.0
EVERY = 6.0  # seconds between files that are rotated


def costs(folder: Path) -> str:
    """A sentence with the CPU time: in one frame, as it once was; in frames; with the index."""
    file = archive.plain(folder, 0, EVENTS)
    packed = file.packed(".zst")

    def one_frame() -> None:
        data = file.plain.read_bytes()
        packed.write_bytes(zstandard.ZstdCompressor(3, write_checksum=True).compress(data))
        with unpacked(packed) as back:
            assert hashlib.sha256(data).digest() == hashlib.sha256(back.read()).digest()

    def framed() -> None:
        pack(file.plain, packed, threading.Event())

    def indexed() -> None:
        framed()
        command = [sys.executable, "-P", "-m", "logpipeline.archive.indexing", str(file.plain)]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})

    once, frames, both = (
        median(cpu(job) for _ in range(ROUNDS)) for job in (one_frame, framed, indexed)
    )
    size, extra = packed.stat().st_size, index_path(file).stat().st_size
    megabytes = file.plain.stat().st_size / 1e6
    for path in file.plain, packed, index_path(file):
        path.unlink()
    return (
        f"packing a file of {megabytes:.0f} MB: {once:.2f} s of CPU in one frame, as it once was; "
        f"{frames / once:.2f} times that in frames, {both / once:.2f} times with the index, which "
        f"has {extra / size:.0%} of the packed file's size"
    )


def cpu(job: Callable[[], None]) -> float:
    """CPU seconds that it takes, those of its processes included."""

    def used() -> float:
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system

    begun = used()
    job()
    return used() - begun


def waits(stage: Stage) -> str:
    """A table of the time from an event to logs.txt: beside nothing, packing, and both."""
    folder = stage.folder / "rotated"
    folder.mkdir()
    made = archive.plain(folder, 0, EVENTS).plain
    rows = []
    for name, files, with_index in (
        ("nothing is rotated", 0, False),
        ("files are packed", int(SECONDS / EVERY), False),
        ("files are packed and indexed", int(SECONDS / EVERY), True),
    ):

        @contextmanager
        def beside(log_file: Path, files: int = files, index: bool = with_index) -> Iterator[None]:
            with _rotating(log_file, made, files, index):
                yield

        found = latency.measure(stage, RATE, SECONDS, beside)
        cells = " | ".join(f"{each * 1e3:.1f}" for each in found.archive)
        rows.append(f"| {name} | {files} | {cells} |")
    head = (
        "| meanwhile | files | p50, ms | p99, ms | p99.9, ms |\n| --- | ---: | ---: | ---: | ---: |"
    )
    return "\n".join([head, *rows])


@contextmanager
def _rotating(log_file: Path, made: Path, files: int, with_index: bool) -> Iterator[None]:
    """Put a copy of `made` beside the log file from time to time, as a rotated file. One that has
    an index, whatever is in it, is not indexed again."""
    done = threading.Event()

    def rotate() -> None:
        for number in range(files):
            if done.wait(EVERY):
                return
            stamp = (datetime(2026, 9, 21, tzinfo=UTC) + timedelta(hours=number)).strftime(STAMP)
            file = RotatedFile(stamp, log_file.with_name(f"{log_file.stem}-{stamp}.txt"))
            if not with_index:
                index_path(file).touch()
            os.link(made, file.plain)

    thread = threading.Thread(target=rotate)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        _check(log_file, files, with_index)


def _check(log_file: Path, files: int, with_index: bool) -> None:
    """Wait until the consumer has packed, and indexed, what it had to. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE
    while True:
        packed = len(list(log_file.parent.glob(f"{log_file.stem}-*.zst")))
        indexes = log_file.parent.glob(f"{log_file.stem}-*.index")
        indexed = sum(path.stat().st_size > 0 for path in indexes)
        if packed == files and indexed == files * with_index:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{packed} of {files} files were packed, {indexed} indexed")
        time.sleep(LOOK)
