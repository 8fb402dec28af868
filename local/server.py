"""Server: a real server of ours in a folder, to start, stop, kill and pause."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from local.child import spawn

STEP = 0.05  # seconds between looks at a server that is starting or stopping
LOG_BYTES = 2**20  # the log of earlier starts is dropped above this


class ServerError(Exception):
    """A server can't be had; str() is the one sentence for a person."""


class Server:
    """What Kafka and Redis have in common. `folder` keeps the data, `port` is on 127.0.0.1.

    Start it from a thread that lives as long as it should: see `child.spawn`.
    """

    name = "server"

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder.resolve()
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log_file(self) -> Path:
        return self.folder / "server.log"

    def command(self) -> list[str]:
        """What to run, after preparing the folder. Raises ServerError."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it does its work now. Raises OSError, also for a broken answer."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it with the data of earlier starts; `wait_ready` waits. Raises ServerError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            command = self.command()
            long = self.log_file.exists() and self.log_file.stat().st_size > LOG_BYTES
            with self.log_file.open("wb" if long else "ab") as log:
                self.process = spawn(
                    command,
                    cwd=self.folder,
                    env={**os.environ, "LC_ALL": "C"},  # Redis refuses a locale that is missing
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        except OSError as error:
            raise ServerError(f"{self.name} can't start: {error}") from error

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Wait until it answers. `timeout` in seconds. Raises ServerError."""
        deadline = time.monotonic() + timeout
        while not self.ready():
            status = self.status()
            if status is not None:
                raise ServerError(f"{self.name} ended with status {status}: {self._last_words()}")
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name} did not answer in {timeout:.0f} s: {self.log_file}")
            time.sleep(STEP)

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            return self.status() is None and self.answers()
        except OSError:
            return False

    def status(self) -> int | None:
        """The exit status, -N for signal N; None while it runs. 0 when it was never started."""
        return self.process.poll() if self.process else 0

    def stop(self, timeout: float = 8.0) -> None:
        """End it in good order, or by SIGKILL after `timeout` seconds."""
        self.resume()
        self.signal(signal.SIGTERM)
        try:
            if self.process:
                self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def kill(self) -> None:
        """End it at once by SIGKILL, as a crash would."""
        self.signal(signal.SIGKILL)
        if self.process:
            self.process.wait()

    def pause(self) -> None:
        """Freeze it: connections stay open, and nothing answers."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, when it still runs."""
        if self.process and self.process.poll() is None:
            os.kill(self.process.pid, number)

    def _last_words(self) -> str:
        lines = self.log_file.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
