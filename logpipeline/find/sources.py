"""Sources: the files of the archive at one moment: logs.txt and its rotated files, oldest first."""

import math
import os
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from logpipeline.archive.checkpoint import Checkpoint, CheckpointError
from logpipeline.archive.index import BadIndex, Index, index_path, load_index
from logpipeline.archive.rotated import (
    LOOK_AGAIN,
    LOOKS,
    STAMP,
    RotatedFile,
    by_name,
    rotated,
)
from logpipeline.archive.settings import StoreSettings
from logpipeline.archive.store_error import StoreError

if TYPE_CHECKING:
    from logpipeline.archive.store import Store

LATE = 24 * 3600.0  # seconds that an event may be late for its file,
EARLY = 3600.0  # and that the clock which dated it may be ahead
BLOCK = 65_536  # bytes


class NoArchive(Exception):  # noqa: N818 - not a failure
    """Nothing to search was found; str() is one line with the places."""


class SearchedFile(msgspec.Struct, frozen=True):
    """One file. `file` is None for logs.txt, of which `length` bytes are whole lines, and which
    stays readable by `fd`. A `stored` one has to be fetched by that name before it is read."""

    name: str
    file: RotatedFile | None
    index: Index | None = None
    length: int = 0
    fd: int = -1
    stored: str = ""

    def path(self) -> Path:
        """Where it is now: it may have been packed meanwhile. Raises FileNotFoundError."""
        return self.file.path() if self.file else Path(f"/dev/fd/{self.fd}")


class SearchedFiles:
    """The local files are those of the moment when it is made; logs.txt is open until `close`."""

    def __init__(self, log_file: Path, store: "Store | None" = None, patient: bool = False) -> None:
        """`patient`: without any local file, too. Raises NoArchive, OSError."""
        self._log_file = log_file
        self._store = store
        self._cleanup = ExitStack()
        self.older, live = self._moment()
        self.live = live
        if not (self.older or live or store or patient):
            raise NoArchive(f"neither {log_file} nor a rotated file of it exists here")

    @property
    def has_store(self) -> bool:
        return self._store is not None

    def local(self) -> list[SearchedFile]:
        """Oldest first."""
        found = [self._rotated(file) for file in self.older]
        return [*found, self.live] if self.live else found

    def stored(self, since: float, to: float, folder: Path) -> list[SearchedFile]:
        """Those that are only in the store and may have events of that time, oldest first, with
        their indexes, which are fetched to `folder`. Raises StoreError."""
        if not self._store:
            return []
        begin = datetime.fromtimestamp(min(max(0.0, since - EARLY), 2**33), UTC).strftime(STAMP)
        names = self._store.sizes(after=f"{self._log_file.stem}-{begin}").keys()
        here = {file.plain.name for file in self.older}
        stored = {
            file: name
            for name in sorted(names)  # of a file that is stored twice, the packed copy is last
            if (file := by_name(folder / name, folder / self._log_file.name))
            and file.plain.name not in here
        }
        found, begun = [], -math.inf
        for file in sorted(stored):
            if begun >= to + LATE:
                break
            begun = file.ended.timestamp()
            index = self._fetched_index(file, names)
            found.append(SearchedFile(stored[file], file, index, stored=stored[file]))
        return found

    def fetch(self, source: SearchedFile) -> None:
        """Raises StoreError."""
        if self._store and source.file:
            self._store.get(source.stored, source.file.plain.with_name(source.stored))

    def close(self) -> None:
        self._cleanup.close()

    def _fetched_index(self, file: RotatedFile, names: Collection[str]) -> Index | None:
        path = index_path(file)
        if not self._store or path.name not in names:
            return None
        try:
            self._store.get(path.name, path)
            return Index.load(path, None)
        except (StoreError, BadIndex, OSError):
            return None

    def _rotated(self, file: RotatedFile) -> SearchedFile:
        return SearchedFile(file.plain.name, file, load_index(file))

    def _moment(self) -> tuple[list[RotatedFile], SearchedFile | None]:
        """The rotated files and logs.txt when none was rotated meanwhile. Raises OSError."""
        for _ in range(LOOKS):
            older = rotated(self._log_file) if self._log_file.parent.is_dir() else []
            checkpoint = self._checkpoint()
            try:
                file = self._log_file.open("rb")
            except FileNotFoundError:
                if not older or rotated(self._log_file) == older:
                    return older, None
                continue
            inode = os.fstat(file.fileno()).st_ino
            if rotated(self._log_file) == older:
                self._cleanup.enter_context(file)
                mine = checkpoint and checkpoint.inode in (0, inode)  # else it was just rotated
                return older, self._live(file, checkpoint if mine else None)
            file.close()
            time.sleep(LOOK_AGAIN)
        raise OSError(f"cannot read {self._log_file}: it was rotated during each try")

    def _live(self, file: BinaryIO, checkpoint: Checkpoint | None) -> SearchedFile:
        size = os.fstat(file.fileno()).st_size
        length = min(size, checkpoint.length) if checkpoint else size
        length = end_of_last_line(file.fileno(), length)
        return SearchedFile(self._log_file.name, None, None, length, file.fileno())

    def _checkpoint(self) -> Checkpoint | None:
        with suppress(CheckpointError):
            return Checkpoint.load(self._log_file.with_name(f"{self._log_file.name}.checkpoint"))
        return None


def store_of(settings: StoreSettings) -> "Store | None":
    """The store of ARCHIVE_URL, if that is set. Raises StoreError."""
    if not settings.archive_url:
        return None
    from logpipeline.archive.store import Store  # its library takes a tenth of the start

    return Store.of(settings)


def end_of_last_line(fd: int, length: int) -> int:
    """The position after the last newline within `length`."""
    while length:
        begin = max(0, length - BLOCK)
        newline = os.pread(fd, length - begin, begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        length = begin
    return 0


def line_starts(fd: int, length: int, step: int) -> Iterator[tuple[int, int]]:
    """Ranges of whole lines, of about `step` bytes each."""
    begin = 0
    while begin < length:
        end = begin + step
        while end < length:
            newline = os.pread(fd, BLOCK, end - 1).find(b"\n")
            if newline >= 0:
                end += newline
                break
            end += BLOCK
        end = min(end, length)
        yield begin, end
        begin = end
