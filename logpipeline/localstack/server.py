"""Server: a real server of ours in a folder, to start, stop, kill and pause."""

import os
import random
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from logpipeline.files import open_file
from logpipeline.localstack.child import Child, spawn

STEP = 0.05  # seconds between looks at a server that is starting or stopping
PORTS = (10_000, 32_768)  # below Linux' net.ipv4.ip_local_port_range
LOG_BYTES = 2**20  # the log of earlier starts is dropped above this
APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT


class ServerError(Exception):
    """A server can't be had; str() is the one sentence for a person."""


class Server(Child):
    """What Kafka and Redis have in common. `folder` keeps the data, `port` is on 127.0.0.1.

    Start it from a thread that lives as long as it should: see `child.spawn`.
    """

    def __init__(self, name: str, folder: Path, port: int) -> None:
        super().__init__(name)
        self.folder = folder.resolve()
        self.port = port

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
            with os.fdopen(open_file(self.log_file, APPEND), "ab") as log:
                if os.fstat(log.fileno()).st_size > LOG_BYTES:
                    log.truncate(0)
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

    def _last_words(self) -> str:
        lines = self.log_file.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now, and that no connection is given."""
    while True:
        port = random.randrange(*PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
