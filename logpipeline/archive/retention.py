"""Retention: packs, indexes, sends to the store if one is set, and deletes rotated files.

It has a thread of its own. Of all consumers that share a logs.txt, one does it at a time, the one
that holds `logs.txt.keeper.lock`. A kill at any moment leaves a file plain, packed, or both.
Symbolic links belong to somebody else: they are neither packed, sent nor deleted.
"""

import logging
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from logpipeline.archive.index import index_path
from logpipeline.archive.indexer import Indexer
from logpipeline.archive.metrics import ArchiveMetrics
from logpipeline.archive.packing import PACKED, Stopped, pack
from logpipeline.archive.rotated import RotatedFile, by_name, rotated
from logpipeline.archive.settings import RotationSettings
from logpipeline.archive.store import Store
from logpipeline.archive.uploader import Uploader
from logpipeline.files import remove_drafts, sync
from logpipeline.locks import locked
from logpipeline.outage import Outage
from logpipeline.supervision import Supervision

log = logging.getLogger(__name__)

LOOK = 1.0  # seconds between looks for work
AGAIN = 60.0  # seconds until files that needed nothing are examined one by one again
NONE = RotatedFile("", Path())  # sorts before all others


class Retention:
    """Packs, sends and deletes until it is closed."""

    def __init__(
        self,
        settings: RotationSettings,
        metrics: ArchiveMetrics,
        store: Store | None = None,
        supervision: Supervision | None = None,
    ) -> None:
        self._settings = settings
        self._log_file = settings.log_file
        self._lock_path = settings.log_file.with_name(settings.log_file.name + ".keeper.lock")
        self._suffix = "" if settings.log_compress == "none" else f".{settings.log_compress}"
        self._metrics = metrics
        self._tended: set[str] = set()  # names when everything was last done,
        self._tended_at = 0.0  # and when (time.monotonic)
        self._outage = Outage(log)
        self._supervision = supervision or Supervision(log, settings)
        self._closing = threading.Event()
        self._indexer = Indexer(self._closing)
        self._uploader = Uploader(store, metrics, self._closing) if store else None
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Abandon what is under way: the next start does it."""
        self._closing.set()
        self._thread.join(LOOK)

    def tend(self) -> None:
        """Do what is due, unless another consumer is doing it. Raises OSError, Stopped."""
        with suppress(TimeoutError), locked(self._lock_path, patience=0):
            names, files = self._names(), rotated(self._log_file)
            self._clear(files)
            files = [file for file in files if not file.path().is_symlink()]
            problem = self._pack_all(files)
            self._indexer.index([file for file in files if self._is_packed(file)])
            if self._uploader:
                self._uploader.ship([file for file in files if self._is_packed(file)])
            self._delete_oldest(files)
            if problem:
                raise problem
            self._tended, self._tended_at = names, time.monotonic()
        kept = [file.path().stat().st_size for file in rotated(self._log_file)]
        self._metrics.rotated_files.set(len(kept))
        self._metrics.rotated_bytes.set(sum(kept))

    def _run(self) -> None:
        wait = LOOK
        while not self._closing.wait(wait):
            wait = LOOK
            try:
                if not self._is_due():
                    continue
                self.tend()
            except FileNotFoundError:
                continue  # another consumer was at work
            except OSError as problem:
                self._metrics.keep_failures.inc()
                self._outage.report(
                    f"cannot pack or delete rotated files, retrying: {problem}", logging.ERROR
                )
            except Stopped:
                return
            except BaseException as error:  # noqa: BLE001 - the thread must not end
                self._metrics.keep_failures.inc()
                wait = max(LOOK, self._supervision.note("keep", error))
            else:
                self._supervision.resolve("keep")
                self._outage.resolve("packing and deleting rotated files again")

    def _is_due(self) -> bool:
        """Whether something may be due: examining a year of hourly files takes 0.7 s of CPU,
        listing their names 0.02 s."""
        old = time.monotonic() - self._tended_at > AGAIN
        refused = self._uploader and self._uploader.is_due()
        return old or bool(refused) or self._names() != self._tended

    def _names(self) -> set[str]:
        """The names of rotated files and of what belongs to them."""
        prefix = f"{self._log_file.stem}-"
        names = (path.name for path in self._log_file.parent.iterdir())
        return {name for name in names if name.startswith(prefix)}

    def _clear(self, files: list[RotatedFile]) -> None:
        """Remove what a kill has left: drafts, and checkpoints and indexes of deleted files."""
        folder = self._log_file.parent
        remove_drafts(folder, lambda name: name.endswith(PACKED) and self._rotated(name))
        remove_drafts(folder, lambda name: self._rotated(name.removesuffix(".index")))
        newest = max(files, default=NONE)  # a newer one may be of a rotation that has just begun
        left = []
        for name in self._names():
            file = self._rotated(name.removesuffix(".checkpoint").removesuffix(".index"))
            if file and file not in files and file < newest:
                left += [path for path in (file.sidecar, index_path(file)) if path.name == name]
        if left:
            sync(folder)  # the sync after the file's deletion may have failed: see _delete_oldest
        for path in left:
            path.unlink(missing_ok=True)

    def _rotated(self, name: str) -> RotatedFile | None:
        """The rotated file of this name, whether it exists or not."""
        return by_name(self._log_file.with_name(name), self._log_file)

    def _pack_all(self, files: list[RotatedFile]) -> OSError | None:
        """Returns what prevented it, such as a full disk, which deleting may help."""
        try:
            for file in files:
                self._pack(file)
        except OSError as problem:
            return problem
        return None

    def _pack(self, file: RotatedFile) -> None:
        """Replace a plain file by a packed copy, once the copy was found to be equal."""
        path = file.path()
        if path == file.plain and self._suffix:
            pack(file.plain, path := file.packed(self._suffix), self._closing)
        if path != file.plain and file.plain.exists():
            sync(path.parent)  # the sync in `pack` may have failed, or a kill have come before it
            file.plain.unlink(missing_ok=True)

    def _is_packed(self, file: RotatedFile) -> bool:
        return not self._suffix or not file.plain.exists()

    def _delete_oldest(self, files: list[RotatedFile]) -> None:
        """Delete what exceeds LOG_KEEP_FILES, LOG_KEEP_DAYS or LOG_KEEP_BYTES."""
        sizes = [file.path().stat().st_size for file in files]
        for i, file in enumerate(files):
            if not self._too_many(len(files) - i, sum(sizes[i:]), file.ended):
                break
            if self._uploader and not self._uploader.has(file):
                break
            log.info("deleting %s, by LOG_KEEP_…", file.path())
            for path in file.forms():
                path.unlink(missing_ok=True)
            sync(self._log_file.parent)  # or a file might come back without its checkpoint
            file.sidecar.unlink(missing_ok=True)
            index_path(file).unlink(missing_ok=True)

    def _too_many(self, number: int, size: int, ended: datetime) -> bool:
        mine = self._settings
        return (
            0 < mine.log_keep_files < number
            or 0 < mine.log_keep_bytes < size
            or 0 < mine.log_keep_days <= (datetime.now(UTC) - ended) // timedelta(days=1)
        )
