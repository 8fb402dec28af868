"""Index: what each block of a rotated file has, in `logs-<UTC>.txt.index` beside it.

It only saves time. It is not used when it is missing, torn, damaged, of another version, or of
another file: `packed_size` and `tail` must be those of the file. Blocks are whole lines.
"""

import math
import os
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import repeat
from pathlib import Path
from typing import Self

import msgspec
import zstandard
from crc32c import crc32c

from logpipeline.archive.grams import Bitmap
from logpipeline.archive.rotated import RotatedFile
from logpipeline.files import open_file, replace_file

MAGIC = b"LOGINDX1"
HEADER = struct.Struct("<8sII")  # magic, the size and checksum of the table of blocks
LARGEST = 2**28  # bytes of that table
TAIL = 32  # last bytes of a file, which end with its checksum when zstd has packed it
BIN = 900  # seconds: full hours of every time zone begin with one
FARTHEST = 2**40  # bins of a time that no calendar has
SERVICES = 200  # of a file that are counted by name
OTHERS = -1  # the others
Count = tuple[int, int, int, int]  # bin, level, service (each by its position), events
Key = tuple[int, str, str]  # bin, level, service
_counts = msgspec.msgpack.Decoder(list[Count])


class BadIndex(Exception):  # noqa: N818 - it describes a file
    """An index cannot be used; str() is the reason."""


class Block(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """`length` bytes of lines, from `skip` bytes after the beginning of the frame at `frame`, a
    position in the packed file. `size` are the packed bytes when the block is that frame, else 0.

    `first` and `last` are the smallest and largest timestamp, inf and -inf without events.
    `plain` lines have nothing that a person reads differently, see events/readable.py.
    `counts` is a list of Count in MessagePack: most searches need none of them.
    The bitmap of its grams has 2**`bits` bits, from `bitmap` on; 0 `bits`: there is none.
    """

    frame: int
    size: int
    skip: int
    length: int
    lines: int
    first: float
    last: float
    counts: msgspec.Raw
    plain: bool = False
    bitmap: int = 0
    bits: int = 0
    checksum: int = 0


class Table(msgspec.Struct, frozen=True):
    """`odd` is the number of lines that are no events; `rest` the size of all bitmaps."""

    packed_size: int
    tail: bytes
    odd: int
    levels: list[str]
    services: list[str]
    blocks: list[Block]
    rest: int


class Index:
    """The index of one file. Raises nothing unless said."""

    def __init__(self, table: Table, path: Path, bitmaps: int) -> None:
        self.table = table
        self.blocks = table.blocks
        self._path = path
        self._bitmaps = bitmaps

    @classmethod
    def load(cls, path: Path, file: Path | None) -> Self:
        """The index at `path` of the packed or plain file, if that is here. Raises BadIndex,
        OSError."""
        fd = open_file(path, os.O_RDONLY)
        try:
            table = _table(fd)
        finally:
            os.close(fd)
        if file and (table.packed_size, table.tail) != end_of(file):
            raise BadIndex("it is of a file with other contents")
        begin = path.stat().st_size - table.rest
        return cls(table, path, begin)

    @property
    def length(self) -> int:
        """Bytes of the file's lines."""
        return sum(block.length for block in self.blocks)

    def keys(self, block: Block) -> Iterator[tuple[tuple[int, str, str | None], int]]:
        """(bin, level, service) and their events; the service of OTHERS is None."""
        levels, services = self.table.levels, self.table.services
        for bin_, level, service, events in _counts.decode(block.counts):
            name = None if service == OTHERS else services[service]
            yield (bin_, levels[level], name), events

    def bitmaps(self, blocks: Sequence[Block]) -> Iterator[Bitmap | None]:
        """That of each block, None if it has none, a damaged one, or one that cannot be read."""
        try:
            fd = open_file(self._path, os.O_RDONLY)
        except OSError:  # such as when retention has deleted it
            yield from repeat(None, len(blocks))
            return
        try:
            yield from (self._bitmap(fd, block) for block in blocks)
        finally:
            os.close(fd)

    def _bitmap(self, fd: int, block: Block) -> Bitmap | None:
        with suppress(OSError):
            data = os.pread(fd, 2**block.bits // 8, self._bitmaps + block.bitmap)
            whole = block.bits and len(data) == 2**block.bits // 8
            return Bitmap(data, block.bits) if whole and crc32c(data) == block.checksum else None
        return None


def index_path(file: RotatedFile) -> Path:
    return file.plain.with_name(file.plain.name + ".index")


def load_index(file: RotatedFile) -> Index | None:
    """The file's index; None if it has none that can be used."""
    try:
        return Index.load(index_path(file), file.path())
    except (BadIndex, OSError):
        return None


def save_index(path: Path, table: Table, bitmaps: Sequence[bytes], mode: int | None) -> None:
    """Raises OSError."""
    packed = zstandard.compress(msgspec.msgpack.encode(table))
    head = HEADER.pack(MAGIC, len(packed), crc32c(packed))
    replace_file(path, b"".join([head, packed, *bitmaps]), mode)


def end_of(file: Path) -> tuple[int, bytes]:
    """Its size and last bytes. Raises OSError."""
    fd = open_file(file, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        return size, os.pread(fd, TAIL, max(0, size - TAIL))
    finally:
        os.close(fd)


def bin_of(timestamp: float, seconds: int = BIN) -> int:
    """The number of the quarter of an hour, or of so many seconds, in UTC."""
    return int(max(-FARTHEST, min(FARTHEST, timestamp // seconds)))


def merged(keys: Counter[Key], levels: list[str], services: list[str]) -> msgspec.Raw:
    """`keys` by positions in the two lists, which get what they lack."""
    counts: Counter[tuple[int, int, int]] = Counter()
    for (bin_, level, service), events in keys.items():
        counts[bin_, _position(levels, level), _position(services, service, SERVICES)] += events
    rows = [(*key, events) for key, events in sorted(counts.items())]
    return msgspec.Raw(msgspec.msgpack.encode(rows))


def _position(names: list[str], name: str, most: float = math.inf) -> int:
    if name not in names:
        if len(names) >= most:
            return OTHERS
        names.append(name)
    return names.index(name)


def _table(fd: int) -> Table:
    """Raises BadIndex, OSError."""
    head = os.pread(fd, HEADER.size, 0)
    if len(head) < HEADER.size or not head.startswith(MAGIC):
        raise BadIndex("it is torn, or of another version")
    _, size, checksum = HEADER.unpack(head)
    packed = os.pread(fd, min(size, LARGEST), HEADER.size)
    if len(packed) != size or crc32c(packed) != checksum:
        raise BadIndex("it is torn or damaged")
    try:
        data = zstandard.ZstdDecompressor().decompress(packed, max_output_size=LARGEST)
        table = msgspec.msgpack.decode(data, type=Table)
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise BadIndex(f"it is damaged: {error}") from None
    if os.fstat(fd).st_size != HEADER.size + size + table.rest:
        raise BadIndex("it is torn")
    return table
