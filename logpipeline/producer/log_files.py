"""Log files: the files of one log that are being read, and those that have been, in order."""

import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from logpipeline.events.joining import Joiner
from logpipeline.events.lines import Lines
from logpipeline.producer.descriptors import Descriptors
from logpipeline.producer.family import Family
from logpipeline.producer.file_position import (
    HEAD,
    FilePosition,
    UnfinishedError,
    end_of,
    opened,
)
from logpipeline.producer.open_file import OpenFile
from logpipeline.producer.registry import Registry, State, quoted, unquoted
from logpipeline.producer.unread import Candidate, Unread
from logpipeline.rotation import is_earlier

log = logging.getLogger(__name__)

GRACE = 5.0  # seconds without growth after which a rotated file, whose successor grows, is closed
RETRY = 1.0  # seconds until a file is looked at again that was not packed to its end


class LogFiles:
    """The files of the log `path`: `being_read`, oldest first, of which the last one is `path`, if
    it is open, and the positions of those that were read.

    `lines` convert them, joined by a Joiner with `multiline`.
    """

    def __init__(
        self,
        path: Path,
        lines: Lines,
        multiline: str,
        registry: Registry,
        descriptors: Descriptors,
    ) -> None:
        self.path = path
        self.being_read: list[OpenFile] = []
        self.retry_at = 0.0  # when to look again, if not 0
        self.nuls = 0  # of those that were closed
        self.others: tuple[int, int] | None = None  # the inode at `path`, of another log's file
        self._seen: list[FilePosition] = []
        self._inodes: set[tuple[int, int]] = set()
        self._lines, self._multiline = lines, multiline
        self._registry, self._descriptors = registry, descriptors
        self._family = Family(path, [], registry.listing)

    def state(self) -> State:
        """To be saved: the positions that Kafka has acknowledged. Raises OSError."""
        places = [file.position() for file in self.being_read]
        names = [quoted(name) for name in self._family.names]
        return State(places, self._seen, quoted(self.path), names)

    def begin(self) -> None:
        """For the first time: rotated files that are there are not read. Raises OSError."""
        self._seen = [end_of(other) for other in self._family.rotated() if self._is_ours(other)]
        for each in self._seen:
            each.older = True

    def resume(self, state: State) -> None:
        """Open the files that were being read. Raises OSError."""
        for name in state.names:
            self._family.add(unquoted(name))
        self._seen = state.seen
        # Of a truncated file and its copy, which are one file now, use the lower offset.
        for position in sorted(state.places, key=lambda position: position.offset):
            self._reopen(position)
        self._index()

    def changed(self) -> list[int]:
        """When their folders changed."""
        return self._family.changed()

    def has(self, state: os.stat_result) -> bool:
        """Whether the file of `state` is being read, whatever its name."""
        return any(file.is_from(state) for file in self.being_read)

    def knows(self, path: Path, state: os.stat_result) -> bool:
        """Whether the file at `path` is being read, or has been. Raises OSError."""
        if (state.st_dev, state.st_ino) not in self._inodes:
            return False
        return self.has(state) or any(each.is_known(path, state) for each in self._seen)

    def rearrange(self, truncated: OpenFile | None, state: os.stat_result | None) -> None:
        """Open new files: `path` itself, whose `state` is given, if it is new, the rotated files
        beside it, and a `truncated` file again, after its copy."""
        self._family.look()
        for file in self.being_read[:]:
            if not file.is_there:
                self._find_again(file)
        for file in self.being_read:
            if not (file.origin or file.finished or (state and file.is_from(state))):
                file.where()
                self._learn(file)
        copy = None
        if truncated:
            log.info("%s was truncated: reading it from its beginning", self.path)
            copy = self._copy(truncated.place(), truncated)
        self.being_read += self._unread(truncated, {_inode(state), copy.inode if copy else None})
        new = []
        self.others = _inode(state) if state and not self._is_ours(self.path) else None
        if state and self.others is None and not self.has(state):
            new += self._itself(state)
        if truncated:
            if copy:
                new.append(copy)
                truncated.leave()
            truncated.finished = True
            new.append(truncated.from_beginning(self._lines, Joiner(self._multiline)))
        self.being_read = sorted([*self.being_read, *new], key=lambda file: file.written)
        if state:  # the log itself is the last
            self.being_read.sort(key=lambda file: file.is_from(state) and not file.finished)
        self._index()

    def unpack(self, file: OpenFile) -> None:
        """Open a file again that was empty, and has become a packed one. Raises OSError."""
        if time.monotonic() < self.retry_at:
            return
        self.retry_at = time.monotonic() + RETRY
        with suppress(UnfinishedError):
            self.being_read[self.being_read.index(file)] = self._open(file.path or self.path)
            self._close(file)
            self._index()

    def give_up(self, file: OpenFile) -> None:
        """Read on in a copy of a file that was closed and cannot be found. Raises OSError."""
        if file.conversion.is_acknowledged:
            self.being_read.remove(file)
            self._close(file)
            self._reopen(file.place())
            self._index()

    def _find_again(self, file: OpenFile) -> None:
        try:
            file.open()
        except FileNotFoundError:
            self.give_up(file)

    def close_finished(self) -> None:
        """Close rotated files that no longer grow and that Kafka has completely."""
        for file in self.being_read[:-1]:
            if self.being_read[-1].read_to and time.monotonic() - file.grew > GRACE:
                file.finished = file.finished or file.is_at_end
            if file.is_done():
                self._seen.append(file.origin or file.position())
                self.being_read.remove(file)
                self.nuls += file.conversion.nuls
                self._close(file)
                self._index()

    def close(self) -> None:
        for file in self.being_read:
            self._close(file)

    def _reopen(self, position: FilePosition) -> None:
        """The file of a saved position: itself, or else a copy of it, or else what was made of it.
        Raises OSError."""
        path = self._family.find(position)
        if path and self.has(path.stat()):
            return
        file = self._open(path, position.offset) if path else self._copy(position, None)
        if file is None and position.offset >= HEAD:
            file = self._copy(position, None, wide=True) or self._rewritten(position)
        if file:
            self.being_read.append(file)
            self._learn(file)
        else:
            self._missing()

    def _rewritten(self, position: FilePosition) -> OpenFile | None:
        """The log itself, in a new file that begins with the old one's lines, as rsync makes it."""
        with suppress(FileNotFoundError):
            file = self._open(self.path, position.offset)
            if file.has(position):
                return file
            self._close(file)
        return None

    def _missing(self) -> None:
        log.warning(
            "%s: an earlier file is missing: lines may be lost, or come again if it was changed",
            self.path,
        )

    def _itself(self, state: os.stat_result) -> list[OpenFile]:
        """The file at `path`, which is new or was read before. Raises OSError."""
        known = next((each for each in self._seen if each.is_known(self.path, state)), None)
        try:
            file = self._open(self.path, known.offset if known else 0)
        except UnfinishedError:
            self.retry_at = time.monotonic() + RETRY
            return []
        if known:
            self._seen.remove(known)
        return [file]

    def _unread(
        self, truncated: OpenFile | None, besides: set[tuple[int, int] | None]
    ) -> list[OpenFile]:
        """The rotated files that were not read, oldest first, without the inodes `besides`."""
        found = self._search(truncated)
        self._seen = found.seen
        new = []
        for each in found.candidates:
            if each.inode in besides:
                each.file.close()
            else:
                new.append(self._taken(each))
        return new

    def _copy(
        self, position: FilePosition, truncated: OpenFile | None, wide: bool = False
    ) -> OpenFile | None:
        """The rest of a file that was copied: in the newest rotated file that begins like it.

        Raises OSError.
        """
        copy = None
        found = self._search(truncated, wide).candidates if position.head else []
        for each in reversed(found):
            if copy is None and position.is_in(each.file):
                copy = self._taken(each._replace(offset=position.offset))
            else:
                each.file.close()
        return copy

    def _search(self, truncated: OpenFile | None, wide: bool = False) -> Unread:
        """The rotated files that were not read. Raises OSError."""
        reading = [file for file in self.being_read if file is not truncated]
        rotated = self._family.rotated(wide)
        found = Unread(rotated, self._seen, reading, lambda path: not self._is_ours(path))
        if found.has_unfinished:
            self.retry_at = time.monotonic() + RETRY
        return found

    def _is_ours(self, path: Path) -> bool:
        """Whether the file at `path` belongs to no other log. Raises OSError."""
        return not self._registry.is_others(path, path.stat(), self.path)

    def _learn(self, file: OpenFile) -> None:
        """Learn a folder that rotation puts files into. What is older there was read before, or is
        older than the log."""
        path = file.path
        if path is None or path.parent in {name.parent for name in self._family.names}:
            return
        name = next((n for n in self._family.names if is_earlier(path.name, n.name)), None)
        if name is None:
            return
        self._family.add(path.with_name(name.name))
        for other in self._family.rotated():
            older = other.stat().st_mtime_ns < file.written
            if older and other.parent == path.parent and not self.has(other.stat()):
                position = end_of(other)
                position.older = True
                self._seen.append(position)

    def _open(self, path: Path, offset: int = 0) -> OpenFile:
        """Raises OSError."""
        file, packed = opened(path)
        return self._taken(Candidate(path, file, offset, end_of(path) if packed else None))

    def _taken(self, found: Candidate) -> OpenFile:
        joiner = Joiner(self._multiline)
        file = OpenFile(found.file, self._lines, joiner, found.offset, found.origin)
        if found.origin is None:
            file.path, file.find = found.path, self._family.find
            file.on_use = self._descriptors.use
            self._descriptors.use(file)
        return file

    def _close(self, file: OpenFile) -> None:
        self._descriptors.forget(file)
        file.close()

    def _index(self) -> None:
        """Let the registry find its files fast."""
        self._inodes = {file.inode for file in self.being_read}
        self._inodes |= {(each.device, each.inode) for each in self._seen}


def _inode(state: os.stat_result | None) -> tuple[int, int] | None:
    return (state.st_dev, state.st_ino) if state else None
