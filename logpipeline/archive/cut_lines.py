"""Cut lines: whole lines that recovery found in logs.txt beyond its checkpoint, set aside.

They were never acknowledged, and which offsets they have is unknown: Kafka sends them again, and
logs.txt gets them then. In case Kafka has lost them in the same power cut, they are on disk in
`logs.txt.cut` before logs.txt is cut. Each one that comes again is crossed off. What was cut of a
partition is the first that it sends again. So once every partition has sent as many bytes as were
cut, or is known to have lost its next records, those that are left will not come: they are put
back into logs.txt.
"""

import os
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec

from logpipeline.events.slices import Slice
from logpipeline.files import allow, open_file, read_file, sync, sync_data, write_all

Natural = Annotated[int, msgspec.Meta(ge=0)]
Span = tuple[Natural, Natural]  # of bytes: from, to


class CutLines(msgspec.Struct):
    """The `spans` of `logs.txt.cut` that have not come again, and by topic and partition the bytes
    of events within which they may still come."""

    spans: list[Span] = []
    waiting: dict[str, dict[Natural, Natural]] = {}

    def wait_for(self, topic: str, partition: int, size: int) -> None:
        """Note that `size` bytes of this partition may have been cut."""
        partitions = self.waiting.setdefault(topic, {})
        partitions[partition] = max(size, partitions.get(partition, 0))

    def settle(self, topic: str, partition: int, size: int | None = None) -> None:
        """Note that this partition has sent so many bytes; None: that it has lost its records."""
        left = self.waiting.get(topic, {}).pop(partition, 0)
        if size is not None and left > size:
            self.waiting[topic][partition] = left - size
        if not self.waiting.get(topic):
            self.waiting.pop(topic, None)


class CutFile:
    """`logs.txt.cut`. Its methods raise OSError."""

    def __init__(self, log_file: Path) -> None:
        self.path = log_file.with_name(log_file.name + ".cut")

    def add(self, lines: Iterable[bytes], cut: CutLines, mode: int | None) -> None:
        """Put lines on disk, but those it has: they have come again, and were cut again."""
        spans = cut.spans
        left = self._left(spans)
        new = [line for line in lines if not (left.get(line) and left[line].pop())]
        if not new:
            return
        data = b"\n".join(new) + b"\n"
        end = spans[-1][1] if spans else 0
        fd = open_file(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            allow(fd, mode)
            os.ftruncate(fd, end)  # what a kill has left
            write_all(fd, data)
            sync_data(fd)
        finally:
            os.close(fd)
        sync(self.path.parent)
        cut.spans = _joined([*spans, (end, end + len(data))])

    def cross_off(self, cut: CutLines, topic: str, fresh: list[Slice]) -> list[bytes]:
        """Cross off those that come again in `fresh`.

        Returns the lines to put back, and crosses them off too, if no others can come.
        """
        left = self._left(cut.spans)
        for part in fresh:
            for line in part.lines:
                if left.get(line):
                    left[line].pop(0)
            cut.settle(topic, part.partition, part.size + len(part.lines))
        spans = sorted(span for spans in left.values() for span in spans)
        cut.spans = [] if not cut.waiting else _joined(spans)
        data = b"" if cut.waiting else self._read(spans)
        return [data[begin : end - 1] for begin, end in spans] if data else []

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def _left(self, spans: list[Span]) -> dict[bytes, list[Span]]:
        """Line → where it is."""
        found = defaultdict(list)
        data = self._read(spans)
        for begin, end in spans:
            for line in data[begin:end].split(b"\n")[:-1]:
                found[line].append((begin, begin + len(line) + 1))
                begin += len(line) + 1
        return found

    def _read(self, spans: list[Span]) -> bytes:
        """What the file has; nothing if somebody has deleted it."""
        with suppress(FileNotFoundError):
            return read_file(self.path) if spans else b""
        return b""


def _joined(spans: list[Span]) -> list[Span]:
    """Sorted spans, with neighbours as one."""
    joined: list[Span] = []
    for begin, end in spans:
        if joined and joined[-1][1] == begin:
            begin = joined.pop()[0]
        joined.append((begin, end))
    return joined
