"""Server: a local server with its data in a folder, to start, stop, kill and pause."""

import os
import random
import socket
import subprocess
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from logpipeline.files import open_file
from logpipeline.localstack.child import Child

STEP = 0.05  # seconds between checks of a server that is starting or stopping
PORTS = (10_000, 32_768)  # below Linux' net.ipv4.ip_local_port_range
LOG_BYTES = 2**20  # a larger log of earlier starts is deleted
_given: deque[int] = deque(maxlen=100)
APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT


class ServerError(Exception):
    """A server cannot be started or used; str() is one sentence for the user."""


class Server(Child):
    """The base of Kafka and Redis. `folder` has the data; `port` is on 127.0.0.1.

    Start it from a thread that lives as long as the server should: see `child.spawn`.
    """

    def __init__(self, name: str, folder: Path, port: int) -> None:
        super().__init__(name)
        self.folder = folder.resolve()
        self.port = port

    @property
    def log_file(self) -> Path:
        return self.folder / "server.log"

    def command(self) -> list[str]:
        """Prepare the folder and return the command to run. Raises ServerError."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it answers requests. Raises OSError, also for an invalid answer."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it with its earlier data; `wait_ready` waits for it. Raises ServerError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            command = self.command()
            with os.fdopen(open_file(self.log_file, APPEND), "ab") as log:
                if os.fstat(log.fileno()).st_size > LOG_BYTES:
                    log.truncate(0)
                self._spawn(
                    command,
                    cwd=self.folder,
                    env={**os.environ, "LC_ALL": "C"},  # Redis refuses a locale that is missing
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
        except OSError as error:
            raise ServerError(f"{self.name} cannot be started: {error}") from error

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Wait until it answers; `timeout` is in seconds. Raises ServerError."""
        deadline = time.monotonic() + timeout
        while not self.ready():
            status = self.status()
            if status is not None:
                raise ServerError(f"{self.name} ended with status {status}: {self._last_line()}")
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name} did not answer in {timeout:.0f} s: {self.log_file}")
            time.sleep(STEP)

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            return self.status() is None and self.answers()
        except OSError:
            return False

    def _last_line(self) -> str:
        lines = self.log_file.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"


def free_port(besides: int = 0) -> int:
    """A free port of 127.0.0.1 other than `besides` and those it has returned lately, which may
    not be in use yet. It is outside the range that Linux gives to connections."""
    while True:
        port = random.randrange(*PORTS)
        if port == besides or port in _given:
            continue
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            _given.append(port)
            return port
