"""Rotated files: former logs.txt files, named `logs-<UTC>.txt`, and packed later (.zst or .gz).

Beside each is the checkpoint as it was at the file's end, `logs-<UTC>.txt.checkpoint`, which gives
the offsets that the file holds.
"""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from logpipeline.archive.checkpoint import Checkpoint, CheckpointError
from logpipeline.archive.packing import BROKEN, PACKED, unpacked
from logpipeline.rotation import is_rotated

log = logging.getLogger(__name__)

STAMP = "%Y%m%dT%H%M%S.%fZ"  # so that names sort by time
CHUNK = 2**20  # bytes
LOOKS = 40  # tries to read files that others are rotating,
LOOK_AGAIN = 0.05  # seconds apart
STAMPED = re.compile(r"\d{8}T\d{6}\.\d{6}Z", re.ASCII)
STAMP_LENGTH = len("20261124T204649.006384Z")


@dataclass(frozen=True, order=True)
class RotatedFile:
    """The `stamp` in its name, and the `plain` path that it has until it is packed."""

    stamp: str
    plain: Path

    @property
    def sidecar(self) -> Path:
        return self.plain.with_name(self.plain.name + ".checkpoint")

    @property
    def ended(self) -> datetime:
        """When it was rotated."""
        return datetime.strptime(self.stamp, STAMP).replace(tzinfo=UTC)

    def packed(self, suffix: str) -> Path:
        return self.plain.with_name(self.plain.name + suffix)

    def forms(self) -> Iterator[Path]:
        """The paths that it may have; both a packed one and the plain one until packing is over."""
        yield from map(self.packed, PACKED)
        yield self.plain

    def path(self) -> Path:
        """Where its lines are now. Raises FileNotFoundError."""
        found = next((path for path in self.forms() if path.exists()), None)
        if found is None:
            raise FileNotFoundError(f"{self.plain} does not exist, neither plain nor packed")
        return found

    def open(self) -> IO[bytes]:
        """Its lines, unpacked as they are read. Raises OSError; reading raises BROKEN too."""
        return unpacked(self.path())

    def has_inode(self, inode: int) -> bool:
        """Whether it was renamed from the file with this inode, and is not packed yet."""
        with suppress(FileNotFoundError):
            return self.plain.stat().st_ino == inode
        return False

    def end(self, most: int) -> bytes:
        """Its last `most` bytes, unpacked. Raises OSError."""
        kept = b""
        try:
            with self.open() as lines:
                while chunk := lines.read(max(most, CHUNK)):
                    kept = (kept + chunk)[-most:]
        except BROKEN as error:
            raise OSError(f"cannot unpack {self.path()}: {error}") from None
        return kept

    def checkpoint(self) -> Checkpoint | None:
        """As it was at the file's end; None if it is unknown. Raises OSError."""
        try:
            return Checkpoint.load(self.sidecar)
        except CheckpointError:
            return None


def rotated(log_file: Path) -> list[RotatedFile]:
    """The rotated files of `log_file`, oldest first. Raises OSError."""
    found = {by_name(path, log_file) for path in log_file.parent.iterdir()}
    return sorted(file for file in found if file)


def next_rotated(log_file: Path, now: datetime) -> RotatedFile:
    """A new one that sorts after all others, even if the clock was set back. Raises OSError."""
    others = rotated(log_file)
    if others:
        now = max(now, others[-1].ended + timedelta(microseconds=1))
    stamp = now.astimezone(UTC).strftime(STAMP)
    return RotatedFile(stamp, log_file.with_name(f"{log_file.stem}-{stamp}{log_file.suffix}"))


def last_lines(
    log_file: Path, load: Callable[[], Checkpoint], most: int
) -> tuple[Checkpoint, list[bytes]]:
    """The checkpoint, and the last whole lines, within `most` bytes, that are accounted for.

    Others may rotate meanwhile. Lines before a rotated file that cannot be read are left out.
    Raises OSError, and what `load` raises.
    """
    older, checkpoint, end = _moment(log_file, load, most)
    try:
        while older and len(end) < most:
            end = older.pop().end(most - len(end)) + end
    except FileNotFoundError:  # retention deletes the oldest
        pass
    except OSError as error:
        log.warning("leaving out its events and those of older files: %s", error)
    lines = end.split(b"\n")
    if len(end) == most:
        del lines[0]
    return checkpoint, lines[:-1]


def _moment(
    log_file: Path, load: Callable[[], Checkpoint], most: int
) -> tuple[list[RotatedFile], Checkpoint, bytes]:
    """The rotated files, the checkpoint, and the last bytes of logs.txt, of one moment."""
    for _ in range(LOOKS):
        older = rotated(log_file)
        checkpoint = load()
        with suppress(FileNotFoundError), log_file.open("rb") as file:
            file.seek(begin := max(0, checkpoint.length - most))
            end = file.read(checkpoint.length - begin)
            same = os.fstat(file.fileno()).st_ino == checkpoint.inode
            if same and rotated(log_file) == older:
                return older, checkpoint, end
        time.sleep(LOOK_AGAIN)
    raise OSError(f"cannot read {log_file}: it was rotated during each try")


def moved_to(log_file: Path, inode: int) -> Path | None:
    """The file that was `log_file`, under a name of our rotation or of logrotate's. A file of
    another name may have the inode of a deleted one by chance. Raises OSError."""
    for path in log_file.parent.iterdir():
        ours = by_name(path, log_file)
        named = path == ours.plain if ours else is_rotated(path, log_file) and path.suffix != ".gz"
        if named and path.lstat().st_ino == inode:
            return path
    return None


def by_name(path: Path, log_file: Path) -> RotatedFile | None:
    """The rotated file that `path` names, whether it exists or not."""
    name, prefix, suffix = path.name, f"{log_file.stem}-", log_file.suffix
    if not name.startswith(prefix):
        return None
    found = name.removeprefix(prefix)
    stamp, end = found[:STAMP_LENGTH], found[STAMP_LENGTH:]
    if not STAMPED.fullmatch(stamp) or not end.startswith(suffix):
        return None
    if end.removeprefix(suffix) not in ("", *PACKED):
        return None
    return RotatedFile(stamp, path.with_name(f"{prefix}{stamp}{suffix}"))
