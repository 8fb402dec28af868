"""Watch: the CPU time and the memory that an input takes, of this process or of another one."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from tests.fuzz.target import MIB, Aim, Broken, Target

TICKS = os.sysconf("SC_CLK_TCK")
KIB = 1_024
SIGNALS = {signal.ITIMER_REAL: signal.SIGALRM, signal.ITIMER_PROF: signal.SIGPROF}
HANGS = 20.0  # seconds of this process's CPU time after which an input is given up
AGAIN = 2  # tries that an input has to be quicker: others use this machine, too


class Cost(NamedTuple):
    """CPU time in seconds, the growth of the resident memory at its peak, and that peak."""

    seconds: float
    bytes: int
    whole: int


def cost(work: Callable[[], object], pid: int | None = None) -> Cost:
    """Run `work`, and say what it took of the process `pid`, None for this one. What it returns is
    called, if it can be, and takes nothing."""
    before, seconds = _memory(pid, "VmRSS"), _seconds(pid)
    _forget_peak(pid)
    slow = Broken(f"slow: given up after {HANGS:.0f} s of CPU time")
    with raising_after(HANGS, signal.ITIMER_PROF, slow):
        compare = work()
    peak = _memory(pid, "VmHWM")
    spent = Cost(_seconds(pid) - seconds, max(0, peak - before), peak)
    if callable(compare):
        compare()
    return spent


def judged(target: Target, aim: Aim, given: Any) -> Cost:
    """What an input takes, within the target's bounds. Raises Broken when it takes more, and what
    the target raises."""
    spent = _once(aim, given)
    for _ in range(AGAIN):
        if spent.seconds > target.seconds:
            spent = spent._replace(seconds=min(spent.seconds, _once(aim, given).seconds))
    if spent.seconds > target.seconds:
        raise Broken(f"slow: {spent.seconds:.2f} s of CPU time, {target.seconds:g} is the bound")
    if spent.bytes > target.bytes:
        raise Broken(f"large: {_mib(spent.bytes)} more memory, {_mib(target.bytes)} is the bound")
    if target.whole and spent.whole > target.whole:
        raise Broken(f"large: {_mib(spent.whole)} of memory, {_mib(target.whole)} is the bound")
    return spent


def peak(pid: int) -> int:
    """Bytes of the most memory that a process has had at once, since its start or `cost`."""
    return _memory(pid, "VmHWM")


def _once(aim: Aim, given: Any) -> Cost:
    prepared = aim.prepare(given)
    return cost(lambda: aim.check(prepared), aim.pid)


def _mib(size: int) -> str:
    return f"{size / MIB:,.0f} MiB"


def _seconds(pid: int | None) -> float:
    if pid is None:
        return time.process_time()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _memory(pid: int | None, name: str) -> int:
    lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
    return next(int(line.split()[1]) * KIB for line in lines if line.startswith(name + ":"))


def _forget_peak(pid: int | None) -> None:
    Path(f"/proc/{pid or 'self'}/clear_refs").write_text("5")  # proc_pid_clear_refs(5): VmHWM


@contextmanager
def raising_after(seconds: float, timer: int, error: BaseException) -> Iterator[None]:
    """Raise `error` in the block, even in the middle of a regular expression, once so many seconds
    have passed of ITIMER_REAL, or of this process's CPU time, ITIMER_PROF."""

    def end(number: int, frame: FrameType | None) -> None:
        raise error

    number = SIGNALS[timer]
    before = signal.signal(number, end)
    signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        signal.setitimer(timer, 0)
        signal.signal(number, before)
