"""Registry: what the logs of a STATE_DIR have read, so that each file is known by itself."""

import hashlib
import os
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec

from logpipeline.files import read_file
from logpipeline.producer.file_position import FilePosition

NAME = 200  # bytes of a log's name in its position file's name, which may have 255
STATE_NAME = re.compile(r"(.+)-[0-9a-f]{16}\.json", re.DOTALL)
SETTLED = 0.1  # seconds after which a folder's time tells its next change


class State(msgspec.Struct):
    """The saved state of the log `path`: the positions of the files being read, oldest first, the
    rotated files that are finished, and the `names` whose rotated files are its own. Paths are
    quoted as in a URL: they may have any bytes."""

    places: list[FilePosition] = []
    seen: list[FilePosition] = []
    path: str = ""
    names: list[str] = []

    def knows(self, path: Path, state: os.stat_result) -> bool:
        """Whether the file at `path` is one of these. Raises OSError."""
        return any(each.is_known(path, state) for each in (*self.places, *self.seen))


class Log(Protocol):
    """A log that is being followed."""

    path: Path

    def knows(self, path: Path, state: os.stat_result) -> bool: ...


class Registry:
    """The logs that are followed, and those that were. `topic` is part of a log's identity."""

    def __init__(self, folder: Path, topic: str) -> None:
        self.paths: set[Path] = set()  # of the logs that are followed, or will be
        self._folder, self._topic = folder, topic
        self._followed: dict[Path, Log] = {}
        self._kept: dict[Path, State] = {}
        self._unnamed: list[tuple[Path, State]] = []  # of earlier versions
        self._listings: dict[Path, tuple[int, list[str]]] = {}
        for file in sorted(folder.glob("*.json")):
            with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                self._keep(file, msgspec.json.decode(read_file(file), type=State))

    def file_of(self, path: Path) -> Path:
        """Where the log at `path` keeps its state."""
        of = hashlib.sha256(f"{self._topic}\n{path}".encode("utf-8", "surrogateescape"))
        name = os.fsencode(path.name[:100])[:NAME]
        return self._folder / f"{os.fsdecode(name)}-{of.hexdigest()[:16]}.json"

    def name(self, folders: Iterable[Path]) -> None:
        """Learn whose the states of earlier versions are, which may be of logs in `folders`."""
        for file, state in self._unnamed:
            found = STATE_NAME.fullmatch(file.name)
            for path in (folder / found[1] for folder in folders if found):
                if self.file_of(path) == file:
                    self._kept[path] = state

    def has(self, path: Path) -> bool:
        """Whether the log at `path` is followed, or was."""
        return path in self._followed or path in self._kept

    def follow(self, log: Log) -> None:
        self._followed[log.path] = log
        self.paths.add(log.path)
        self._kept.pop(log.path, None)

    def owner(self, path: Path, state: os.stat_result) -> Path | None:
        """The log that has read the file at `path`, or is reading it. Raises OSError."""
        for log in self._followed.values():
            if log.knows(path, state):
                return log.path
        for name, kept in self._kept.items():
            if kept.knows(path, state):
                return name
        return None

    def is_others(self, path: Path, state: os.stat_result, log: Path) -> bool:
        """Whether the file at `path` belongs to another log than `log`. Raises OSError."""
        owner = self.owner(path, state)
        if owner is None:
            return path != log and path in self.paths
        return owner != log

    def listing(self, folder: Path) -> list[str]:
        """The names in a folder. Raises OSError."""
        changed = folder.stat().st_mtime_ns
        known, names = self._listings.get(folder, (0, []))
        if known != changed:
            names = os.listdir(folder)  # noqa: PTH208 - Path objects are slow
            settled = time.time_ns() - changed > SETTLED * 1e9
            self._listings[folder] = (changed if settled else 0), names
        return names

    def _keep(self, file: Path, state: State) -> None:
        path = unquoted(state.path)
        if not state.path:
            self._unnamed.append((file, state))
        elif self.file_of(path) == file:
            self._kept[path] = state


def quoted(path: Path) -> str:
    return quote_from_bytes(os.fsencode(path))


def unquoted(text: str) -> Path:
    return Path(os.fsdecode(unquote_to_bytes(text)))
