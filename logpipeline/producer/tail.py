"""Tail: one log that is being written, followed like `tail -F`.

A file that was renamed, copied and truncated, or removed is first read to its end, also when that
happened while no producer was running.
"""

import fcntl
import gzip
import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from logpipeline import rotation
from logpipeline.events.lines import Lines
from logpipeline.files import open_file, read_file, remove_drafts, replace_file
from logpipeline.producer import file_position
from logpipeline.producer.file_position import FilePosition
from logpipeline.producer.open_file import OpenFile

log = logging.getLogger(__name__)

GRACE = 5.0  # seconds without growth after which a rotated file, whose successor grows, is closed


class State(msgspec.Struct):
    """The saved state: the positions of the files being read, oldest first, and the rotated files
    that are finished."""

    places: list[FilePosition] = []
    seen: list[FilePosition] = []


class TailError(Exception):
    """The log cannot be followed; str() is one line with the reason and the remedy."""


class Tail:
    """Follows the log `path` from the position saved in the file `state`, or from its beginning.
    Raises TailError, OSError.

    A rotated file is read unless it is known: because it is being read, has been read, or existed
    before the log was followed.
    """

    def __init__(self, path: Path, state: Path, lines: Lines) -> None:
        self.path = path
        self.lines = lines
        self._files: list[OpenFile] = []  # oldest first; the last one is `path`, if it is open
        self._seen: list[FilePosition] = []
        self._listed = 0  # mtime of the folder at the last check for rotated files
        self._state = state
        self._saved = b""
        lock = open_file(state.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
        self._lock = os.fdopen(lock, "wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_drafts(state.parent, lambda name: name == state.name)
            self._resume()
        except BlockingIOError:
            self.close()
            raise TailError(f"{path}: another producer follows this file ({state})") from None
        except (TailError, OSError):
            self.close()
            raise

    def read(self) -> Iterator[tuple[bytes, OpenFile]]:
        """Some of the new events, in order, each with its file, whose `offset` is the event's end.

        Raises OSError.
        """
        self._check()
        for file in self._files:
            lines = file.lines()
            while lines == []:  # a part of a long line
                lines = file.lines()
            if lines is None:
                continue
            for line, size in lines:
                value = self.lines.event(line, size)
                file.advance(size, value is not None)
                if value is not None:
                    yield value, file
            return

    def save(self) -> None:
        """Save the positions that Kafka has acknowledged. Raises OSError."""
        state = msgspec.json.encode(State([file.position() for file in self._files], self._seen))
        if state == self._saved:
            return
        replace_file(self._state, state)
        self._saved = state

    def has(self, state: os.stat_result) -> bool:
        """Whether the file of `state` is being read, whatever its name."""
        return any(file.is_from(state) for file in self._files)

    def close(self) -> None:
        for file in self._files:
            file.close()
        self._lock.close()

    def _resume(self) -> None:
        """Open the files that were being read."""
        try:
            self._saved = read_file(self._state)
            state = msgspec.json.decode(self._saved, type=State)
        except FileNotFoundError:
            if self.path.parent.is_dir():
                self._seen = [file_position.end_of(other) for other in rotation.rotated(self.path)]
            return
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise TailError(
                f"{self._state} is not a valid position ({error}): delete it to read {self.path} "
                "from its beginning"
            ) from None
        self._seen = state.seen
        positions = state.places if self.path.parent.is_dir() else []
        # Of a truncated file and its copy, which are one file now, use the lower offset.
        for position in sorted(positions, key=lambda position: position.offset):
            path = file_position.find(self.path, position)
            if path and self.has(path.stat()):
                continue
            file = OpenFile(path.open("rb"), position.offset) if path else None
            file = file or self._copy(position, None)
            if file:
                self._files.append(file)
            else:
                log.warning("%s: an earlier file is missing: lines may be lost", self.path)

    def _check(self) -> None:
        """Detect rotation and truncation, and close the files that are finished."""
        with suppress(FileNotFoundError):  # rotation is in progress: the next check sees its result
            changed = self.path.parent.stat().st_mtime_ns
            state = _state(self.path)
            truncated = next((file for file in self._files if file.was_truncated()), None)
            new = state is not None and not self.has(state)
            if truncated or new or changed != self._listed:
                self._rearrange(truncated, state)
                self._listed = changed
                self.save()  # from here on the file is found under any name
        self._close_finished()

    def _rearrange(self, truncated: OpenFile | None, state: os.stat_result | None) -> None:
        """Open new files: `path` itself, whose `state` is given, if it is new, the rotated files
        beside it, and a `truncated` file again, after its copy."""
        copy = None
        if truncated:
            log.info("%s was truncated: reading it from its beginning", self.path)
            position = truncated.position()
            position.offset = truncated.offset
            copy = self._copy(position, truncated)
        new = [
            self._open(other)
            for other in self._unknown(truncated)
            if copy is None or not copy.is_from(other.stat())
        ]
        if state and not self.has(state):
            new.append(OpenFile(self.path.open("rb")))
        if truncated:
            if copy:
                new.append(copy)
                truncated.leave()
            truncated.finished = True
            new.append(truncated.from_beginning())
        self._files = sorted([*self._files, *new], key=lambda file: file.written)
        if state:  # the log itself is the last
            self._files.sort(key=lambda file: file.is_from(state) and not file.finished)

    def _close_finished(self) -> None:
        """Close rotated files that no longer grow and that Kafka has completely."""
        for file in self._files[:-1]:
            if self._files[-1].offset and time.monotonic() - file.grew > GRACE:
                file.finished = True
            if file.is_done():
                self._seen.append(file.origin or file.position())
                self._files.remove(file)
                file.close()

    def _unknown(self, truncated: OpenFile | None) -> list[Path]:
        """The rotated files that have not been read and are not being read, oldest first.

        Raises OSError.
        """
        unknown, seen = [], []
        for other in rotation.rotated(self.path):
            if known := next((each for each in self._seen if each.is_of(other)), None):
                seen.append(known)
            elif not self.has(other.stat()) and other.stat().st_size:
                unknown.append(other)
        for other in unknown[:]:
            with suppress(gzip.BadGzipFile), file_position.opened(other) as file:
                packed = other.suffix == ".gz"
                if packed and any(each.is_in(file) for each in self._seen):
                    seen.append(file_position.end_of(other))
                elif not any(
                    each.begins_like(file)
                    for each in self._files
                    if each is not truncated and not each.finished
                ):
                    continue
            unknown.remove(other)
        self._seen = seen
        return unknown

    def _copy(self, position: FilePosition, truncated: OpenFile | None) -> OpenFile | None:
        """The rest of a file that was copied: in the newest rotated file that begins like it.

        Raises OSError.
        """
        for other in reversed(self._unknown(truncated)) if position.head else ():
            file = self._open(other, position.offset)
            if file.has(position):
                return file
            file.close()
        return None

    def _open(self, other: Path, offset: int = 0) -> OpenFile:
        """Raises OSError."""
        origin = file_position.end_of(other) if other.suffix == ".gz" else None
        return OpenFile(file_position.opened(other), offset, origin)


def _state(path: Path) -> os.stat_result | None:
    """The state of `path`; None when it does not exist. Raises OSError."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None
