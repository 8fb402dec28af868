"""Files: the events of rotated files."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from logpipeline.archive.packing import BROKEN, unpacked
from logpipeline.events.event import InvalidRecord, parse
from logpipeline.events.lines import Splitter, default_service
from logpipeline.replay.original import Origin, Original
from logpipeline.replay.window import Window
from logpipeline.shutdown import Shutdown

CHUNK = 2**18  # bytes that are read at once


class Unreadable(Exception):  # noqa: N818 - it says what can't be read
    """A file can't be read to its end; str() is one line that says why."""


class RotatedEvents:
    """The lines of `paths` in their order: the events of `window`, and what is no event.

    A file may be packed (gzip, zstd), under any name. The key of an event is its service, of one
    that names none the file. Each time they are gone through, none is begun before all are found
    to be whole.
    """

    def __init__(self, paths: Sequence[Path], window: Window, stop: Shutdown) -> None:
        self._paths = paths
        self._window = window
        self._stop = stop
        self._origins: list[Origin] = []

    def __iter__(self) -> Iterator[Original]:
        """Raises Unreadable."""
        self._origins = self._origins or [self._origin(path) for path in self._paths]
        if self._stop:
            return
        for path, origin in zip(self._paths, self._origins, strict=True):
            key = default_service(path.name).encode()
            for number, line in enumerate(lines(path), 1):
                if self._concerns(line):
                    mark = f"{path.name}:{number}"
                    yield Original(mark, origin, number, _service(line) or key, line)

    def __str__(self) -> str:
        """For the line of totals: what else there is to say."""
        return ""

    def _concerns(self, line: bytes) -> bool:
        try:
            return parse(line).timestamp in self._window
        except InvalidRecord:
            return True  # nobody knows when it was

    def _origin(self, path: Path) -> Origin:
        """Known by what is in it, however it is named and packed."""
        digest = hashlib.sha256()
        for chunk in chunks(path):
            if self._stop:
                break
            digest.update(chunk)
        return Origin("sha256", digest.hexdigest())


class _Event(msgspec.Struct):
    service: str = ""


_decode = msgspec.json.Decoder(_Event).decode


def _service(line: bytes) -> bytes:
    try:
        return _decode(line).service.encode()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return b""


def lines(path: Path) -> Iterator[bytes]:
    """Its lines without their newlines. Raises Unreadable."""
    splitter = Splitter()
    for chunk in chunks(path):
        for line, _ in splitter.feed(chunk):
            yield line
    for line, _ in splitter.end():
        yield line


def chunks(path: Path) -> Iterator[bytes]:
    """What is in it, unpacked. Raises Unreadable."""
    try:
        with unpacked(path) as file:
            yield from iter(partial(file.read, CHUNK), b"")
    except (OSError, *BROKEN) as error:
        reason = getattr(error, "strerror", None) or error
        raise Unreadable(f"{path} can't be read to its end: {reason}") from None
