"""Sources: the files that a report reads: logs.txt and its rotated files, here or in the store."""

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from logpipeline.archive.index import load_index
from logpipeline.archive.rotated import STAMP, RotatedFile, by_name
from logpipeline.archive.store import Store

PACKED = ("", ".gz", ".zst")
PATTERN = re.compile(r"[*?\[\\]")
LATE = 24 * 3600.0  # seconds that an event may be late for its file in the store


class NoLogs(Exception):  # noqa: N818 - not a failure
    """Nothing to read was found; str() is one line with the places."""


@contextmanager
def gathered(
    log_file: Path, store: Store | None, start: float, end: float
) -> Iterator[Sequence[Path]]:
    """The files that may have events from `start` to `end` (Unix seconds), each event in one of
    them: local ones, and copies of those that are only in the store, until the end of the block.

    Raises NoLogs, StoreError, OSError.
    """
    here = files(log_file)
    with TemporaryDirectory(prefix="log-report-") as folder:
        copies = _fetch(store, log_file, Path(folder), here, start, end) if store else []
        if not here and not copies:
            place = f" or in {store.name}" if store else ""
            raise NoLogs(f"neither {log_file} nor a rotated file of it exists here{place}")
        mine = [path for path in here if path.stat().st_mtime >= start]
        yield [*copies, *(path for path in mine if _may_have(path, log_file, start, end))]


def _may_have(path: Path, log_file: Path, start: float, end: float) -> bool:
    """Whether it may have events of that time, by its index if it has one."""
    file = by_name(path, log_file)
    index = load_index(file) if file else None
    return index is None or any(block.first < end and block.last >= start for block in index.blocks)


def files(log_file: Path) -> list[Path]:
    """logs.txt and its rotated files, logs-<time>.txt, .gz or .zst; if one is just being packed,
    its packed copy. Raises OSError."""
    rotated = {
        path.with_name(path.name.removesuffix(suffix)): path
        for suffix in PACKED
        for path in log_file.parent.glob(f"{literally(log_file.stem)}-*{log_file.suffix}{suffix}")
    }
    return [path for path in [*sorted(rotated.values()), log_file] if path.is_file()]


@contextmanager
def plainly_named(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """The paths, or links to them, until the end of the block, if DuckDB would take a name for a
    pattern. It has no way to quote one: a backslash in it, or in a neighbour's, is an error."""
    if not any(PATTERN.search(str(path)) for path in paths):
        yield paths
        return
    with TemporaryDirectory(prefix="log-names-") as folder:
        links = []
        for number, path in enumerate(paths):
            links.append(Path(folder, f"{number}{path.suffix if path.suffix in PACKED else ''}"))
            links[-1].symlink_to(path.absolute())
        yield links


def literally(name: str) -> str:
    """A glob pattern that matches this name alone."""
    return re.sub(r"([*?[])", r"[\1]", name)


def _fetch(
    store: Store, log_file: Path, folder: Path, here: Sequence[Path], start: float, end: float
) -> list[Path]:
    """Copy files that are only in the store to `folder`. Raises StoreError."""
    since = datetime.fromtimestamp(max(0.0, start), UTC).strftime(STAMP)
    sizes = store.sizes(after=f"{log_file.stem}-{since}")
    stored = {
        file: name
        for name in sorted(sizes)  # if a file is stored twice, its packed copy is last
        if (file := by_name(folder / name, folder / log_file.name))
    }
    kept = {file.plain.name for path in here if (file := by_name(path, log_file))}
    wanted = [stored[file] for file in _between(sorted(stored), end) if file.plain.name not in kept]
    if wanted:
        size = sum(sizes[name] for name in wanted) / 1e6
        print(f"fetching {len(wanted)} files, {size:,.1f} MB: {store.name}", file=sys.stderr)
    for name in wanted:
        store.get(name, folder / name)
    return [folder / name for name in wanted]


def _between(files: Sequence[RotatedFile], end: float) -> Iterator[RotatedFile]:
    """Those begun before `end`, or up to LATE after it; each begins when the one before it ends."""
    begun = 0.0
    for file in files:
        if begun >= end + LATE:
            return
        yield file
        begun = file.ended.timestamp()
