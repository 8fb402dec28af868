"""Workers: the processes that share one port."""

import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from prometheus_client import values

from logpipeline.orphans import end_with_parent
from logpipeline.shutdown import Shutdown

log = logging.getLogger(__name__)

RESTART = 1.0  # seconds until a worker that died is replaced
STOP = 9.0  # seconds until one that should stop gets a SIGKILL

Serve = Callable[[int, Path], None]  # a worker's number, and a folder that all share


def run(count: int, serve: Serve, stop: Shutdown) -> None:
    """Run `count` workers until `stop`; one that dies is replaced. For a process that has no
    threads yet."""
    with tempfile.TemporaryDirectory(prefix="collector-") as name:
        folder = Path(name)
        workers = {_start(number, serve, folder): number for number in range(count)}
        while not stop:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid in workers:
                number = workers.pop(pid)
                code = os.waitstatus_to_exitcode(status)
                log.error("worker %d ended with status %d: replacing it", number, code)
                stop.wait(RESTART)
                if not stop:
                    workers[_start(number, serve, folder)] = number
            stop.wait(0.1)
        _end(list(workers))


def _start(number: int, serve: Serve, folder: Path) -> int:
    """Fork a worker. Returns its process id."""
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        end_with_parent(parent)  # the port must be free when the parent is gone
        _share_metrics(folder)
        serve(number, folder)
        status = 0
    except BaseException:
        log.exception("worker %d", number)
    finally:
        os._exit(status)


def _share_metrics(folder: Path) -> None:
    """Have prometheus_client keep each worker's values in a file that the others can add up."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]


def _end(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP
    while pids and time.monotonic() < deadline:
        pids = [pid for pid in pids if os.waitpid(pid, os.WNOHANG)[0] == 0]
        time.sleep(0.05)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
