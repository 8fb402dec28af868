"""Tail: one log that is being written, followed like `tail -F`.

A file that was renamed, copied and truncated, or removed is read to its end first, also when that
happened while nobody was looking.
"""

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from pipeline import rotation
from pipeline.lines import Lines, Splitter
from pipeline.rotation import HEAD, Place

log = logging.getLogger(__name__)

CHUNK = 2**18  # bytes that are read at once
GRACE = 5.0  # seconds that a rotated file is silent, while its successor is not, until it is left


class TailError(Exception):
    """The log can't be followed; str() is one line that says why and what to do."""


class Piece:
    """One open file of a log. `offset` is where its next line begins."""

    def __init__(self, file: IO[bytes], offset: int = 0) -> None:
        self.offset = offset
        self.finished = False  # nothing will be read any more but an unfinished last line
        self.grew = time.monotonic()
        self._file = file
        self._read_to = offset
        self._head = os.pread(file.fileno(), HEAD, 0)
        self._splitter = Splitter()
        self._pending = 0  # events that Kafka has not acknowledged
        self._acknowledged = offset  # where the line of the first of these begins

    def place(self) -> Place:
        """How far Kafka has it."""
        return Place.of(self._file, self._head, self._acknowledged)

    def lines(self) -> list[tuple[bytes, int]] | None:
        """The next lines, each with its length; None when there is nothing new. Raises OSError."""
        if self.finished:
            return self._splitter.end() or None
        data = os.pread(self._file.fileno(), CHUNK, self._read_to)
        if not data or self.was_truncated():
            return None
        self.grew = time.monotonic()
        if self._read_to <= len(self._head) < HEAD:
            self._head = (self._head[: self._read_to] + data)[:HEAD]
        self._read_to += len(data)
        return self._splitter.feed(data)

    def passed(self, size: int, made: bool) -> None:
        """Note that a line of `size` bytes was read, and whether it `made` an event."""
        self.offset = min(self.offset + size + 1, self._read_to)
        if made:
            self._pending += 1
        elif not self._pending:
            self._acknowledged = self.offset

    def acknowledge(self, offset: int) -> None:
        """Note that Kafka has the oldest pending event, whose line ends at `offset`."""
        self._pending -= 1
        self._acknowledged = offset if self._pending else self.offset

    def was_truncated(self) -> bool:
        """Also when as much has been written since. Raises OSError."""
        if self.finished:
            return False
        descriptor = self._file.fileno()
        if os.fstat(descriptor).st_size < self._read_to:
            return True
        return os.pread(descriptor, len(self._head), 0) != self._head

    def is_done(self) -> bool:
        return self.finished and not self._pending and self.offset == self._read_to

    def leave(self) -> None:
        """Read nothing any more, not even the unfinished line."""
        self.finished = True
        self._read_to = self.offset
        self._splitter = Splitter()

    def from_beginning(self) -> "Piece":
        """The same file, to be read again."""
        return Piece(os.fdopen(os.dup(self._file.fileno()), "rb"))

    def close(self) -> None:
        self._file.close()


class Tail:
    """Follows the log `path`: from where the file `state` says that it was left, else from its
    beginning. Raises TailError, OSError when it can't.
    """

    def __init__(self, path: Path, state: Path, lines: Lines) -> None:
        self.path = path
        self.lines = lines
        self._pieces: list[Piece] = []  # the oldest first; the last one is `path`, if any is
        self._state = state
        self._saved = b""
        self._since: int | None = None  # what was rotated since then (mtime) has not been read
        self._lock = state.with_suffix(".lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for place in self._places():
                self._resume(place)
        except BlockingIOError:
            self.close()
            raise TailError(f"{path}: another producer follows it ({state})") from None
        except (TailError, OSError):
            self.close()
            raise

    def read(self) -> Iterator[tuple[bytes, Piece]]:
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
        places = msgspec.json.encode([piece.place() for piece in self._pieces])
        if places == self._saved:
            return
        draft = self._state.with_suffix(".tmp")
        with draft.open("wb") as file:
            file.write(places)
            file.flush()
            os.fdatasync(file.fileno())
        draft.replace(self._state)
        self._saved = places

    def has(self, state: os.stat_result) -> bool:
        """Whether a file, of whatever name, is being read here."""
        return any(piece.place().has_inode(state) for piece in self._pieces)

    def close(self) -> None:
        for piece in self._pieces:
            piece.close()
        self._lock.close()

    def _places(self) -> list[Place]:
        try:
            self._saved = self._state.read_bytes()
            return msgspec.json.decode(self._saved, type=list[Place])
        except FileNotFoundError:
            return []
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise TailError(
                f"{self._state} is not a position ({error}): delete it to read {self.path} from "
                "its beginning"
            ) from None

    def _resume(self, place: Place) -> None:
        """Open what was being read."""
        self._since = min(self._since or place.written, place.written)
        if not place.head:  # empty when it was seen last: a copy can't be told by its beginning
            self._open_rotated(place.written, [place])
        file = rotation.find(self.path, place) if self.path.parent.is_dir() else None
        if file is None:
            log.warning("%s: what it held before is gone: it was not read to its end", self.path)
        elif self.has(os.fstat(file.fileno())):
            file.close()
        else:
            self._pieces.append(Piece(file, place.offset))

    def _look(self) -> None:
        """Notice rotation and truncation, and leave what has been read to its end."""
        if self._pieces and self._pieces[-1].was_truncated():
            self._begin_again(self._pieces[-1])
        current = self._pieces[-1] if self._pieces else None
        try:
            state = self.path.stat()
        except FileNotFoundError:
            return
        if current is None or not current.place().has_inode(state):
            since = current.place().written if current else self._since
            if since is not None:
                self._open_rotated(since, [])
            self._pieces.append(Piece(self.path.open("rb")))
            self.save()  # from here on it is found again, even if it is rotated after a kill
        *older, current = self._pieces
        for piece in older:
            if current.offset and time.monotonic() - piece.grew > GRACE:
                piece.finished = True
            if piece.is_done():
                self._pieces.remove(piece)
                piece.close()

    def _open_rotated(self, since: int, known: list[Place]) -> None:
        """Open the rotated files that were written since (mtime), but for those at hand."""
        known = known + [piece.place() for piece in self._pieces]
        self._pieces += map(Piece, rotation.newer(self.path, since, known))

    def _begin_again(self, current: Piece) -> None:
        """After a truncation: the rest that copytruncate has put into a copy, then what is new."""
        log.info("%s was truncated: reading it from its beginning", self.path)
        place = current.place()
        place.offset = current.offset
        again = current.from_beginning()
        copy = rotation.find_copy(self.path, place)
        if copy is None:
            current.finished = True
        else:
            current.leave()
            self._pieces.append(Piece(copy, place.offset))
        self._pieces.append(again)
