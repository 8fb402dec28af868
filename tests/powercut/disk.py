"""Disk: what a file system may show after a power cut, by what was done and what was synced.

POSIX promises little: what was synced is there. Of what was not, any part may be: blocks of a file
in any mixture of their versions, or zeros; sizes; and names of a folder in any mixture of what was
created, renamed and removed. Only two things are taken for granted, as by every database: a block
of 512 bytes is old or new, and a rename happens or does not.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath

from tests.powercut.recorder import (
    Acknowledged,
    Create,
    Operation,
    Rename,
    Resize,
    Sync,
    SyncFolder,
    Unlink,
    Write,
)

PAGE = 4_096
SECTORS = (512, PAGE)
KINDS = ("old", "new", "zeros", "torn by 512", "torn by 4096")
State = dict[str, tuple[int, bytes]]  # name → inode, contents
Change = Create | Rename | Unlink


@dataclass
class FileOnDisk:
    """The versions since the last sync, oldest first. `doubtful` are pages that a failed sync may
    have lost: page → what may be there."""

    versions: list[bytes] = field(default_factory=lambda: [b""])
    doubtful: dict[int, list[bytes]] = field(default_factory=dict)
    dirty: set[int] = field(default_factory=set)

    def write(self, at: int, data: bytes) -> None:
        now = self.versions[-1].ljust(at, b"\0")
        self.versions.append(now[:at] + data + now[at + len(data) :])
        self.dirty |= set(range(at // PAGE, -(-(at + len(data)) // PAGE)))

    def resize(self, size: int) -> None:
        now = self.versions[-1]
        self.versions.append(now[:size].ljust(size, b"\0"))
        self.dirty |= {size // PAGE}

    def sync(self, failed: bool) -> None:
        if failed:
            for page in self.dirty:
                span = slice(page * PAGE, (page + 1) * PAGE)
                self.doubtful.setdefault(page, []).extend(each[span] for each in self.versions)
        else:
            for page in self.dirty:
                self.doubtful.pop(page, None)
        if not failed:
            del self.versions[:-1]
        self.dirty.clear()

    def certain(self) -> bool:
        return len(self.versions) == 1 and not self.doubtful

    def after(self, kind: str, dice: random.Random) -> bytes:
        """Its contents after a power cut."""
        old, new = self.versions[0], self.versions[-1]
        if kind == "zeros":
            found = old.ljust(len(new), b"\0")
        elif kind.startswith("torn"):
            found = self._torn(int(kind.rpartition(" ")[2]), dice)
        else:
            found = old if kind == "old" else new
        for page, versions in self.doubtful.items():
            if page in self.dirty and kind == "new":
                continue
            begin = page * PAGE
            version = dice.choice(versions)[: max(0, len(found) - begin)]
            found = found[:begin] + version + found[begin + len(version) :]
        return found

    def _torn(self, block: int, dice: random.Random) -> bytes:
        """A mixture of blocks; each is of one version, or zeros where the first one had ended."""
        size = len(dice.choice(self.versions))
        found = b""
        for begin in range(0, size, block):
            version = dice.choice(self.versions)[begin : begin + block]
            found += version.ljust(min(block, size - begin), b"\0")[: size - begin]
        return found


@dataclass
class Names:
    """Of one folder: the synced ones, and the changes since."""

    synced: dict[str, int] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    def after(self, chosen: list[Change]) -> dict[str, int]:
        """With these changes, in order."""
        found = dict(self.synced)
        for change in self.changes:
            if isinstance(change, Create):
                created = change  # a rename of what has no name on disk yet gives it one
                pending = {created.name: created.inode}
                found |= pending if change in chosen else {}
            elif change in chosen and isinstance(change, Unlink):
                found.pop(change.name, None)
            elif change in chosen and isinstance(change, Rename):
                found[change.to] = self._inode(change)
                found.pop(change.name, None)
        return found

    def _inode(self, rename: Rename) -> int:
        """Of the file that was renamed."""
        now = dict(self.synced)
        for change in self.changes:
            if change is rename:
                return now[rename.name]
            if isinstance(change, Create):
                now[change.name] = change.inode
            elif isinstance(change, Unlink):
                now.pop(change.name, None)
            else:
                now[change.to] = now.pop(change.name)
        raise AssertionError(rename)


class Disk:
    """Files and names, as of the operations that were applied. `acknowledged`: partition → next
    offset."""

    def __init__(self, state: State | None = None) -> None:
        self.files: dict[int, FileOnDisk] = {}
        self.folders: dict[str, Names] = {}
        self.acknowledged: dict[int, int] = {}
        for name, (inode, data) in (state or {}).items():
            self.files[inode] = FileOnDisk([data])
            self._folder(name).synced[name] = inode

    def apply(self, done: Operation) -> None:
        if isinstance(done, Acknowledged):
            self.acknowledged = done.next
        elif isinstance(done, Write):
            self.files[done.inode].write(done.at, done.data)
        elif isinstance(done, Resize):
            self.files[done.inode].resize(done.size)
        elif isinstance(done, Sync):
            self.files[done.inode].sync(done.failed)
        elif isinstance(done, SyncFolder):
            names = self.folders.setdefault(done.name, Names())
            names.synced = names.after(names.changes)
            names.changes = []
        else:
            if isinstance(done, Create):
                self.files[done.inode] = FileOnDisk()
            self._folder(done.name).changes.append(done)

    def states(self, dice: random.Random, more: int) -> Iterator[State]:
        """The plain ones, and so many more by the dice."""
        for kind in KINDS:
            yield self._state(dice, kind, [])
            yield self._state(dice, kind, None)
        for _ in range(more):
            changes = [c for names in self.folders.values() for c in names.changes]
            yield self._state(dice, None, [c for c in changes if dice.random() < 0.5])

    def _state(self, dice: random.Random, kind: str | None, chosen: list[Change] | None) -> State:
        """`kind` None: another one for each file; `chosen` None: all changes."""
        found = {}
        for names in self.folders.values():
            for name, inode in names.after(names.changes if chosen is None else chosen).items():
                found[name] = inode
        contents: dict[int, bytes] = {}
        for inode in found.values():
            contents[inode] = self.files[inode].after(kind or dice.choice(KINDS), dice)
        return {name: (inode, contents[inode]) for name, inode in found.items()}

    def _folder(self, name: str) -> Names:
        return self.folders.setdefault(str(PurePath(name).parent), Names())
