"""Indexes: makes those that rotated files lack, or that cannot be used."""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tqdm import tqdm

from logpipeline import orphans
from logpipeline.archive.index import load_index
from logpipeline.archive.indexing import index
from logpipeline.archive.rotated import RotatedFile, rotated
from logpipeline.terminal import printable

DONE, FAILED = 0, 2


def make(log_file: Path) -> int:
    """Returns the exit status. Raises OSError."""
    files = rotated(log_file)
    missing = [file for file in files if not is_indexed(file)]
    failed = 0
    forks = multiprocessing.get_context("fork")
    processes, arguments = _processes(missing), (os.getpid(),)
    with ProcessPoolExecutor(processes, forks, orphans.end_with_parent, arguments) as pool:
        results = pool.map(_index, missing)
        for problem in tqdm(results, total=len(missing), unit=" files", leave=False, disable=None):
            if problem:
                failed += 1
                print(f"find.py: {printable(problem)}", file=sys.stderr)
    print(f"{len(missing) - failed} files indexed, {len(files) - len(missing)} already were")
    return FAILED if failed else DONE


def is_indexed(file: RotatedFile) -> bool:
    """Whether it has an index, and all of that can be used."""
    known = load_index(file)
    if known is None:
        return False
    filtered = [block for block in known.blocks if block.bits]
    return None not in known.bitmaps(filtered)


def _index(file: RotatedFile) -> str:
    """The reason why it could not be indexed, "" if it was."""
    try:
        index(file)
    except FileNotFoundError:
        return ""  # deleted meanwhile
    except OSError as error:
        return f"cannot index {file.plain.name}: {error}"
    return ""


def _processes(missing: list[RotatedFile]) -> int:
    return max(1, min(len(missing), os.cpu_count() or 1))
