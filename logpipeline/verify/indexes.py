"""Audit of the indexes: whether each says of its rotated file what another reading of it says.

A wrong index would hide events from a search. One that is missing or cannot be used costs time.
"""

from pathlib import Path

from logpipeline.archive.index import BadIndex, Index, index_path
from logpipeline.archive.indexing import made_of
from logpipeline.archive.rotated import RotatedFile, rotated
from logpipeline.verify.findings import Findings


def audit_indexes(log_file: Path, findings: Findings) -> None:
    """Raises OSError."""
    unusable = []
    for file in rotated(log_file):
        try:
            index = Index.load(index_path(file), file.path())
        except FileNotFoundError:
            continue
        except BadIndex:
            unusable.append(index_path(file).name)
        else:
            if not _is_whole(index):
                unusable.append(index_path(file).name)
            elif not _agrees(file, index):
                findings.add("index differs from its file", index_path(file).name)
    if unusable:
        findings.notes.append(
            f"{len(unusable):,} indexes cannot be used, such as {unusable[0]}: run find.py --index"
        )


def _is_whole(index: Index) -> bool:
    return None not in index.bitmaps([block for block in index.blocks if block.bits])


def _agrees(file: RotatedFile, index: Index) -> bool:
    try:
        return made_of(file, any(block.bits for block in index.blocks))[0] == index.table
    except OSError:
        return True  # the file cannot be unpacked, which the audit of logs.txt reports
