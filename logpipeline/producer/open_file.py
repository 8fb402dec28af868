"""Open file: one file of a log, its position read and its position acknowledged by Kafka."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from logpipeline.events.joining import Joiner
from logpipeline.events.lines import Lines
from logpipeline.producer import contents
from logpipeline.producer.conversion import Conversion
from logpipeline.producer.file_position import HEAD, FilePosition, begins_like

CHUNK = 2**18  # bytes read at once


class PackedError(Exception):
    """What was an empty file has become a packed one: it must be opened again."""


class OpenFile:
    """One open file of a log. `origin` is the packed file that it was unpacked from; otherwise
    `path` is where it was seen last, and its descriptor may be closed while it is quiet.

    `find` gives its path if it has another one. `lines` convert, `joiner` joins its lines.
    """

    def __init__(
        self,
        file: IO[bytes],
        lines: Lines,
        joiner: Joiner,
        offset: int = 0,
        origin: FilePosition | None = None,
    ) -> None:
        self.origin = origin
        self.path: Path | None = None
        self.find: Callable[[FilePosition], Path | None] = lambda _: None
        self.on_use: Callable[[OpenFile], None] = lambda _: None  # it is open, and needed
        self.finished = False  # nothing more is read
        self.refused = False  # it is not text: nothing of it is sent
        self.grew = time.monotonic()
        self.read_to = offset
        self._file: IO[bytes] | None = file
        self.conversion = Conversion(lines, joiner, offset)
        self._head = os.pread(file.fileno(), HEAD, 0)
        self._last = os.pread(file.fileno(), min(offset, HEAD), max(0, offset - HEAD))
        self._last_end = offset
        state = os.fstat(file.fileno())
        self._identity = state.st_dev, state.st_ino
        self._seen: tuple[int, int] | None = None  # size and time, when it was last not truncated
        self._saved: FilePosition | None = None
        self._written = state.st_mtime_ns

    def position(self) -> FilePosition:
        """The position up to which Kafka has acknowledged it. Raises OSError."""
        offset = self.conversion.offset
        saved = self._saved
        if saved is None or saved.offset != offset or saved.head != len(self._head):
            saved = self._position(offset)
        return saved

    def has(self, position: FilePosition) -> bool:
        """Whether it begins with the same bytes and has those before the offset of `position`."""
        return position.is_in(self.open())

    def place(self) -> FilePosition:
        """The position up to which it was converted, to be found in a copy."""
        before = self._before(self.conversion.unconverted)
        return FilePosition.of(self._identity, self._head, self.conversion.unconverted, before)

    @property
    def is_at_end(self) -> bool:
        """Whether all that it has was read. Raises OSError."""
        return (
            self._file is None
            or self.refused
            or os.fstat(self._file.fileno()).st_size <= self.read_to
        )

    @property
    def is_new(self) -> bool:
        """Whether nothing of it was read."""
        return not (self.read_to or self.finished or self.refused)

    @property
    def written(self) -> int:
        """The time of modification in nanoseconds, while it is closed as it was then."""
        if self._file:
            self._written = os.fstat(self._file.fileno()).st_mtime_ns
        return self._written

    @property
    def inode(self) -> tuple[int, int]:
        return (self.origin.device, self.origin.inode) if self.origin else self._identity

    def is_from(self, state: os.stat_result) -> bool:
        """Whether it is the file of `state`, whatever its name."""
        return (state.st_dev, state.st_ino) == self.inode

    def is_copied_in(self, file: IO[bytes]) -> bool:
        """Whether `file` may be a copy of it, or one that is being made."""
        return bool(self._head) and begins_like(self.open(), file)

    @property
    def is_there(self) -> bool:
        """Whether it is open, or where it was when it was closed."""
        if self._file or self.path is None:
            return True
        with suppress(FileNotFoundError):
            return self.is_from(self.path.stat())
        return False

    def open(self) -> IO[bytes]:
        """The file, opened again if it was closed. Raises OSError when it cannot be found."""
        if self._file is None:
            self._file = self._reopened()
            self.on_use(self)
        return self._file

    def suspend(self) -> None:
        """Close the descriptor of a file that can be opened again."""
        if self._file and self.path and not self.origin and not self.finished:
            self._saved = self._saved or self._position(self.conversion.offset)
            self._written = self.written
            self._file.close()
            self._file = None

    def chunk(self) -> bytes:
        """The next bytes; none when there is nothing new, or after a truncation.

        Raises OSError, PackedError; NotTextError once, if it is not text.
        """
        if self.finished or self.refused or self._is_quiet():
            return b""
        descriptor, known = self.open().fileno(), len(self._last)
        data = os.pread(descriptor, known + CHUNK, self.read_to - known)
        if len(data) <= known or data[:known] != self._last or self._has_other_head():
            return b""
        data = data[known:]
        if not self.conversion.has_begun and not self._is_known(data):
            return b""
        self.grew = time.monotonic()
        if self.read_to <= len(self._head) < HEAD:
            self._head = (self._head[: self.read_to] + data)[:HEAD]
        self.read_to += len(data)
        self._last_end = self.read_to
        self._last = (self._last + data[-HEAD:])[-HEAD:]
        return data

    def was_truncated(self, state: os.stat_result | None = None) -> bool:
        """Whether it was, even if it has grown again since. `state` spares asking for its own.
        Raises OSError."""
        if self.finished or self.origin or (self._file is None and state is None):
            return False
        state = state or os.fstat(self.open().fileno())
        seen = state.st_size, state.st_mtime_ns
        if seen == self._seen:
            return False
        if state.st_size < self.read_to:
            return True
        descriptor, known = self.open().fileno(), len(self._last)
        if os.pread(descriptor, known, self.read_to - known) != self._last:
            return True
        if self._has_other_head():
            return True
        self._seen = seen
        return False

    def is_done(self) -> bool:
        done = self.conversion.is_acknowledged and self.conversion.offset >= self.read_to
        return self.finished and done

    def leave(self) -> None:
        """Stop reading, even the unfinished line."""
        self.finished = True
        self.read_to = self.conversion.drop()

    def from_beginning(self, lines: Lines, joiner: Joiner) -> "OpenFile":
        """The same file, to be read again. Raises OSError."""
        again = OpenFile(os.fdopen(os.dup(self.open().fileno()), "rb"), lines, joiner)
        again.path, again.find = self.path, self.find
        return again

    def where(self) -> Path | None:
        """Where it is now, if the system tells it: in Linux."""
        with suppress(OSError):
            path = Path(os.readlink(f"/proc/self/fd/{self.open().fileno()}"))  # noqa: PTH115
            if path.is_file() and self.is_from(path.stat()):
                self.path = path
        return self.path

    def close(self) -> None:
        if self._file:
            self._file.close()

    def _is_known(self, data: bytes) -> bool:
        """Whether it is clear what it is: then it has a reader. Raises PackedError."""
        head = (os.pread(self.open().fileno(), contents.HEAD, 0) if self.read_to else data)[
            : contents.HEAD
        ]
        if contents.is_undecided(head):
            return False
        if self.origin is None and contents.packing(head):
            raise PackedError
        try:
            contents.check(head)
        except contents.NotTextError:
            self.refused = True
            self.read_to = os.fstat(self.open().fileno()).st_size
            self.conversion.skip_to(self.read_to)
            raise
        self.conversion.begin(contents.encoding(head)[0], head[: self.read_to])
        return True

    def _is_quiet(self) -> bool:
        """Whether it is closed, and has not changed."""
        if self._file or self.path is None:
            return False
        return self.is_there and self.path.stat().st_size == self.read_to

    def _has_other_head(self) -> bool:
        if len(self._head) <= len(self._last) == self.read_to:  # compared already
            return False
        return os.pread(self.open().fileno(), len(self._head), 0) != self._head

    def _position(self, offset: int) -> FilePosition:
        file, before = self.open(), self._before(offset)
        if len(before) < min(offset, HEAD):
            before = os.pread(file.fileno(), HEAD, max(0, offset - HEAD))[:offset]
            if self._saved and (self.finished or self.was_truncated()):
                return self._saved  # those bytes may be others
        self._saved = FilePosition.of(self._identity, self._head, offset, before)
        return self._saved

    def _before(self, offset: int) -> bytes:
        """The bytes before an offset; none when they are not the ones that were read last."""
        known = min(offset, HEAD)
        start = offset - known - (self._last_end - len(self._last))
        return self._last[start : start + known] if start >= 0 else b""

    def _reopened(self) -> IO[bytes]:
        saved = self._saved
        if saved is None or self.path is None:
            raise FileNotFoundError("a file that was closed cannot be opened again")
        try:
            file = self.path.open("rb")
            if saved.has_inode(os.fstat(file.fileno())):
                return file
            file.close()
        except FileNotFoundError:
            pass
        self.path = self.find(saved) or self.path
        file = self.path.open("rb")
        if not saved.has_inode(os.fstat(file.fileno())):
            file.close()
            raise FileNotFoundError(f"{self.path} was rotated and cannot be found")
        return file
