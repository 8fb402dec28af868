"""Tail: one log that is being written, followed like `tail -F`.

A file that was renamed, copied and truncated, packed, or removed is first read to its end, also
when that happened while no producer was running.
"""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

from logpipeline.events.joining import Joiner
from logpipeline.events.lines import Lines
from logpipeline.files import read_file, remove_drafts, replace_file
from logpipeline.producer.claims import Claims
from logpipeline.producer.contents import NotTextError
from logpipeline.producer.descriptors import Descriptors
from logpipeline.producer.family import Family
from logpipeline.producer.file_position import (
    HEAD,
    FilePosition,
    UnfinishedError,
    end_of,
    opened,
)
from logpipeline.producer.open_file import OpenFile, PackedError
from logpipeline.producer.registry import Registry, State, quoted, unquoted
from logpipeline.producer.unread import Candidate, Unread
from logpipeline.rotation import is_earlier

log = logging.getLogger(__name__)

GRACE = 5.0  # seconds without growth after which a rotated file, whose successor grows, is closed
AGAIN = 5.0  # seconds between looks for growth of rotated files that were closed
RETRY = 1.0  # seconds until a file is looked at again that was not packed to its end


class TailError(Exception):
    """The log cannot be followed; str() is one line with the reason and the remedy."""


class Tail:
    """Follows the log `path` from the position saved in the file `state`, or from its beginning.

    A rotated file is read unless it is known: because it is being read, has been read, existed
    before the log was followed, or belongs to another log of the `registry`. `multiline` is the
    Joiner's; a last line without newline is sent after `unfinished` seconds. Raises TailError,
    OSError.
    """

    def __init__(
        self,
        path: Path,
        state: Path,
        lines: Lines,
        registry: Registry | None = None,
        *,
        claims: Claims | None = None,
        descriptors: Descriptors | None = None,
        multiline: str = "off",
        unfinished: float | None = 10.0,
    ) -> None:
        self.path = path
        self.lines = lines
        self.complete = True  # False once a file was refused
        self._files: list[OpenFile] = []  # oldest first; the last one is `path`, if it is open
        self._seen: list[FilePosition] = []
        self._inodes: set[tuple[int, int]] = set()
        self._listed: list[int] = []  # when the folders changed, at the last look at them
        self._again = 0.0  # when to look again
        self._others: tuple[int, int] | None = None  # the inode at `path` of another log's file
        self._nuls = 0
        self._state = state
        self._saved = b""
        self._registry = registry or Registry(state.parent, "")
        self._descriptors = descriptors or Descriptors.as_many_as_possible()
        self._multiline, self._unfinished = multiline, unfinished
        self._closing = ExitStack()
        if claims is None:
            claims = Claims(state.parent)
            self._closing.callback(claims.close)
        try:
            if not claims.take(path):
                raise TailError(f"{path}: another producer follows this file ({state})")
            remove_drafts(state.parent, lambda name: name == state.name)
            self._resume()
        except (TailError, OSError):
            self.close()
            raise

    def read(self) -> Iterator[tuple[bytes, OpenFile]]:
        """Some of the new events, in order, each with its file, which takes acknowledgements.

        Raises OSError.
        """
        self._check()
        for file in self._files[:]:
            some = False
            for value in self._read(file):
                some = True
                yield value, file
            if some or (file.conversion.is_joining and file is not self._files[-1]):
                return

    def save(self) -> None:
        """Save the positions that Kafka has acknowledged. Raises OSError."""
        places = [file.position() for file in self._files]
        names = [quoted(name) for name in self._family.names]
        state = msgspec.json.encode(State(places, self._seen, quoted(self.path), names))
        if state == self._saved:
            return
        replace_file(self._state, state)
        self._saved = state

    def knows(self, path: Path, state: os.stat_result) -> bool:
        """Whether the file at `path` is being read, or has been. Raises OSError."""
        if (state.st_dev, state.st_ino) not in self._inodes:
            return False
        return self.has(state) or any(each.is_known(path, state) for each in self._seen)

    def has(self, state: os.stat_result) -> bool:
        """Whether the file of `state` is being read, whatever its name."""
        return any(file.is_from(state) for file in self._files)

    def look_again(self) -> None:
        """Look for growth of files that were closed, at once."""
        self._again = 0.0

    @property
    def nuls(self) -> int:
        """NULs before lines that were dropped."""
        return self._nuls + sum(file.conversion.nuls for file in self._files)

    def close(self) -> None:
        for file in self._files:
            self._descriptors.forget(file)
            file.close()
        self._closing.close()

    def _read(self, file: OpenFile) -> Iterator[bytes]:
        """Events of a file: of its next chunk, or those that need not wait any longer."""
        try:
            some = False
            while not some and (data := file.chunk()):
                self._descriptors.use(file)
                for value in file.conversion.events(data):
                    some = True
                    yield value
            if not some and file.finished:
                yield from file.conversion.last_events()
            elif not some:
                yield from file.conversion.late_events(self._is_late(file))
        except NotTextError as error:
            log.error("%s is refused: it must be text, and is %s", file.path or self.path, error)
            self.complete = False
        except PackedError:
            self._unpack(file)
        except FileNotFoundError:
            self._files.remove(file)
            self._missing()

    def _is_late(self, file: OpenFile) -> bool:
        """Whether the writer of an unfinished line seems to be gone."""
        quiet = time.monotonic() - file.grew
        return self._unfinished is not None and quiet > self._unfinished

    def _resume(self) -> None:
        """Open the files that were being read."""
        state = self._load()
        names = [] if state is None else [unquoted(name) for name in state.names]
        self._family = Family(self.path, names, self._registry.listing)
        self._registry.follow(self)
        if state is None:
            self._seen = [end_of(other) for other in self._family.rotated() if self._mine(other)]
            for each in self._seen:
                each.older = True
            return
        self._seen = state.seen
        # Of a truncated file and its copy, which are one file now, use the lower offset.
        for position in sorted(state.places, key=lambda position: position.offset):
            self._reopen(position)
        self._index()

    def _load(self) -> State | None:
        """Raises TailError, OSError."""
        try:
            self._saved = read_file(self._state)
            return msgspec.json.decode(self._saved, type=State)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise TailError(
                f"{self._state} is not a valid position ({error}): delete it to read {self.path} "
                "from its beginning"
            ) from None

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
            self._files.append(file)
            self._learn(file)
        else:
            self._missing()

    def _rewritten(self, position: FilePosition) -> OpenFile | None:
        """The log itself, in a new file that begins with the old one's lines, as rsync makes it."""
        with suppress(FileNotFoundError):
            file = self._open(self.path, position.offset)
            if file.has(position):
                return file
            file.close()
        return None

    def _missing(self) -> None:
        log.warning(
            "%s: an earlier file is missing: lines may be lost, or come again if it was changed",
            self.path,
        )

    def _check(self) -> None:
        """Detect rotation and truncation, and close the files that are finished."""
        with suppress(FileNotFoundError):  # rotation is in progress: the next check sees its result
            changed, now = self._family.changed(), time.monotonic()
            state = _state(self.path)
            truncated = next((file for file in self._files if self._truncated(file, state)), None)
            new = state is not None and not self.has(state) and self._others != _inode(state)
            if truncated or new or changed != self._listed or now > self._again:
                self._again = now + AGAIN
                self._rearrange(truncated, state)
                self._listed = changed
                self.save()  # from here on the file is found under any name
        self._close_finished()

    def _truncated(self, file: OpenFile, state: os.stat_result | None) -> bool:
        return file.was_truncated(state if state and file.is_from(state) else None)

    def _rearrange(self, truncated: OpenFile | None, state: os.stat_result | None) -> None:
        """Open new files: `path` itself, whose `state` is given, if it is new, the rotated files
        beside it, and a `truncated` file again, after its copy."""
        self._family.look()
        for file in self._files:
            if not (file.origin or file.finished or (state and file.is_from(state))):
                file.where()
                self._learn(file)
        copy = None
        if truncated:
            log.info("%s was truncated: reading it from its beginning", self.path)
            copy = self._copy(truncated.place(), truncated)
        new = self._unread(truncated, {_inode(state), copy.inode if copy else None})
        self._others = _inode(state) if state and not self._mine(self.path) else None
        if state and self._others is None and not self.has(state):
            new += self._itself(state)
        if truncated:
            if copy:
                new.append(copy)
                truncated.leave()
            truncated.finished = True
            new.append(truncated.from_beginning(self.lines, Joiner(self._multiline)))
        self._files = sorted([*self._files, *new], key=lambda file: file.written)
        if state:  # the log itself is the last
            self._files.sort(key=lambda file: file.is_from(state) and not file.finished)
        self._index()

    def _unread(
        self, truncated: OpenFile | None, besides: set[tuple[int, int] | None]
    ) -> list[OpenFile]:
        """The rotated files that were not read, oldest first, without the inodes `besides`."""
        new = []
        for each in self._search(truncated):
            if each.inode in besides:
                each.file.close()
            else:
                new.append(self._taken(each))
        return new

    def _itself(self, state: os.stat_result) -> list[OpenFile]:
        """The file at `path`, which is new or was read before. Raises OSError."""
        known = next((each for each in self._seen if each.is_known(self.path, state)), None)
        try:
            file = self._open(self.path, known.offset if known else 0)
        except UnfinishedError:
            self._again = time.monotonic() + RETRY
            return []
        if known:
            self._seen.remove(known)
        return [file]

    def _copy(
        self, position: FilePosition, truncated: OpenFile | None, wide: bool = False
    ) -> OpenFile | None:
        """The rest of a file that was copied: in the newest rotated file that begins like it.

        Raises OSError.
        """
        copy = None
        for each in reversed(self._search(truncated, wide) if position.head else []):
            if copy is None and position.is_in(each.file):
                copy = self._taken(each._replace(offset=position.offset))
            else:
                each.file.close()
        return copy

    def _search(self, truncated: OpenFile | None, wide: bool = False) -> list[Candidate]:
        """The rotated files that were not read. Raises OSError."""
        reading = [file for file in self._files if file is not truncated]
        found = Unread(
            self._family.rotated(wide), self._seen, reading, lambda path: not self._mine(path)
        )
        if not wide:
            self._seen = found.seen
        if found.has_unfinished:
            self._again = min(self._again, time.monotonic() + RETRY)
        return found.candidates

    def _mine(self, path: Path) -> bool:
        """Whether the file at `path` belongs to no other log. Raises OSError."""
        return not self._registry.is_others(path, path.stat(), self.path)

    def _close_finished(self) -> None:
        """Close rotated files that no longer grow and that Kafka has completely."""
        for file in self._files[:-1]:
            if self._files[-1].read_to and time.monotonic() - file.grew > GRACE:
                file.finished = file.finished or file.is_at_end
            if file.is_done():
                self._seen.append(file.origin or file.position())
                self._files.remove(file)
                self._nuls += file.conversion.nuls
                self._descriptors.forget(file)
                file.close()
                self._index()

    def _unpack(self, file: OpenFile) -> None:
        """Open a file again that was empty, and has become a packed one."""
        if time.monotonic() < self._again:
            return
        self._again = time.monotonic() + RETRY
        with suppress(UnfinishedError):
            self._files[self._files.index(file)] = self._open(file.path or self.path)
            file.close()
            self._index()

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
        file = OpenFile(found.file, self.lines, joiner, found.offset, found.origin)
        if found.origin is None:
            file.path, file.find = found.path, self._family.find
            self._descriptors.use(file)
        return file

    def _index(self) -> None:
        """Let the registry find its files fast."""
        self._inodes = {file.inode for file in self._files}
        self._inodes |= {(each.device, each.inode) for each in self._seen}


def _inode(state: os.stat_result | None) -> tuple[int, int] | None:
    return (state.st_dev, state.st_ino) if state else None


def _state(path: Path) -> os.stat_result | None:
    """The state of `path`; None when it does not exist. Raises OSError."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None
