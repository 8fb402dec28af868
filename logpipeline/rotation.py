"""Rotation: the names that rotation gives to a log's earlier files."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

# app.log.1, app.log-20240323, app.log.2024-03-23_22.gz
ROTATED = re.compile(r"[.-]\d[\d._T:-]*(\.gz)?", re.ASCII)
PACKED = r"(\.(gz|xz|bz2|zst|zstd|lzma|Z))?"
AFTER = re.compile(rf"[.-]\d[\d._T:-]*Z?{PACKED}", re.ASCII)  # the same, packed by any tool
# app.1.log, app-2024-03-23T22-56-07.890.log.gz, but not app-1.log: at least six digits are a time
INSIDE = re.compile(
    rf"(\.\d{{1,3}}|[._-](?=(\D*\d){{6}})\d[\d._T:-]*Z?)(?P<rest>\.[a-zA-Z]\w*){PACKED}", re.ASCII
)
BEGINNING = re.compile(r"[._-](?=\d)", re.ASCII)
MOST_LINKS = 40  # as the kernel has it


def is_rotated(other: Path, path: Path) -> bool:
    """Whether `other` is named as rotation names an earlier file of the log `path`."""
    return (
        other.name.startswith(path.name)
        and ROTATED.fullmatch(other.name, len(path.name)) is not None
        and other.parent == path.parent
        and other.is_file()
    )


def logs_of(name: str) -> Iterator[str]:
    """The names of the logs that rotation may have given the `name`."""
    for found in BEGINNING.finditer(name):
        at = found.start()
        if AFTER.fullmatch(name, at):
            yield name[:at]
        if inside := INSIDE.fullmatch(name, at):
            yield name[:at] + inside["rest"]


def is_earlier(name: str, log: str) -> bool:
    """The same as is_rotated, of names alone; a number or a time may stand inside the name too."""
    return name.startswith(Path(log).stem) and log in logs_of(name)


def links(path: Path) -> list[Path]:
    """The path, and those that it leads to if it is a symbolic link."""
    found = [path]
    while len(found) < MOST_LINKS and found[-1].is_symlink():
        target = os.path.normpath(found[-1].parent / found[-1].readlink())
        found.append(Path(target))
    real = Path(os.path.realpath(path))
    return found if real in found else [*found, real]
