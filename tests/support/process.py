"""Process: a script that a test runs, watches and kills."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from config import Settings
from logpipeline.localstack.child import spawn
from logpipeline.localstack.server import free_port
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
PRESET = Path(__file__).with_name("preset.py")


class Process:
    """A child in a process group of its own, whose stdout and stderr go to `log_file`.

    It starts in the folder of `log_file`, so that no .env of a developer is read.
    """

    def __init__(
        self, command: list[str], log_file: Path, env: dict[str, str], **popen: Any
    ) -> None:
        self.command = command
        self.log_file = log_file
        popen.setdefault("cwd", log_file.parent)
        popen.setdefault("stdin", subprocess.DEVNULL)
        with log_file.open("wb") as log:
            popen = {"stdout": log, "stderr": subprocess.STDOUT} | popen
            self.popen = spawn(command, env=env, **popen)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def output(self) -> str:
        """What it has printed so far, stdout and stderr."""
        return self.log_file.read_text(errors="replace")

    def running(self) -> bool:
        return self.popen.poll() is None

    def wait(self, timeout: float = 20.0) -> int:
        """Its exit status, -N for signal N. Raises AssertionError after `timeout` seconds."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self} still runs after {timeout} s") from None

    def wait_for(self, text: str, timeout: float = 20.0) -> None:
        """Wait until it has printed `text`. Raises AssertionError when it ends or takes longer."""
        until(lambda: text in self.output() or not self.running(), timeout, f"no {text!r}: {self}")
        assert text in self.output(), f"it ended without {text!r}: {self}"

    def terminate(self) -> None:
        self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        if self.running():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to its whole group; returns when it is dead."""
        if self.running():
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()

    def __str__(self) -> str:
        return f"{' '.join(self.command)}, which printed:\n{self.output()}"


def started_by_itself(name: str, log_file: Path, env: dict[str, str]) -> Process:
    """A script as a person starts it."""
    return Process(script(name), log_file, env)


@contextmanager
def dashboard(
    folder: Path,
    start: Callable[[str, Path, dict[str, str]], Process] = started_by_itself,
    /,
    **variables: str,
) -> Iterator[tuple[Process, str]]:
    """dashboard.py with these settings and a free port, once it answers, and its address."""
    known = {name.upper() for name in Settings.model_fields}
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if k not in known}
    environment |= {"DASHBOARD_PORT": str(port), **variables}
    process = start("dashboard.py", folder / f"dashboard-{port}.output", environment)
    try:
        process.wait_for("the page is at")
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()


def children(pid: int) -> list[int]:
    """The processes that it has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    """And not a zombie, which whoever inherits it has to ask for its status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def script(name: str, constants: Mapping[str, Any] | None = None) -> list[str]:
    """The command that runs one of the repository's scripts; `constants` are set first."""
    first = [str(PRESET), json.dumps(constants)] if constants else []
    return [sys.executable, *first, str(ROOT / name)]
