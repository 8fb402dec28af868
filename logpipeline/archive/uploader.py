"""Uploader: sends rotated files to the store, and knows which of them it has.

A file's checkpoint and index are sent before it, so that each file in the store has its own beside
it.
"""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from logpipeline.archive.index import index_path
from logpipeline.archive.metrics import ArchiveMetrics
from logpipeline.archive.rotated import RotatedFile
from logpipeline.archive.store import OtherContentError, Store, StoreError
from logpipeline.outage import Outage

log = logging.getLogger(__name__)

RETRY = 10.0  # seconds until a store that refused a file is tried again


class Uploader:
    """For one thread. Once `closing` is set, no further file is begun."""

    def __init__(self, store: Store, metrics: ArchiveMetrics, closing: threading.Event) -> None:
        self._store = store
        self._metrics = metrics
        self._closing = closing
        self._outage = Outage(log)
        self._retry = 0.0  # time.monotonic() after a refusal, else 0
        self._uploaded: set[str] = set()  # names of local files that the store has

    def ship(self, files: Sequence[RotatedFile]) -> None:
        """Send the files that the store does not have, oldest first. A store that cannot take them
        is reported once, and tried again later. Raises OSError."""
        if self._waits():
            return
        problem = ""
        try:
            for file in self._missing(files):
                if self._closing.is_set():
                    return
                try:
                    self._send(file)
                except OtherContentError as other:  # the others are sent all the same
                    problem = problem or str(other)
        except StoreError as refused:
            problem = str(refused)
        self._metrics.unshipped_files.set(len(files) - len(self._uploaded))
        self._note(problem)

    def is_due(self) -> bool:
        """Whether it is time to try a store again that refused a file."""
        return 0 < self._retry <= time.monotonic()

    def has(self, file: RotatedFile) -> bool:
        """Whether the store has a whole copy now; a deleted one is sent again.

        Raises OSError.
        """
        if self._waits():
            return False
        try:
            self._send(file)
        except StoreError as refused:
            self._note(str(refused))
            return False
        return True

    def _missing(self, files: Sequence[RotatedFile]) -> list[RotatedFile]:
        """Those that the store does not have, by name and size. Raises StoreError, OSError."""
        sizes = {file.path().name: file.path().stat().st_size for file in files}
        self._uploaded &= sizes.keys()
        missing = [file for file in files if file.path().name not in self._uploaded]
        if missing:  # other consumers of this host send, too
            stored = self._store.sizes(after=missing[0].plain.stem).items()
            self._uploaded |= {name for name, size in stored if sizes.get(name) == size}
        return [file for file in missing if file.path().name not in self._uploaded]

    def _send(self, file: RotatedFile) -> None:
        """Raises StoreError, OSError."""
        path = file.path()
        if file.sidecar.exists():
            self._store.put(file.sidecar)
        if index_path(file).exists():
            with suppress(OtherContentError):  # of another version
                self._store.put(index_path(file))
        if self._store.put(path):
            self._metrics.shipped_files.inc()
            self._metrics.shipped_bytes.inc(path.stat().st_size)
        self._uploaded.add(path.name)

    def _waits(self) -> bool:
        """Whether it is too early to try a store again that refused a file."""
        return time.monotonic() < self._retry

    def _note(self, problem: str) -> None:
        self._retry = time.monotonic() + RETRY if problem else 0.0
        self._metrics.store_up.set(not problem)
        if problem:
            self._metrics.ship_failures.inc()
            sentence = f"cannot upload rotated files, keeping them: {problem}"
            self._outage.report(sentence, logging.ERROR)
        else:
            self._outage.resolve(f"uploading rotated files to {self._store.name} again")
