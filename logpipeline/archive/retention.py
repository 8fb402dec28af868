"""Keeper: what becomes of rotated files. They are packed, sent to the store if there is one, and
the oldest deleted, in a thread.

Of all consumers that share a logs.txt one does it at a time, the one that holds
`logs.txt.keeper.lock`. A kill at any moment leaves a file plain, packed, or both. Symbolic links
are somebody else's: they are neither packed, sent nor deleted.
"""

import hashlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from logpipeline.archive.metrics import ArchiveMetrics
from logpipeline.archive.packing import BROKEN, PACKED, packer, unpacked
from logpipeline.archive.rotated import RotatedFile, by_name, rotated
from logpipeline.archive.settings import RotationSettings
from logpipeline.archive.store import Store
from logpipeline.archive.uploader import Uploader
from logpipeline.files import draft_of, open_file, remove_drafts, sync
from logpipeline.locks import locked
from logpipeline.outage import Outage
from logpipeline.supervision import Supervision

log = logging.getLogger(__name__)

LOOK = 1.0  # seconds between looks for work
AGAIN = 60.0  # seconds until files that need nothing are looked at one by one again
CHUNK = 2**20  # bytes
NONE = RotatedFile("", Path())  # before all others


class Stopped(Exception):  # noqa: N818 - no failure
    """The consumer stops; what was begun is done by the next keeper."""


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
        self._settled: set[str] = set()  # names at the beginning of the last whole look,
        self._settled_at = 0.0  # when (time.monotonic)
        self._outage = Outage(log)
        self._supervision = supervision or Supervision(log, settings)
        self._closing = threading.Event()
        self._shipper = Uploader(store, metrics, self._closing) if store else None
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let go of what is under way."""
        self._closing.set()
        self._thread.join(LOOK)

    def tend(self) -> None:
        """Do what there is to do, unless another consumer does. Raises OSError, Stopped."""
        with suppress(TimeoutError), locked(self._lock_path, patience=0):
            names, files = self._names(), rotated(self._log_file)
            self._clear(files)
            files = [file for file in files if not file.path().is_symlink()]
            problem = self._pack_all(files)
            if self._shipper:
                self._shipper.ship([file for file in files if self._is_packed(file)])
            self._delete_oldest(files)
            if problem:
                raise problem
            self._settled, self._settled_at = names, time.monotonic()
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
                continue  # another keeper was at work
            except OSError as problem:
                self._metrics.keep_failures.inc()
                self._outage.report(f"rotated files wait as they are: {problem}", logging.ERROR)
            except Stopped:
                return
            except BaseException as error:  # noqa: BLE001 - the thread must not end
                self._metrics.keep_failures.inc()
                wait = max(LOOK, self._supervision.note("keep", error))
            else:
                self._supervision.resolve("keep")
                self._outage.resolve("rotated files are packed and deleted again")

    def _is_due(self) -> bool:
        """Whether there may be something to do: a look at a year of hourly files takes 0.7 s of
        CPU, one at their names 0.02 s."""
        old = time.monotonic() - self._settled_at > AGAIN
        refused = self._shipper and self._shipper.is_due()
        return old or bool(refused) or self._names() != self._settled

    def _names(self) -> set[str]:
        """Of rotated files and what belongs to them."""
        prefix = f"{self._log_file.stem}-"
        names = (path.name for path in self._log_file.parent.iterdir())
        return {name for name in names if name.startswith(prefix)}

    def _clear(self, files: list[RotatedFile]) -> None:
        """Remove what a kill has left: drafts, and checkpoints of files that are deleted."""
        folder = self._log_file.parent
        remove_drafts(folder, lambda name: name.endswith(PACKED) and self._rotated(name))
        newest = max(files, default=NONE)  # what is newer may be a rotation that has just begun
        for name in self._names():
            file = self._rotated(name.removesuffix(".checkpoint"))
            if file and name == file.sidecar.name and file not in files and file < newest:
                file.sidecar.unlink(missing_ok=True)

    def _rotated(self, name: str) -> RotatedFile | None:
        """The rotated file of this name, whether it is there or not."""
        return by_name(self._log_file.with_name(name), self._log_file)

    def _pack_all(self, files: list[RotatedFile]) -> OSError | None:
        """Returns what kept it from packing, such as a full disk, which deleting may help."""
        try:
            for file in files:
                self._pack(file)
        except OSError as problem:
            return problem
        return None

    def _pack(self, file: RotatedFile) -> None:
        """Let only a packed copy be there, which has been compared with what it replaces."""
        path = file.path()
        if path == file.plain and self._suffix:
            self._write_packed(file.plain, path := file.packed(self._suffix))
        if path != file.plain:
            file.plain.unlink(missing_ok=True)

    def _is_packed(self, file: RotatedFile) -> bool:
        return not self._suffix or not file.plain.exists()

    def _write_packed(self, plain: Path, packed: Path) -> None:
        with draft_of(packed) as (fd, draft):
            with os.fdopen(fd, "wb") as target, self._reading(plain) as source:
                size = os.fstat(source.fileno()).st_size
                with packer(target, packed.suffix, size) as out:
                    for chunk in self._chunks(source):
                        out.write(chunk)
                target.flush()
                os.fsync(target.fileno())
            shutil.copystat(plain, draft)
            self._compare(plain, draft)
        sync(packed.parent)

    def _compare(self, plain: Path, packed: Path) -> None:
        """Raises OSError when the packed copy holds something else."""
        try:
            with self._reading(plain) as source, unpacked(packed) as back:
                if self._digest(source) != self._digest(back):
                    raise OSError(f"{plain} came out of packing as something else")
        except BROKEN as error:
            raise OSError(f"the packed copy of {plain} can't be unpacked: {error}") from None

    @staticmethod
    def _reading(plain: Path) -> IO[bytes]:
        return os.fdopen(open_file(plain, os.O_RDONLY), "rb")

    def _digest(self, file: IO[bytes]) -> bytes:
        digest = hashlib.sha256()
        for chunk in self._chunks(file):
            digest.update(chunk)
        return digest.digest()

    def _chunks(self, file: IO[bytes]) -> Iterator[bytes]:
        while chunk := file.read(CHUNK):
            if self._closing.is_set():
                raise Stopped
            yield chunk

    def _delete_oldest(self, files: list[RotatedFile]) -> None:
        """As many as LOG_KEEP_FILES, LOG_KEEP_DAYS and LOG_KEEP_BYTES ask for."""
        sizes = [file.path().stat().st_size for file in files]
        for i, file in enumerate(files):
            if not self._too_many(len(files) - i, sum(sizes[i:]), file.ended):
                break
            if self._shipper and not self._shipper.has(file):
                break
            log.info("deleting %s, as LOG_KEEP_… says", file.path())
            file.path().unlink()
            file.sidecar.unlink(missing_ok=True)

    def _too_many(self, number: int, size: int, ended: datetime) -> bool:
        mine = self._settings
        return (
            0 < mine.log_keep_files < number
            or 0 < mine.log_keep_bytes < size
            or 0 < mine.log_keep_days <= (datetime.now(UTC) - ended) // timedelta(days=1)
        )
