"""Tail: one log that is being written, followed like `tail -F`.

A file that was renamed, copied and truncated, or removed is read to its end first, also when that
happened while nobody was looking.
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

GRACE = 5.0  # seconds that a rotated file is silent, while its successor is not, until it is left


class State(msgspec.Struct):
    """What is put on disk: the files that are being read, oldest first, and the rotated ones
    that are not to be read any more."""

    places: list[FilePosition] = []
    seen: list[FilePosition] = []


class TailError(Exception):
    """The log can't be followed; str() is one line that says why and what to do."""


class Tail:
    """Follows the log `path`: from where the file `state` says that it was left, else from its
    beginning. Raises TailError, OSError when it can't.

    A rotated file is read unless it is known: because it is being read, because it has been, or
    because it was there before the log was followed.
    """

    def __init__(self, path: Path, state: Path, lines: Lines) -> None:
        self.path = path
        self.lines = lines
        self._pieces: list[OpenFile] = []  # the oldest first; the last one is `path`, if any is
        self._seen: list[FilePosition] = []
        self._listed = 0  # when the folder had changed (mtime) at the last look at rotated files
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
            raise TailError(f"{path}: another producer follows it ({state})") from None
        except (TailError, OSError):
            self.close()
            raise

    def read(self) -> Iterator[tuple[bytes, OpenFile]]:
        """Some of the new events, in order, each with the piece whose `offset` is its end.

        Raises OSError.
        """
        self._look()
        for piece in self._pieces:
            lines = piece.lines()
            while lines == []:  # a part of a long line
                lines = piece.lines()
            if lines is None:
                continue
            for line, size in lines:
                value = self.lines.event(line, size)
                piece.passed(size, value is not None)
                if value is not None:
                    yield value, piece
            return

    def save(self) -> None:
        """Put on disk how far Kafka has everything. Raises OSError."""
        state = msgspec.json.encode(State([piece.place() for piece in self._pieces], self._seen))
        if state == self._saved:
            return
        replace_file(self._state, state)
        self._saved = state

    def has(self, state: os.stat_result) -> bool:
        """Whether a file, of whatever name, is being read here."""
        return any(piece.is_from(state) for piece in self._pieces)

    def close(self) -> None:
        for piece in self._pieces:
            piece.close()
        self._lock.close()

    def _resume(self) -> None:
        """Open what was being read."""
        try:
            self._saved = read_file(self._state)
            state = msgspec.json.decode(self._saved, type=State)
        except FileNotFoundError:
            if self.path.parent.is_dir():
                self._seen = [file_position.end_of(other) for other in rotation.rotated(self.path)]
            return
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise TailError(
                f"{self._state} is not a position ({error}): delete it to read {self.path} from "
                "its beginning"
            ) from None
        self._seen = state.seen
        places = state.places if self.path.parent.is_dir() else []
        # Of a truncated file and its copy, which are one now, the one that was read less.
        for place in sorted(places, key=lambda place: place.offset):
            path = file_position.find(self.path, place)
            if path and self.has(path.stat()):
                continue
            piece = OpenFile(path.open("rb"), place.offset) if path else self._copy(place, None)
            if piece:
                self._pieces.append(piece)
            else:
                log.warning("%s: what it held before is gone, read to its end or not", self.path)

    def _look(self) -> None:
        """Notice rotation and truncation, and leave what has been read to its end."""
        with suppress(FileNotFoundError):  # rotation is at work: the next look sees what it did
            changed = self.path.parent.stat().st_mtime_ns
            state = _state(self.path)
            truncated = next((piece for piece in self._pieces if piece.was_truncated()), None)
            new = state is not None and not self.has(state)
            if truncated or new or changed != self._listed:
                self._rearrange(truncated, state)
                self._listed = changed
                self.save()  # from here on it is found again, whatever happens to its name
        self._leave()

    def _rearrange(self, truncated: OpenFile | None, state: os.stat_result | None) -> None:
        """Open what has come: `path` itself, of that `state`, when it is a new file, what rotation
        has put beside it, and a `truncated` file again, after its copy."""
        copy = None
        if truncated:
            log.info("%s was truncated: reading it from its beginning", self.path)
            place = truncated.place()
            place.offset = truncated.offset
            copy = self._copy(place, truncated)
        come = [
            self._piece(other)
            for other in self._unknown(truncated)
            if copy is None or not copy.is_from(other.stat())
        ]
        if state and not self.has(state):
            come.append(OpenFile(self.path.open("rb")))
        if truncated:
            if copy:
                come.append(copy)
                truncated.leave()
            truncated.finished = True
            come.append(truncated.from_beginning())
        self._pieces = sorted([*self._pieces, *come], key=lambda piece: piece.written)
        if state:  # last is the log itself
            self._pieces.sort(key=lambda piece: piece.is_from(state) and not piece.finished)

    def _leave(self) -> None:
        """Let go of rotated files that are silent and wholly in Kafka."""
        for piece in self._pieces[:-1]:
            if self._pieces[-1].offset and time.monotonic() - piece.grew > GRACE:
                piece.finished = True
            if piece.is_done():
                self._seen.append(piece.origin or piece.place())
                self._pieces.remove(piece)
                piece.close()

    def _unknown(self, truncated: OpenFile | None) -> list[Path]:
        """The rotated files that have not been read and are not being read, oldest first.

        Raises OSError.
        """
        unknown, seen = [], []
        for other in rotation.rotated(self.path):
            if known := next((place for place in self._seen if place.is_of(other)), None):
                seen.append(known)
            elif not self.has(other.stat()) and other.stat().st_size:
                unknown.append(other)
        for other in unknown[:]:
            with suppress(gzip.BadGzipFile), file_position.opened(other) as file:
                packed = other.suffix == ".gz"
                if packed and any(place.is_in(file) for place in self._seen):
                    seen.append(file_position.end_of(other))
                elif not any(
                    each.begins_like(file)
                    for each in self._pieces
                    if each is not truncated and not each.finished
                ):
                    continue
            unknown.remove(other)
        self._seen = seen
        return unknown

    def _copy(self, place: FilePosition, truncated: OpenFile | None) -> OpenFile | None:
        """The rest of a file that is elsewhere now: in the newest rotated one that begins like it.

        Raises OSError.
        """
        for other in reversed(self._unknown(truncated)) if place.head else ():
            piece = self._piece(other, place.offset)
            if piece.has(place):
                return piece
            piece.close()
        return None

    def _piece(self, other: Path, offset: int = 0) -> OpenFile:
        """Raises OSError."""
        origin = file_position.end_of(other) if other.suffix == ".gz" else None
        return OpenFile(file_position.opened(other), offset, origin)


def _state(path: Path) -> os.stat_result | None:
    """None when there is no such file. Raises OSError when that can't be seen."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None
