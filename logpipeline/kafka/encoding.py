"""Encoding: keys and values as the records of a Kafka batch, in one flat loop.

kafka-python makes a dozen calls for each record, which takes seven times as long.
"""

from collections.abc import Iterable
from functools import cache
from itertools import groupby
from operator import add

from kafka.record.util import encode_varint

Pair = tuple[bytes, bytes]  # a record's key and value

COMMON = 2**14  # numbers whose varint is kept: sizes and places in a batch
USUAL = 2**11  # sizes of records whose lengths are kept
KEYS, SHORT = 10_000, 200  # keys that are kept, and the bytes of the longest one
WIDTHS = (2**6, 2**13, 2**20, 2**27, 2**31)  # numbers from which on a varint takes a byte more
PIECE = 1_024  # records that are encoded at once: larger ones leave the processor's cache
ATTRIBUTES = NO_HEADERS = b"\0"
OVERHEAD = 21  # bytes that a record takes beside its key and value, at most


class Varints(dict[int, bytes]):
    """Numbers in Kafka's variable-length format: zigzag, 7 bits a byte."""

    def __init__(self) -> None:
        super().__init__((number, self[number]) for number in range(COMMON))

    def __missing__(self, number: int) -> bytes:
        varint = bytearray()
        encode_varint(number, varint.append)
        return bytes(varint)


VARINT = Varints()
NUMBERS = list(VARINT.values())


class EncodedKeys(dict[bytes, bytes]):
    """Keys after their size."""

    def __missing__(self, key: bytes) -> bytes:
        field = VARINT[len(key)] + key
        if len(self) < KEYS and len(key) <= SHORT:
            self[key] = field
        return field


KEY = EncodedKeys()


class Lengths(dict[int, bytes]):
    """What precedes a record's attributes, by the bytes of its key and value with their sizes: the
    number of headers of the record before it, and its length, which has `more` bytes than these."""

    def __init__(self, more: int) -> None:
        super().__init__()
        self._more = more

    def __missing__(self, size: int) -> bytes:
        field = NO_HEADERS + VARINT[self._more + size]
        if size < USUAL:
            self[size] = field
        return field


LENGTHS = cache(Lengths)  # by what the varints of a time and a number take: a few


def encode(fields: list[bytes], times: Iterable[tuple[int, int]]) -> bytearray:
    """The records of format 2 (kafka.apache.org/documentation/#record), without headers.

    `fields` are each key and value in turn; `times` have milliseconds after the time of the batch,
    and the number of records with these. It takes a loop in C for each column, at half of the cost
    of one in Python.
    """
    starts: list[bytes] = []
    for milliseconds, count in times:
        starts += [ATTRIBUTES + VARINT[milliseconds]] * count
    records = bytearray()
    begin = 0
    for end in _ends(times):
        records += b"".join(_encoded(fields[2 * begin : 2 * end], starts[begin:end], begin))
        begin = end
    if records:
        del records[: len(NO_HEADERS)]
        records += NO_HEADERS
    return records


def _ends(times: Iterable[tuple[int, int]]) -> list[int]:
    """Numbers of records, with those before which the varint of a time or a number changes its
    size: these cut the batch into pieces that are encoded at once."""
    number, ends = 0, {*WIDTHS}
    for _, same in groupby(times, key=lambda time: len(VARINT[time[0]])):
        number += sum(count for _, count in same)
        ends.add(number)
    return sorted(end for end in {*ends, *range(PIECE, number, PIECE)} if end <= number)


def _encoded(fields: list[bytes], starts: list[bytes], number: int) -> list[bytes]:
    keys, values = fields[::2], fields[1::2]
    sizes = list(map(len, values))
    lengths = LENGTHS(len(starts[0]) + len(VARINT[number]) + len(NO_HEADERS))
    parts: list[bytes] = [b""] * (5 * len(keys))
    if keys.count(keys[0]) == len(keys):
        heads = {size: KEY[keys[0]] + VARINT[size] for size in {*sizes}}
        whole = {size: lengths[len(head) + size] for size, head in heads.items()}
        parts[::5] = map(whole.__getitem__, sizes)
        parts[3::5] = map(heads.__getitem__, sizes)
    else:
        parts[3::5] = map(add, map(KEY.__getitem__, keys), map(VARINT.__getitem__, sizes))
        parts[::5] = map(lengths.__getitem__, map(add, map(len, parts[3::5]), sizes))
    parts[1::5] = starts
    parts[2::5] = _numbers(number, number + len(keys))
    parts[4::5] = values
    return parts


def _numbers(first: int, end: int) -> list[bytes]:
    """The varints of these numbers."""
    common = NUMBERS[first:end]
    return common + list(map(VARINT.__getitem__, range(first + len(common), end)))
