"""Rotation: the names that rotation gives to a log's earlier files."""

import re
from pathlib import Path

# app.log.1, app.log-20240323, app.log.2024-03-23_22.gz
ROTATED = re.compile(r"[.-]\d[\d._T:-]*(\.gz)?", re.ASCII)


def rotated(path: Path) -> list[Path]:
    """The rotated files of the log `path`, oldest first."""
    others = [other for other in path.parent.iterdir() if is_rotated(other, path)]
    return sorted(others, key=lambda other: other.stat().st_mtime_ns)


def is_rotated(other: Path, path: Path) -> bool:
    """Whether `other` is named as rotation names an earlier file of the log `path`."""
    return (
        other.name.startswith(path.name)
        and ROTATED.fullmatch(other.name, len(path.name)) is not None
        and other.parent == path.parent
        and other.is_file()
    )
