"""Forked: programs for tests that start and kill many, without a start of Python for each.

They are forked from a server process that has imported what they need: multiprocessing's.
"""

import ctypes
import gc
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from multiprocessing import connection
from multiprocessing.context import ForkContext, ForkServerContext
from pathlib import Path
from typing import IO, Any

from logpipeline.localstack.child import PR_SET_PDEATHSIG
from tests.support.preset import preset
from tests.support.process import ROOT, Process

SCRIPTS = {path.name for path in ROOT.glob("*.py")}
PRELOADED = [
    *sorted(name.removesuffix(".py") for name in SCRIPTS),
    "kafka",
    "kafka.admin",
    "aiokafka.record._crecords",
    "logpipeline.report.events",
    "logpipeline.report.page",
    "tests.support.records",
    "tests.support.built",
    "tests.support.forked",
]
Constants = Mapping[str, Any]
Context = ForkServerContext | ForkContext
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(PRELOADED)


class Forked(Process):
    """`program` is a script of the repository, such as "consumer.py", a module of it or its tests,
    or "-c" with code as the first of its arguments. It starts in `folder`, or that of `log_file`;
    its stderr goes to `errors`, if there is one; its stdin is empty, or with `piped` a pipe, of
    which `popen.stdin` is the other end. `constants` are set before it runs, such as
    {"logpipeline.kafka.outbox.QUIET": 1.0}, so that a test need not wait out a timeout. With a
    `context` of "fork", it is forked from this process instead."""

    def __init__(
        self,
        program: str,
        arguments: list[str],
        log_file: Path,
        env: dict[str, str],
        errors: Path | None = None,
        folder: Path | None = None,
        constants: Constants | None = None,
        piped: bool = False,
        context: Context = CONTEXT,
    ) -> None:
        self.command = [program, *arguments]
        self.log_file = log_file
        streams = log_file, errors or log_file
        for stream in streams:
            stream.touch()
        self.popen = _Popen(  # type: ignore[assignment]
            context, piped, self.command, streams, folder or log_file.parent, env, constants or {}
        )

    def kill(self) -> None:
        """SIGKILL; it may be too young to lead its group."""
        self.signal(signal.SIGKILL)
        self.popen.wait()


def forked(
    name: str, log_file: Path, env: dict[str, str], constants: Constants | None = None
) -> Process:
    """A script, without options."""
    return Forked(name, [], log_file, env, constants=constants)


class _Popen:
    """What Process uses of a subprocess.Popen."""

    lock = threading.Lock()  # each start asks after all children, as a wait of another thread does

    def __init__(self, context: Context, piped: bool, *run: Any) -> None:
        self.stdin: IO[bytes] | None = None
        with ExitStack() as ends:
            theirs = None
            if piped:
                theirs, ours = map(ends.enter_context, context.Pipe(duplex=False))
                self.stdin = os.fdopen(os.dup(ours.fileno()), "wb")
            self._process = context.Process(target=_run, args=(theirs, *run))
            with self.lock:
                self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        with self.lock:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        if not connection.wait([self._process.sentinel], timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        with self.lock:
            self._process.join()  # a child of this process has its status a moment later
            status = self._process.exitcode
        assert status is not None
        return status


def completed(
    program: str, arguments: list[str], folder: Path, env: dict[str, str], timeout: float = 60
) -> subprocess.CompletedProcess[bytes]:
    """What subprocess.run returns, of a program that has run in `folder`."""
    with tempfile.TemporaryDirectory() as name:
        out, errors = Path(name) / "stdout", Path(name) / "stderr"
        run = Forked(program, arguments, out, env, errors, folder)
        try:
            status = run.wait(timeout)
        finally:
            run.kill()
        return subprocess.CompletedProcess(
            run.command, status, out.read_bytes(), errors.read_bytes()
        )


def completed_text(
    program: str, arguments: list[str], folder: Path, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """The same with `text=True`."""
    done = completed(program, arguments, folder, env)
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def _run(
    stdin: connection.Connection | None,
    command: list[str],
    streams: tuple[Path, Path],
    folder: Path,
    env: dict[str, str],
    constants: Constants,
) -> None:
    """Be that program, in a session and with an environment of its own."""
    gc.freeze()  # each search for garbage would go through all that the server has imported
    os.setsid()
    if sys.platform == "linux":  # as the server ends with the test, so does this
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.dup2(stdin.fileno() if stdin else os.open(os.devnull, os.O_RDONLY), 0)
    if stdin:
        stdin.close()
    for number, stream in enumerate(streams, 1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_APPEND), number)
    for output in (sys.stdout, sys.stderr):
        output.reconfigure(encoding=env.get("PYTHONIOENCODING", "utf-8"))  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the server ignores it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.argv = command
    preset(constants)
    if command[0] == "-c":
        sys.argv = ["-c", *command[2:]]
        exec(command[1], {"__name__": "__main__"})  # noqa: S102 - the test's own
    elif command[0].endswith(".py"):
        runpy.run_path(str(ROOT / command[0]), run_name="__main__")
    else:
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
