"""Family: the files that rotation makes of one log, in every folder where it leaves them."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from logpipeline.producer.file_position import FilePosition
from logpipeline.rotation import is_earlier, links

MOST_NAMES = 16  # whose rotated files are looked for
MOST_FOLDERS = 1_000  # that are searched for a missing file

Listing = Callable[[Path], list[str]]  # the names in a folder; raises OSError


class Family:
    """The names of the log `path`, and where its rotated files are: beside each name.

    A symbolic link's targets, former ones too, are names, and a file of logrotate's olddir is
    found by its inode once: from then on that folder is known.
    """

    def __init__(self, path: Path, names: list[Path], listing: Listing) -> None:
        self._path = path
        self._listing = listing
        self.names = names
        self.look()

    def look(self) -> None:
        """Learn where the path's symbolic links lead now. Raises OSError."""
        for name in links(self._path) if self._path.is_symlink() else [self._path]:
            self.add(name)

    def add(self, name: Path) -> None:
        if name not in self.names:
            self.names = [*self.names, name][-MOST_NAMES:]

    def changed(self) -> list[int]:
        """When their folders changed."""
        return [_changed(folder) for folder in self._folders()]

    def rotated(self, wide: bool = False) -> list[Path]:
        """The files beside the names that rotation made, oldest first; `wide` searches the folders
        beside and below too, as olddir may be there. Raises OSError."""
        found: dict[Path, int] = {}
        for name, folder in self._places(wide):
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                beginning = name.stem  # few of a folder's thousands begin so
                for other in [each for each in self._listing(folder) if each.startswith(beginning)]:
                    if is_earlier(other, name.name):
                        self._note(folder / other, found)
            for other_name in self.names:
                if other_name.parent == folder:
                    self._note(other_name, found)
        found.pop(self._path, None)
        return sorted(found, key=lambda path: found[path])

    def find(self, position: FilePosition) -> Path | None:
        """The file of `position`, whatever its name is. Raises OSError."""
        for wide in (False, True):
            for folder in dict.fromkeys(folder for _, folder in self._places(wide)):
                for path in _with_inode(folder, position.inode):
                    with suppress(FileNotFoundError):
                        if path.is_file() and position.is_of(path):
                            return path
        return None

    def _places(self, wide: bool) -> Iterator[tuple[Path, Path]]:
        """Each name with a folder that may have its rotated files."""
        for name in self.names:
            yield name, name.parent
            if wide:
                yield from ((name, folder) for folder in _nearby(name.parent))

    def _folders(self) -> list[Path]:
        return list(dict.fromkeys(name.parent for name in self.names))

    def _note(self, path: Path, found: dict[Path, int]) -> None:
        with suppress(OSError):
            state = path.stat()
            if path.is_file():
                found[path] = state.st_mtime_ns


def _nearby(folder: Path) -> list[Path]:
    """The folders in it, and those beside it."""
    found = []
    for above in (folder, folder.parent):
        with suppress(OSError), os.scandir(above) as entries:
            found += [Path(each) for each in entries if each.is_dir(follow_symlinks=False)]
        if len(found) > MOST_FOLDERS:
            break
    return found[:MOST_FOLDERS]


def _with_inode(folder: Path, inode: int) -> list[Path]:
    with suppress(OSError), os.scandir(folder) as entries:
        return [folder / each.name for each in entries if each.inode() == inode]
    return []


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0
