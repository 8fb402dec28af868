"""Indexer: has the indexes of rotated files made, large ones by a process of low priority."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from logpipeline.archive.index import index_path
from logpipeline.archive.indexing import SMALL, index
from logpipeline.archive.packing import Stopped
from logpipeline.archive.rotated import RotatedFile

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
LOOK = 0.05  # seconds between checks whether the program stops
MOST = 1_000  # files for one process


class Indexer:
    """For one thread. A file that could not be indexed is not tried again."""

    def __init__(self, closing: threading.Event) -> None:
        self._closing = closing
        self._refused: set[RotatedFile] = set()

    def index(self, files: Sequence[RotatedFile]) -> None:
        """Index those that have no index yet, oldest first. Raises Stopped, and OSError when no
        process can be started."""
        missing = [
            file for file in files if file not in self._refused and not index_path(file).exists()
        ]
        small = [file for file in missing if file.path().stat().st_size <= SMALL]
        for file in small:
            self._index_here(file)
        large = [file for file in missing if file not in small]
        if large:
            self._index_apart(large[:MOST])

    def _index_here(self, file: RotatedFile) -> None:
        try:
            index(file, self._closing.is_set)
        except InterruptedError:
            raise Stopped from None
        except OSError as error:
            self._refuse(file, str(error))

    def _index_apart(self, files: Sequence[RotatedFile]) -> None:
        """In another process: its work would delay the consumer's other threads."""
        names = [str(file.plain) for file in files]
        command = [sys.executable, "-P", "-m", "logpipeline.archive.indexing", *names]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}  # whatever folder it runs in
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment) as process:
            while process.poll() is None:
                if self._closing.wait(LOOK):
                    process.terminate()
                    raise Stopped
        for file in files:
            if not index_path(file).exists():
                self._refuse(file, f"exit status {process.returncode}")

    def _refuse(self, file: RotatedFile, reason: str) -> None:
        self._refused.add(file)
        log.warning("%s has no index, searches read all of it: %s", file.plain.name, reason)
