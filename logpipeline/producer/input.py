"""Input: the lines of files, or of standard input, from beginning to end."""

import gzip
import logging
import os
import select
import stat
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO

from logpipeline.events.lines import Lines, Splitter, default_service, summary
from logpipeline.kafka.outbox import Outbox
from logpipeline.producer.source import Pair, Source
from logpipeline.shutdown import STEP, Shutdown

log = logging.getLogger(__name__)

CHUNK = 2**18  # bytes read at once
GZIP = b"\x1f\x8b"
STANDARD_INPUT = "-"
File = IO[bytes] | gzip.GzipFile


class Input(Source):
    """The events of each of the files `names`, in order; "-" is standard input, .gz is unpacked.

    The key of a file's events is its absolute path; `service` is their service (None: the file's
    name). Raises OSError when a file cannot be opened.
    """

    def __init__(self, names: Sequence[str], service: str | None, stop: Shutdown) -> None:
        self._stop = stop
        self._opened = ExitStack()
        self._files: list[tuple[str, File]] = []
        self._lines = [Lines(default_service(n) if service is None else service) for n in names]
        for name in names:
            self._files.append((name, _open(name, self._opened)))
        files = [file for _, file in self._files]
        if all(_is_regular(file) for file in files):
            self.size = sum(os.fstat(file.fileno()).st_size for file in files)

    def events(self, outbox: Outbox) -> Iterator[Pair]:
        for (name, file), lines in zip(self._files, self._lines, strict=True):
            key = os.fsencode(name if name == STANDARD_INPUT else Path(name).absolute())
            splitter = Splitter()
            for data in self._chunks(name, file):
                for value in lines.events(splitter.feed(data)):
                    yield key, value
            if self.complete or not self._stop:
                for value in lines.events(splitter.end()):
                    yield key, value

    def summary(self) -> str:
        return summary(self._lines)

    def close(self) -> None:
        self._opened.close()

    def _chunks(self, name: str, file: File) -> Iterator[bytes]:
        """The bytes of a file, or of a pipe as they arrive, until a request to stop."""
        regular, before = _is_regular(file), self.position
        read = partial(file.read, CHUNK) if regular else partial(self._next_bytes, file.fileno())
        try:
            while data := read():
                if regular and self._stop:
                    log.error("stopped before the end of %s", name)
                    self.complete = False
                    return
                yield data
                if regular:
                    self.position = before + os.lseek(file.fileno(), 0, os.SEEK_CUR)
        except (OSError, EOFError, zlib.error) as error:
            log.error("%s cannot be read to its end: %s", name, error)
            self.complete = False

    def _next_bytes(self, descriptor: int) -> bytes:
        """The next bytes of a pipe or a terminal; none at its end or after a request to stop."""
        while not self._stop:
            if select.select([descriptor], [], [], STEP)[0]:
                try:
                    return os.read(descriptor, CHUNK)
                except BlockingIOError:  # another process read them
                    continue
        return b""


def _open(name: str, opened: ExitStack) -> File:
    """Raises OSError."""
    if name == STANDARD_INPUT:
        return open(0, "rb", buffering=0, closefd=False)
    file = opened.enter_context(Path(name).open("rb"))  # noqa: SIM115
    if not _is_regular(file) or file.peek(2)[:2] != GZIP:
        return file
    return gzip.GzipFile(fileobj=file)


def _is_regular(file: File) -> bool:
    return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
