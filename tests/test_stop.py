"""Signals: what ends a script, and what does not."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator

import pytest

from tests.support.process import ROOT

PROGRAM = """
import logging
from logpipeline.shutdown import Shutdown
logging.basicConfig(format="%(message)s", level=logging.INFO)
stop = Shutdown().on_signals()
print("ready", flush=True)
while not stop.wait(0.05):
    pass
print("stopped in order", flush=True)
"""

Child = subprocess.Popen[str]


@pytest.fixture
def terminal() -> Iterator[list[int]]:
    """The two ends of one."""
    ends = list(pty.openpty())
    yield ends
    for end in ends:
        os.close(end)


def start(terminal: int | None = None) -> Child:
    """The program, as the leader of a session that has this terminal, or none."""

    def attach() -> None:
        if terminal is not None:
            fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=attach,
    )
    assert child.stdout
    assert child.stdout.readline() == "ready\n"
    return child


def said(child: Child) -> str:
    """The next line."""
    assert child.stdout
    return child.stdout.readline()


def ends_in_order(child: Child) -> bool:
    with child:
        return said(child) == "stopped in order\n" and child.wait(20) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_and_ctrl_c_stop_in_order(number: signal.Signals) -> None:
    child = start()
    child.send_signal(number)
    assert ends_in_order(child)


@pytest.mark.parametrize("attached", [False, True])
def test_logrotates_sighup_does_not_stop_it(attached: bool, terminal: list[int]) -> None:
    child = start(terminal[1] if attached else None)
    child.send_signal(signal.SIGHUP)
    assert said(child) == "SIGHUP received: looking for moved files\n"
    child.terminate()
    assert ends_in_order(child)


def test_a_terminal_that_is_closed_stops_in_order(terminal: list[int]) -> None:
    child = start(terminal[1])
    os.close(terminal.pop(0))
    assert ends_in_order(child)
