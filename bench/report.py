"""Report: the measurements as Markdown."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from bench.contender import Result
from bench.latency import Latency
from bench.rivals import BARE, OURS, RSYSLOG, TUTORIAL
from logpipeline.localstack.jars import KAFKA_VERSION
from logpipeline.localstack.redis import binary

Results = Mapping[str, Sequence[Result]]
PACKAGES = (
    "kafka-python",
    "aiokafka",
    "crc32c",
    "lz4",
    "redis",
    "hiredis",
    "msgspec",
    "confluent-kafka",
)


def middle(results: Sequence[Result]) -> Result:
    """The medians of repeated runs, of each figure separately."""
    return Result(
        median(result.rate for result in results),
        median(result.cpu for result in results),
        median(result.memory for result in results),
    )


def ratios(results: Results) -> str:
    """consumer.py's medians as multiples of the others', as list items."""
    medians = {name: middle(runs) for name, runs in results.items() if runs}
    ours = medians[OURS]
    lines = [
        f"- {ours.rate / medians[name].rate:.2f} times the rate of {name}"
        for name in (TUTORIAL, BARE, RSYSLOG)
        if name in medians
    ]
    if RSYSLOG in medians:
        lines.append(
            f"- {ours.cpu / medians[RSYSLOG].cpu:.2f} times the CPU time of rsyslog per event"
        )
    return "\n".join(lines)


def results_table(results: Results, first: str) -> str:
    """The medians of a race, and the range of the rates."""
    rows = [f"| {first} | events/s | lowest to highest | CPU s per million | peak memory |"]
    rows.append("| --- | ---: | ---: | ---: | ---: |")
    for name, runs in results.items():
        if not runs:
            rows.append(f"| {name} | not installed | | | |")
            continue
        mid, rates = middle(runs), [run.rate for run in runs]
        spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
        rows.append(
            f"| {name} | {mid.rate:,.0f} | {spread} | {mid.cpu:.2f} | {mid.memory:.0f} MB |"
        )
    return "\n".join(rows)


def latency_table(latencies: Sequence[Latency]) -> str:
    rows = ["| events/s | sent at | to logs.txt, on disk: p50 / p99 / p99.9 | to Redis |"]
    rows.append("| ---: | ---: | ---: | ---: |")
    for one in latencies:
        waits = [
            " / ".join(f"{wait * 1000:.0f}" for wait in waits) + " ms"
            for waits in (one.archive, one.recent)
        ]
        rows.append(f"| {one.wanted:,} | {one.rate:,.0f} | {waits[0]} | {waits[1]} |")
    return "\n".join(rows)


def machine() -> str:
    """The machine and the versions, as list items."""
    cpu = next(
        (
            line.partition(": ")[2]
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    programs = ", ".join(filter(None, map(_program, ("rsyslogd -v", "kcat -V"))))
    load = os.getloadavg()[0]
    return (
        f"- {len(os.sched_getaffinity(0))} cores of {cpu}, Linux {platform.release()}, "
        f"load before the run {load:.1f}\n"
        f"- Python {platform.python_version()}, {packages}\n"
        f"- Apache Kafka {KAFKA_VERSION}, Redis {binary()[1]}, {programs or 'no rsyslog, no kcat'}"
    )


def _program(command: str) -> str:
    program, flag = command.split()
    if not shutil.which(program):
        return ""
    done = subprocess.run([program, flag], capture_output=True, text=True)
    found = re.search(r"\d+\.\d+\S*", done.stdout)
    return f"{program} {found[0] if found else 'of an unknown version'}"
