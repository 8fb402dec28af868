"""Input: the lines of files, or of standard input, from beginning to end."""

import logging
import os
import select
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO

from logpipeline.events.joining import Joiner
from logpipeline.events.lines import Lines, default_service, summary
from logpipeline.events.redaction import Redaction
from logpipeline.producer import contents
from logpipeline.producer.contents import NotTextError
from logpipeline.producer.conversion import Conversion
from logpipeline.producer.source import nuls
from logpipeline.producer.unpacking import DamagedError, TrailingError, unpacked
from logpipeline.shutdown import STEP, Shutdown

log = logging.getLogger(__name__)

CHUNK = 2**17  # bytes read at once: what is made of them fits into a cache
STANDARD_INPUT = "-"


class Input:
    """The events of each of the files `names`, in order; "-" is standard input.

    Packed files are unpacked and UTF-16 is decoded, whatever the name; other binary data is logged
    and refused. The key of a file's events is its absolute path; `service` is their service (None:
    the file's name), `multiline` the Joiner's, `redaction` that of the events. Raises OSError when
    a file cannot be opened.
    """

    def __init__(
        self,
        names: Sequence[str],
        service: str | None,
        multiline: str = "off",
        redaction: Redaction | None = None,
    ) -> None:
        self.size: int | None = None  # in bytes, if it is known
        self.position = 0  # of the bytes read
        self.complete = True  # until some of the input cannot be read
        self._stop = Shutdown()
        self._multiline = multiline
        self._opened = ExitStack()
        self._lines: list[Lines] = []
        self._nuls = 0
        files = [(name, _open(name, self._opened)) for name in names]
        self._files = [each for each in files if self._is_log(*each)]
        for name, _ in self._files:
            lines = Lines(default_service(name) if service is None else service, redaction)
            self._lines.append(lines)
        if all(_is_regular(file) for _, file in self._files):
            self.size = sum(os.fstat(file.fileno()).st_size for _, file in self._files)

    @property
    def empty(self) -> bool:
        """Whether all of the files were refused."""
        return not self._files

    def batches(self, stop: Shutdown) -> Iterator[tuple[bytes, list[bytes]]]:
        """Events with the key of them all, until `stop`; none again and again while a pipe is
        empty."""
        self._stop = stop
        for (name, file), lines in zip(self._files, self._lines, strict=True):
            key = os.fsencode(name if name == STANDARD_INPUT else Path(name).absolute())
            for values in self._values(name, file, lines):
                yield key, values

    def summary(self) -> str:
        return summary(self._lines) + nuls(self._nuls)

    def close(self) -> None:
        self._opened.close()

    def _values(self, name: str, file: IO[bytes], lines: Lines) -> Iterator[list[bytes]]:
        """The events of a file."""
        conversion = Conversion(lines, Joiner(self._multiline), followed=False)
        try:
            head, chunks = self._text(name, file)
            conversion.begin(contents.encoding(head)[0])
            for data in chunks:
                yield conversion.events(data)
                if not data:
                    yield conversion.late_events(with_unfinished=False)
        except TrailingError as error:
            log.warning("%s: trailing garbage ignored: %s", name, error)
        except (DamagedError, OSError) as error:
            log.error("%s cannot be read to its end: %s", name, error)
            self.complete = False
        except NotTextError as error:
            self._refuse(name, error)
        whole = self.complete or not self._stop
        yield conversion.last_events(with_unfinished=whole)
        self._nuls += conversion.nuls

    def _text(self, name: str, file: IO[bytes]) -> tuple[bytes, Iterator[bytes]]:
        """The first bytes of a file's text, and all of it in chunks. They raise DamagedError,
        NotTextError, OSError."""
        head, chunks = _headed(self._chunks(name, file))
        if kind := contents.packing(head):
            again = partial(_read, file.fileno(), _start(file)) if _is_regular(file) else None
            head, chunks = _headed(unpacked(kind, chunks, again))
        contents.check(head)
        return head, chunks

    def _is_log(self, name: str, file: IO[bytes]) -> bool:
        """Whether a file may be one; a pipe is not known yet."""
        try:
            if _is_regular(file):
                head = os.pread(file.fileno(), contents.HEAD, _start(file))
                if not contents.packing(head):
                    contents.check(head)
        except NotTextError as error:
            self._refuse(name, error)
            return False
        return True

    def _refuse(self, name: str, error: NotTextError) -> None:
        log.error("%s is refused: it must be text, and is %s", name, error)
        self.complete = False

    def _chunks(self, name: str, file: IO[bytes]) -> Iterator[bytes]:
        """The bytes of a file, or of a pipe as they arrive, until a request to stop."""
        if not _is_regular(file):
            yield from self._piped(file.fileno())
            return
        before, start = self.position, _start(file)
        at = start
        for data in _read(file.fileno(), start):
            if self._stop:
                log.error("stopped before the end of %s", name)
                self.complete = False
                return
            yield data
            at += len(data)
            self.position = before + at - start

    def _piped(self, descriptor: int) -> Iterator[bytes]:
        """The bytes of a pipe or a terminal, empty ones while it gives none."""
        while not self._stop:
            if not select.select([descriptor], [], [], STEP)[0]:
                yield b""
                continue
            with suppress(BlockingIOError):  # another process read them
                data = os.read(descriptor, CHUNK)
                if not data:
                    return
                yield data


def _headed(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """As many first bytes as tell what it is, and all chunks."""
    head = b""
    for data in chunks:
        head += data
        if head and not contents.is_undecided(head):
            break
    return head, chain([head], chunks)


def _read(descriptor: int, at: int) -> Iterator[bytes]:
    while data := os.pread(descriptor, CHUNK, at):
        yield data
        at += len(data)


def _open(name: str, opened: ExitStack) -> IO[bytes]:
    """Raises OSError."""
    if name == STANDARD_INPUT:
        return open(0, "rb", buffering=0, closefd=False)
    return opened.enter_context(Path(name).open("rb", buffering=0))


def _is_regular(file: IO[bytes]) -> bool:
    return stat.S_ISREG(os.fstat(file.fileno()).st_mode)


def _start(file: IO[bytes]) -> int:
    """Where a regular file begins: a shell may have read some of standard input."""
    return os.lseek(file.fileno(), 0, os.SEEK_CUR)
