"""Script: a program of this repository as a child, whose output goes to the terminal."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from logpipeline.localstack.child import Child

ROOT = Path(__file__).resolve().parents[2]
LAST_LINES = 1.0  # seconds to read the output of a script that has ended


class Script(Child):
    """`name`.py with `arguments`; each line of its output goes to `write(name, line)`."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        write: Callable[[str, str], None],
    ) -> None:
        super().__init__(name)
        self._command = [sys.executable, str(ROOT / f"{name}.py"), *arguments]
        self._environment = {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}
        self._write = write
        self._reader = threading.Thread()

    def start(self) -> None:
        """Start or restart it. Raises OSError."""
        self._spawn(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def _spawned(self, process: subprocess.Popen[bytes]) -> None:
        self._reader = threading.Thread(target=self._read, args=[process], daemon=True)
        self._reader.start()

    def kill(self) -> None:
        super().kill()
        if self.process:
            self._reader.join(LAST_LINES)

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        with process.stdout as lines:
            for line in lines:
                self._write(self.name, line.decode(errors="replace").rstrip())
