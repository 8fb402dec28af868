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

CHUNK = 2**18  # bytes of a read


class Unreadable(Exception):  # noqa: N818 - it describes a file
    """A file cannot be read to its end; str() is one line with the reason."""


class RotatedEvents:
    """The lines of `paths` in order: the events of `window`, and invalid records.

    A file may be packed (gzip, zstd), under any name. The key of an event is its service, or the
    file's name if it has none. The first iteration reads all files to their ends before it begins.
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
        """What to add to the line of totals: nothing."""
        return ""

    def _concerns(self, line: bytes) -> bool:
        try:
            return parse(line).timestamp in self._window
        except InvalidRecord:
            return True  # its time is unknown

    def _origin(self, path: Path) -> Origin:
        """Identified by its contents, whatever its name and packing."""
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
    """Its contents, unpacked. Raises Unreadable."""
    try:
        with unpacked(path) as file:
            yield from iter(partial(file.read, CHUNK), b"")
    except (OSError, *BROKEN) as error:
        reason = getattr(error, "strerror", None) or error
        raise Unreadable(f"cannot read {path} to its end: {reason}") from None
