"""Measure the limits of each part, for bench/capacity.py: broker, Redis, disk, one logs.txt.

    .venv/bin/python -m bench.limits           a million events, three rounds: about two minutes

Only the rates of several writers on one logs.txt depend on the machine's number of cores.
"""

import argparse
import json
import logging
import multiprocessing
import os
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median

import zstandard
from redis import Redis

from bench import rivals
from bench.contender import Filled, race
from bench.stage import Stage, events
from bench.usage import cpu_seconds
from logpipeline.archive.archive import Archive
from logpipeline.consumer.subscription import MOST_RECORDS
from logpipeline.events import slices
from logpipeline.events.columns import Columns
from logpipeline.events.event import Value

EVENTS = 1_000_000
SHARED = 2_000_000  # events that the writers of one logs.txt append together
ZSTD_LEVEL = 3


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.limits")
    parser.add_argument("events", nargs="?", type=int, default=EVENTS)
    parser.add_argument("rounds", nargs="?", type=int, default=3)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        found = [
            once(Path(folder) / str(number), options.events) for number in range(options.rounds)
        ]
    print(json.dumps({name: median(one[name] for one in found) for name in found[0]}, indent=2))


def once(folder: Path, count: int) -> dict[str, float]:
    """All figures: CPU in microseconds an event, sizes in bytes an event, rates a second."""
    folder.mkdir()
    figures = of_servers(folder, count)
    for writers in (1, 2, 3):
        figures[f"events/s of {writers} writers on one logs.txt"] = shared(folder, writers)
    figures["events/s of the disk"] = disk(folder)
    print(figures, file=sys.stderr)
    return figures


def of_servers(folder: Path, count: int) -> dict[str, float]:
    """The load of consumer.py at full speed on the broker, Redis and the disk."""
    with Stage(folder).running() as stage, Redis.from_url(stage.redis.url) as redis:
        broker, store = stage.kafka.process, stage.redis.process
        assert broker
        assert store
        stage.filled(4, count)  # warms up Java
        topic = stage.topic(4)
        begun = cpu_seconds(broker.pid)
        filled = Filled(topic, count, stage.fill(topic, count))
        written = cpu_seconds(broker.pid) - begun
        segments = stage.kafka.folder.rglob(f"{topic}-*/*.log")
        in_kafka = sum(segment.stat().st_size for segment in segments)
        redis.config_resetstat()
        read, stored = -cpu_seconds(broker.pid), -cpu_seconds(store.pid)
        result = race(rivals.consumer(stage, filled), filled)
        read, stored = read + cpu_seconds(broker.pid), stored + cpu_seconds(store.pid)
        stats: dict[str, dict[str, float]] = redis.info("commandstats")
        calls = stats["cmdstat_evalsha"]
    lines = b"".join(value + b"\n" for _, value in events())
    begun = time.process_time()
    packed = len(zstandard.ZstdCompressor(ZSTD_LEVEL).compress(lines))
    packing = time.process_time() - begun
    return {
        "consumer events/s": result.rate,
        "consumer CPU": result.cpu,
        "broker CPU, written": written / count * 1e6,
        "broker CPU, read": read / count * 1e6,
        "Redis busy": stored * result.rate / count,
        "Redis script ms": calls["usec_per_call"] / 1e3,
        "Redis script calls/s": calls["calls"] * result.rate / count,
        "bytes in logs.txt": filled.size / count,
        "bytes in Kafka": in_kafka / count,
        "bytes packed": packed / len(events()),
        "packing CPU": packing / len(events()) * 1e6,
    }


def shared(folder: Path, writers: int) -> float:
    """The events/s that `writers` processes append to one logs.txt, in full batches."""
    log = folder / f"shared-{writers}.txt"
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(writers + 1)
    each = SHARED // writers // MOST_RECORDS
    processes = [context.Process(target=write, args=(log, n, each, start)) for n in range(writers)]
    for process in processes:
        process.start()
    start.wait()
    begun = time.monotonic()
    for process in processes:
        process.join()
    took = time.monotonic() - begun
    log.unlink()
    return writers * each * MOST_RECORDS / took


def write(log: Path, partition: int, batches: int, start: Barrier) -> None:
    """Append full batches, as the consumer of `partition` does."""
    values: list[Value] = [*(value for _, value in events()[:MOST_RECORDS])]
    read = slices.read(
        partition, 0, [Columns([*range(MOST_RECORDS)], [None] * MOST_RECORDS, values)]
    )
    with closing(Archive(log, "bench")) as archive:
        archive.open("id")
        archive.begin(partition, 0)
        start.wait()
        for number in range(batches):
            begin = number * MOST_RECORDS
            end = begin + MOST_RECORDS
            offsets = [*range(begin, end)]
            part = replace(read, start=begin, end=end, offsets=offsets)
            archive.append([part])


def disk(folder: Path) -> float:
    """The events/s when the same bytes are only written and synced."""
    lines = b"".join(value + b"\n" for _, value in events()[:MOST_RECORDS])
    with (folder / "disk").open("wb", buffering=0) as file:
        begun = time.monotonic()
        for _ in range(SHARED // MOST_RECORDS):
            file.write(lines)
            os.fdatasync(file.fileno())
        return SHARED / (time.monotonic() - begun)


if __name__ == "__main__":
    main()
