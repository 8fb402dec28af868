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
    """The sum of their peaks of memory in MB; 0 when they have ended."""
    kilobytes = 0
    for each in _tree(pid):
        for line in _read(each, "status").splitlines():
            if line.startswith("VmHWM:"):
                kilobytes += int(line.split()[1])
    return kilobytes / 1024


def _tree(pid: int) -> list[int]:
    children = [int(child) for child in _read(pid, f"task/{pid}/children").split()]
    return [pid, *(each for child in children for each in _tree(child))]


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""
