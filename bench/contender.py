"""Contender: a program that reads a topic, and its speed."""

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.usage import cpu_seconds, peak_megabytes
from logpipeline.localstack.child import spawn

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 300.0  # seconds
LOOK = 0.002  # seconds between checks of a file or a process
LOOK_AT_MEMORY = 0.1  # seconds: it takes longer


class ContenderError(Exception):
    """A contender failed."""


@dataclass(frozen=True)
class Filled:
    """A topic with `count` events, which are `size` bytes in logs.txt."""

    topic: str
    count: int
    size: int


@dataclass(frozen=True)
class Result:
    """`cpu` is in seconds for a million events, `memory` in MB."""

    rate: float
    cpu: float
    memory: float


@dataclass(frozen=True)
class Contender:
    """`command` writes each event to `log`, or sends it to a topic in which so many have `arrived`,
    or prints a number at the first and at the last one, or ends after the last one. With a `log` it
    must also be `finished`. `share` is the part of the events that it has to read or send."""

    name: str
    command: list[str]
    environment: dict[str, str] | None = None
    log: Path | None = None
    finished: Callable[[], bool] = lambda: True
    prints: bool = False
    share: float = 1.0
    arrived: Callable[[], int] | None = None


def race(contender: Contender, filled: Filled) -> Result:
    """Let it read the topic, and measure from the first event seen to the last.

    Raises ContenderError.
    """
    process = spawn(
        contender.command,
        env=contender.environment,
        cwd=ROOT,
        stdout=subprocess.PIPE if contender.prints else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        if contender.log:
            return _by_file(contender, contender.log, process, filled)
        count = int(filled.count * contender.share)
        if contender.arrived:
            return _by_topic(contender, contender.arrived, process, count)
        return _by_output(process, count) if contender.prints else _by_end(process, filled)
    finally:
        process.kill()
        process.communicate()
        if contender.log:
            contender.log.unlink(missing_ok=True)


def _by_file(
    contender: Contender, log: Path, process: subprocess.Popen[bytes], filled: Filled
) -> Result:
    deadline = time.monotonic() + PATIENCE
    wanted = int(filled.size * contender.share)
    first, began, busy = 0, 0.0, 0.0
    while (written := size(log)) < wanted or not contender.finished():
        if written and not first:
            first, began, busy = written, time.monotonic(), cpu_seconds(process.pid)
        if process.poll() is not None or time.monotonic() > deadline:
            raise ContenderError(f"{contender.name} wrote {written} of {wanted} bytes")
        time.sleep(LOOK)
    return _result(process, filled.count * (written - first) / filled.size, began, busy)


def size(log: Path) -> int:
    """The size in bytes, 0 while the file does not exist."""
    return log.stat().st_size if log.exists() else 0


def _by_topic(
    contender: Contender, arrived: Callable[[], int], process: subprocess.Popen[bytes], count: int
) -> Result:
    deadline = time.monotonic() + PATIENCE
    first, began, busy, memory, due = 0, 0.0, 0.0, 0.0, 0.0
    while (there := arrived()) < count:
        if there and not first:
            first, began, busy = there, time.monotonic(), cpu_seconds(process.pid)
        if time.monotonic() > due:
            memory = max(memory, peak_megabytes(process.pid))
            due = time.monotonic() + LOOK_AT_MEMORY
        if time.monotonic() > deadline:
            raise ContenderError(f"{contender.name} sent {there} of {count} events")
        time.sleep(LOOK)
    if not first:
        raise ContenderError(f"{count} events are too few for {contender.name}")
    return replace(_result(process, count - first, began, busy), memory=memory)


def _by_output(process: subprocess.Popen[bytes], count: int) -> Result:
    assert process.stdout
    first = int(process.stdout.readline())
    began, busy = time.monotonic(), cpu_seconds(process.pid)
    last = int(process.stdout.readline())
    if last != count:
        raise ContenderError(f"{last} of {count} events were read")
    return _result(process, last - first, began, busy)


def _by_end(process: subprocess.Popen[bytes], filled: Filled) -> Result:
    began, memory = time.monotonic(), 0.0
    while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        memory = peak_megabytes(process.pid) or memory
        time.sleep(LOOK)
    return replace(_result(process, filled.count, began, 0.0), memory=memory)


def _result(process: subprocess.Popen[bytes], events: float, began: float, busy: float) -> Result:
    took = time.monotonic() - began
    busy = cpu_seconds(process.pid) - busy
    return Result(events / took, busy / events * 1e6, peak_megabytes(process.pid))
