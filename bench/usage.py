"""Usage: the CPU time and memory of a process and its children (proc_pid_stat(5))."""

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """The user and system time of the process and its children, running or ended."""
    seconds = 0.0
    for each in _tree(pid):
        fields = _read(each, "stat").rpartition(")")[2].split()
        if fields:
            times = fields[11:15] if each == pid else fields[11:13]
            seconds += sum(map(int, times)) / TICKS
    return seconds


def peak_megabytes(pid: int) -> float:
    """The peak of its memory so far, and what its children have now that they do not share, in MB;
    0 when it has ended."""
    _, *children = _tree(pid)
    kilobytes = _kilobytes(pid, "status", "VmHWM:")
    return (
        kilobytes + sum(_kilobytes(each, "smaps_rollup", "Private_") for each in children)
    ) / 1024


def _kilobytes(pid: int, file: str, name: str) -> int:
    """The sum of the lines that begin with `name`."""
    lines = _read(pid, file).splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(name))


def _tree(pid: int) -> list[int]:
    children = [int(child) for child in _read(pid, f"task/{pid}/children").split()]
    return [pid, *(each for child in children for each in _tree(child))]


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""
