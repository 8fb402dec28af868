"""Open file: one file of a log, its position read and its position acknowledged by Kafka."""

import os
import time
from typing import IO

from logpipeline.events.lines import Splitter
from logpipeline.producer.file_position import HEAD, FilePosition

CHUNK = 2**18  # bytes read at once


class OpenFile:
    """One open file of a log. `offset` is the start of its next line, `origin` the packed file that
    it was unpacked from."""

    def __init__(
        self, file: IO[bytes], offset: int = 0, origin: FilePosition | None = None
    ) -> None:
        self.offset = offset
        self.origin = origin
        self.finished = False  # only an unfinished last line is left to read
        self.grew = time.monotonic()
        self._file = file
        self._read_to = offset
        self._head = os.pread(file.fileno(), HEAD, 0)
        self._splitter = Splitter()
        self._pending = 0  # events that Kafka has not acknowledged
        self._acknowledged = offset  # start of the line of the first of these

    def position(self) -> FilePosition:
        """The position up to which Kafka has acknowledged it."""
        return FilePosition.of(self._file, self._head, self._acknowledged)

    def has(self, position: FilePosition) -> bool:
        """Whether it begins with the same bytes and reaches the offset of `position`."""
        return position.is_in(self._file)

    @property
    def written(self) -> int:
        """The time of modification in nanoseconds."""
        return os.fstat(self._file.fileno()).st_mtime_ns

    def is_from(self, state: os.stat_result) -> bool:
        """Whether it is the file of `state`, whatever its name."""
        return (self.origin or self.position()).has_inode(state)

    def begins_like(self, file: IO[bytes]) -> bool:
        """Whether `file` may be a copy of it."""
        position = self.position()
        position.offset = 0
        size = os.fstat(self._file.fileno()).st_size
        is_copy = position.is_in(file) and os.fstat(file.fileno()).st_size <= size
        return bool(position.head) and is_copy

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

    def advance(self, size: int, is_event: bool) -> None:
        """Move past a line of `size` bytes, which became an event or not."""
        self.offset = min(self.offset + size + 1, self._read_to)
        if is_event:
            self._pending += 1
        elif not self._pending:
            self._acknowledged = self.offset

    def acknowledge(self, offset: int) -> None:
        """Record that Kafka has the oldest pending event, whose line ends at `offset`."""
        self._pending -= 1
        self._acknowledged = offset if self._pending else self.offset

    def was_truncated(self) -> bool:
        """Whether it was, even if it has grown again since. Raises OSError."""
        if self.finished:
            return False
        descriptor = self._file.fileno()
        if os.fstat(descriptor).st_size < self._read_to:
            return True
        return os.pread(descriptor, len(self._head), 0) != self._head

    def is_done(self) -> bool:
        return self.finished and not self._pending and self.offset == self._read_to

    def leave(self) -> None:
        """Stop reading, even the unfinished line."""
        self.finished = True
        self._read_to = self.offset
        self._splitter = Splitter()

    def from_beginning(self) -> "OpenFile":
        """The same file, to be read again."""
        return OpenFile(os.fdopen(os.dup(self._file.fileno()), "rb"))

    def close(self) -> None:
        self._file.close()
