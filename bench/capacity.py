"""Print the partitions, consumers and servers that a load needs, as a table in Markdown.

    .venv/bin/python -m bench.capacity
    .venv/bin/python -m bench.capacity 5000 250000

It uses the measurements of `make bench` (RESULTS.md) and `bench.limits` (limits.json), with every
part at half of its limit, so that an hour's backlog is read in an hour. Loads beyond one machine of
two cores are calculated, not measured.
"""

import argparse
import json
import re
from dataclasses import dataclass
from math import ceil
from pathlib import Path

HERE = Path(__file__).resolve().parent
RATES = (1_000, 10_000, 100_000, 1_000_000)  # events/s
HEADROOM = 2
REPLICAS = 3
PER_CONSUMER = 4  # partitions: they divide evenly, and four times as many consumers can share them
FEWEST_PARTITIONS = 6  # two a broker
DAY = 86_400  # seconds
SCRIPTS = 20  # most calls of Redis a second by a consumer: recent.PACE


@dataclass(frozen=True)
class Measured:
    """Rates in events/s, CPU in microseconds an event, sizes in bytes an event."""

    consumer: float
    crowd: float  # the best of several consumers that share one logs.txt
    outbox: float
    broker_write: float
    broker_read: float
    script: float  # milliseconds of Redis
    in_file: float
    in_kafka: float
    packed: float

    @classmethod
    def read(cls, results: Path, limits: Path) -> "Measured":
        """Raises OSError, KeyError or ValueError for files in another format."""
        text, known = results.read_text("utf-8"), json.loads(limits.read_text("utf-8"))
        several = re.findall(r"^\| \d \| ([\d,]+) \|", text, re.MULTILINE)
        return cls(
            consumer=_rate(text, "consumer.py"),
            crowd=max(map(_number, several)),
            outbox=_rate(text, "producer.py's outbox"),
            broker_write=known["broker CPU, written"],
            broker_read=known["broker CPU, read"],
            script=known["Redis script ms"],
            in_file=known["bytes in logs.txt"],
            in_kafka=known["bytes in Kafka"],
            packed=known["bytes packed"],
        )


@dataclass(frozen=True)
class Plan:
    """The needs of `rate` events/s. Shares are of one core, sizes in GB a day, network in MB/s."""

    rate: int
    producers: int
    partitions: int
    consumers: int
    files: int
    broker_cores: float
    broker_network: float
    redis: float
    logs_txt: float
    packed: float
    kafka: float

    @classmethod
    def of(cls, rate: int, measured: Measured) -> "Plan":
        """The brokers' CPU covers one write by a leader, two by followers, and three reads."""
        busy = rate * HEADROOM
        consumers = ceil(busy / measured.consumer)
        cpu = REPLICAS * (measured.broker_write + measured.broker_read) / 1e6
        through = rate * measured.in_kafka * REPLICAS / 1e6  # in, and the same out
        return cls(
            rate=rate,
            producers=ceil(busy / measured.outbox),
            partitions=max(FEWEST_PARTITIONS, PER_CONSUMER * consumers),
            consumers=consumers,
            files=ceil(busy / measured.crowd),
            broker_cores=busy * cpu / REPLICAS,
            broker_network=through / REPLICAS,
            redis=consumers * SCRIPTS * measured.script / 1e3,
            logs_txt=rate * measured.in_file * DAY / 1e9,
            packed=rate * measured.packed * DAY / 1e9,
            kafka=rate * measured.in_kafka * REPLICAS * DAY / 1e9,
        )


ROWS = (
    ("events/s", "{0.rate:,}"),
    ("producer.py, or its handler in a program", "{0.producers:,}"),
    ("partitions", "{0.partitions:,}"),
    ("consumers", "{0.consumers:,}"),
    ("logs.txt: hosts, or pods", "{0.files:,}"),
    ("cores of each of three brokers", "{0.broker_cores:.1f}"),
    ("network of each broker, in and as much out, MB/s", "{0.broker_network:,.1f}"),
    ("of Redis' one core, at the most", "{0.redis:.0%}"),
    ("logs.txt, GB a day", "{0.logs_txt:,.0f}"),
    ("the same packed, GB a day", "{0.packed:,.0f}"),
    ("all brokers' disks, GB a day", "{0.kafka:,.0f}"),
)


def table(plans: list[Plan]) -> str:
    head, *rows = ([name, *(form.format(plan) for plan in plans)] for name, form in ROWS)
    lines = [head, ["---", *("---:" for _ in plans)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.capacity", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("rates", nargs="*", type=int, default=RATES, help="events a second")
    measured = Measured.read(HERE / "RESULTS.md", HERE / "limits.json")
    print(table([Plan.of(rate, measured) for rate in parser.parse_args().rates]))


def _rate(text: str, name: str) -> float:
    """The median rate in the row `name`. Raises ValueError."""
    found = re.search(rf"^\| {re.escape(name)} \| ([\d,]+) \|", text, re.MULTILINE)
    if not found:
        raise ValueError(f"RESULTS.md has no row {name!r}")
    return _number(found[1])


def _number(text: str) -> float:
    return float(text.replace(",", ""))


if __name__ == "__main__":
    main()
