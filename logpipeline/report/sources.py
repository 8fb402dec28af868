"""Sources: the files that a report reads, logs.txt and its rotated ones, from the store too."""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from logpipeline.archive.rotated import STAMP, RotatedFile, by_name
from logpipeline.archive.store import Store

PACKED = ("", ".gz", ".zst")
LATE = 24 * 3600.0  # seconds after its time at which an event of the store is looked for


class NoLogs(Exception):  # noqa: N818 - it says what there is not
    """There is nothing to read; str() is one line that says where it was looked for."""


@contextmanager
def gathered(
    log_file: Path, store: Store | None, start: float, end: float
) -> Iterator[Sequence[Path]]:
    """The files that may have events from `start` to `end` (Unix seconds), each event in one of
    them: those here, and copies of those that are only in the store, until the end of the block.

    Raises NoLogs, StoreError, OSError.
    """
    here = files(log_file)
    with TemporaryDirectory(prefix="log-report-") as folder:
        copies = _fetch(store, log_file, Path(folder), here, start, end) if store else []
        if not here and not copies:
            place = f" or in {store.name}" if store else ""
            raise NoLogs(f"{log_file} is not there, nor any rotated file of it, here{place}")
        yield [*copies, *(path for path in here if path.stat().st_mtime >= start)]


def files(log_file: Path) -> list[Path]:
    """logs.txt and its rotated files, logs-<time>.txt, .gz or .zst; of one that is just being
    packed the packed one. Raises OSError."""
    rotated = {
        path.with_name(path.name.removesuffix(suffix)): path
        for suffix in PACKED
        for path in log_file.parent.glob(f"{literally(log_file.stem)}-*{log_file.suffix}{suffix}")
    }
    return [path for path in [*sorted(rotated.values()), log_file] if path.is_file()]


def literally(name: str) -> str:
    """A name for a glob in which nothing stands for anything else."""
    return re.sub(r"([*?[])", r"[\1]", name)


def _fetch(
    store: Store, log_file: Path, folder: Path, here: Sequence[Path], start: float, end: float
) -> list[Path]:
    """Bring what is not here to `folder`. Raises StoreError."""
    since = datetime.fromtimestamp(max(0.0, start), UTC).strftime(STAMP)
    sizes = store.sizes(after=f"{log_file.stem}-{since}")
    there = {
        file: name
        for name in sorted(sizes)  # where there are two of one, the packed one is last
        if (file := by_name(folder / name, folder / log_file.name))
    }
    kept = {file.plain.name for path in here if (file := by_name(path, log_file))}
    wanted = [there[file] for file in _between(sorted(there), end) if file.plain.name not in kept]
    if wanted:
        size = sum(sizes[name] for name in wanted) / 1e6
        print(f"fetching {len(wanted)} files, {size:,.1f} MB: {store.name}", file=sys.stderr)
    for name in wanted:
        store.get(name, folder / name)
    return [folder / name for name in wanted]


def _between(files: Sequence[RotatedFile], end: float) -> Iterator[RotatedFile]:
    """Those that were begun before `end`, or little later: each when the one before it ended."""
    begun = 0.0
    for file in files:
        if begun >= end + LATE:
            return
        yield file
        begun = file.ended.timestamp()
