"""Indexing: makes the index of rotated files, in a process of its own beside the consumer.

    python -m logpipeline.archive.indexing FILE …

names the plain paths of rotated files, packed or not. A file that cannot be indexed is reported,
and left without an index.
"""

import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import Any

import msgspec
from crc32c import crc32c

from logpipeline.archive.frames import pieces
from logpipeline.archive.index import (
    Block,
    Key,
    Table,
    bin_of,
    end_of,
    index_path,
    merged,
    save_index,
)
from logpipeline.archive.packing import BROKEN
from logpipeline.archive.rotated import RotatedFile
from logpipeline.events.event import LEVEL_OF
from logpipeline.events.readable import DIFFERS, SEPARATOR, readable
from logpipeline.files import permissions

BLOCK = 2**20  # bytes of lines, about
LONGEST = 64 * 2**20  # bytes of a line, so that a file without newlines does not fill memory
SMALL = 2**20  # bytes of packed contents that are unpacked sooner than bitmaps are read
NICENESS = 15
Lines = tuple[int, int, int, bytes]  # frame, its packed size or 0, skip, contents
Fields = tuple[list[str], list[float], list[str], int]


class Event(msgspec.Struct, gc=False):
    level: str
    message: str
    timestamp: float
    service: Any = None


_decoder = msgspec.json.Decoder(Event)


def index(file: RotatedFile, stop: Callable[[], bool] = lambda: False, small: int = SMALL) -> None:
    """Make the file's index, without bitmaps up to `small` packed bytes.

    Raises OSError, also when the file cannot be unpacked; InterruptedError once `stop` says so.
    """
    path = file.path()
    table, bitmaps = made_of(file, path.stat().st_size > small, stop)
    save_index(index_path(file), table, bitmaps, permissions(path.lstat()))


def made_of(
    file: RotatedFile, with_bitmaps: bool, stop: Callable[[], bool] = lambda: False
) -> tuple[Table, list[bytes]]:
    """What the index of the file says, and its bitmaps. Raises as `index` does."""
    path = file.path()
    size, tail = end_of(path)
    levels: list[str] = []
    services: list[str] = []
    made: list[Block] = []
    bitmaps: list[bytes] = []
    odd = at = 0
    try:
        for lines in blocks(path):
            if stop():
                raise InterruptedError("the program stops")
            block, bitmap, others = _block(lines, at, levels, services, with_bitmaps)
            made.append(block)
            bitmaps.append(bitmap)
            at += len(bitmap)
            odd += others
    except BROKEN as error:
        raise OSError(f"cannot unpack {path}: {error}") from None
    return Table(size, tail, odd, levels, services, made, at), bitmaps


def blocks(path: Path) -> Iterator[Lines]:
    """The contents in blocks of whole lines. Raises OSError, BROKEN."""
    rest = b""
    begin = end = 0  # of `rest` in the unpacked contents
    starts = [(0, 0)]  # of the frames that `rest` begins in or after: packed, unpacked
    for frame, chunk in pieces(path):
        if frame != starts[-1][0]:
            if rest.endswith(b"\n"):
                yield _lines(starts, begin, rest, frame)
                rest, begin = b"", end
            starts.append((frame, end))
        rest += chunk
        end += len(chunk)
        cut = rest.rfind(b"\n") + 1 if len(rest) >= 2 * BLOCK else 0
        cut = cut or (len(rest) if len(rest) > LONGEST else 0)
        if cut:
            yield _lines(starts, begin, rest[:cut], None)
            rest, begin = rest[cut:], begin + cut
    if rest:
        yield _lines(starts, begin, rest, path.stat().st_size if path.suffix == ".zst" else None)


def _lines(starts: list[tuple[int, int]], begin: int, lines: bytes, frame_end: int | None) -> Lines:
    """`frame_end` is the packed position that follows, if the lines end there."""
    while len(starts) > 1 and starts[1][1] <= begin:
        del starts[0]
    frame, unpacked = starts[0]
    whole = frame_end is not None and len(starts) == 1 and unpacked == begin
    return frame, frame_end - frame if frame_end and whole else 0, begin - unpacked, lines


def _block(
    part: Lines, at: int, levels: list[str], services: list[str], with_bitmap: bool
) -> tuple[Block, bytes, int]:
    """The block, its bitmap (which will be at `at`), and its lines that are no events."""
    frame, size, skip, lines = part
    counts, first, last, number = _counted(lines)
    bitmap, bits, checksum = _bitmap(lines) if with_bitmap else (b"", 0, 0)
    block = Block(
        *(frame, size, skip, len(lines), number, first, last),
        *(merged(counts, levels, services), not _differs(lines), at, bits, checksum),
    )
    return block, bitmap, number - counts.total()


def _counted(lines: bytes) -> tuple[Counter[Key], float, float, int]:
    """The events by bin, level and service, the smallest and largest timestamp, and the lines."""
    levels, timestamps, services, number = _fields(lines)
    first, last = min(timestamps, default=math.inf), max(timestamps, default=-math.inf)
    if timestamps and bin_of(first) == bin_of(last):
        bins: Iterable[int] = repeat(bin_of(first))
    else:
        bins = map(bin_of, timestamps)
    return Counter(zip(bins, levels, services, strict=False)), first, last, number


def _fields(lines: bytes) -> Fields:
    """The levels, timestamps and services of the events, and the number of lines."""
    with suppress(msgspec.MsgspecError, ValueError, KeyError, TypeError, RecursionError):
        if not lines.isascii():
            lines.decode()  # msgspec does not check fields that it skips
        events = _decoder.decode_lines(lines)
        levels = [LEVEL_OF[event.level] for event in events]
        services = [event.service or "" for event in events]
        if {*map(type, services)} <= {str}:
            return levels, [event.timestamp for event in events], services, len(events)
    split = lines.removesuffix(b"\n").split(b"\n")
    found = [event for event in map(readable, split) if event]
    levels = [event.level for event in found]
    timestamps = [event.timestamp for event in found]
    return levels, timestamps, [event.service for event in found], len(split)


def _differs(lines: bytes) -> bool:
    return b"\\" in lines or (not lines.isascii() and bool(DIFFERS.search(lines)))


def _bitmap(lines: bytes) -> tuple[bytes, int, int]:
    """Its bytes, the logarithm of its size, and its checksum."""
    from logpipeline.archive.gram_bitmap import GramBitmap  # numpy takes 0.1 s and 20 MB

    grams = GramBitmap()
    grams.add(lines)
    if _differs(lines):
        events = map(readable, filter(DIFFERS.search, lines.split(b"\n")))
        texts = SEPARATOR.join(event.text for event in events if event)
        grams.add(texts.encode(errors="surrogatepass"))
        grams.add(texts.lower().encode(errors="surrogatepass"))
    data, bits = grams.packed()
    return data, bits, crc32c(data)


def main(names: Sequence[str]) -> int:
    parent = os.getppid()
    os.nice(NICENESS)
    status = 0
    for name in names:
        file = RotatedFile("", Path(name))
        try:
            index(file, lambda: os.getppid() != parent)
        except (OSError, InterruptedError) as error:
            print(f"cannot index {name}: {error}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
