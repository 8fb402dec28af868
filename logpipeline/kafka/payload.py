"""Payload: the records of one Kafka batch, decoded piece by piece as they are unpacked.

A batch may unpack to gigabytes, and so may one of its records: a piece has about PIECE bytes, and
of a value that is too large only the beginning is kept. The broker has checked the batch's
structure, and the library its checksum; but the broker accepts invalid offsets, header keys that
are not UTF-8, and bytes that its decompressors ignore.
"""

import math
from collections.abc import Iterator
from contextlib import suppress
from operator import lt

from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint

from logpipeline.events.columns import Columns, Headers
from logpipeline.events.event import BEGINNING, Partial, Value
from logpipeline.kafka.codecs import unpacked
from logpipeline.kafka.decoding import decode
from logpipeline.kafka.native import decode_all
from logpipeline.kafka.stream import Stream

PIECE = 1 * 2**20  # bytes
HEADERS = 2**16  # bytes of a record's headers that are read
MOST_HEADERS = 20  # of a record


class Payload:
    """Iterates over Columns, each with some records of `batch`. A value of more than `most` bytes
    is a Partial, if it did not fit into a piece. Only `details` have headers and times.

    Records that cannot be decoded are one Partial, at the first of their offsets. Raises
    UnsupportedCodecError.
    """

    def __init__(
        self, batch: DefaultRecordBatch, most: float = math.inf, details: bool = False
    ) -> None:
        self._batch = batch
        self._most = most
        self._details = details
        self._left = batch.records_count
        self._previous = batch.base_offset - 1  # offset
        packed = bytes(memoryview(batch._buffer)[batch._pos :])
        self._stream = Stream(unpacked(batch.compression_type, packed))

    @property
    def position(self) -> int:
        """Decoded bytes of the payload."""
        return self._stream.position

    def __iter__(self) -> Iterator[Columns]:
        problem: object = None
        if self._left > self._batch.last_offset - self._previous:
            problem = "it has more records than offsets"
        whole = None if problem else self._whole()
        while self._left > 0 and not problem:
            piece = whole or Columns()
            try:
                if not piece:
                    self._add(piece)
            except (ValueError, IndexError, EOFError) as error:
                problem = error
                count = len(piece.offsets)
                del piece.keys[count:], piece.values[count:]
            if piece:
                self._put_in_order(piece.offsets)
                yield piece
        if not problem:
            more = self._stream.fill(1)
            problem = "it has more bytes than its records" if more else self._stream.problem
        if problem and self._previous < self._batch.last_offset:
            yield self._rest(problem)

    def _whole(self) -> Columns | None:
        """All records at once, if they fit into a piece and nothing is wrong with them."""
        stream = self._stream
        if self._details or not stream.fill(PIECE) or not stream.ended or stream.problem:
            return None
        records = decode_all(self._batch, stream.data)
        if records:
            stream.at = len(stream.data)
        return records

    def _add(self, piece: Columns) -> None:
        """Add some records; also those before an error. Raises ValueError, IndexError, EOFError."""
        stream = self._stream
        if not self._details:
            stream.fill(PIECE)
            base = self._batch.base_offset
            stream.at = decode(stream.data, stream.at, self._left, base, piece)
        if not piece:
            self._add_one(piece)

    def _add_one(self, piece: Columns) -> None:
        """Add one record of any size."""
        batch, stream = self._batch, self._stream
        end = stream.varint() + stream.position
        stream.take(1, 0)  # attributes, which have no meaning
        milliseconds = batch.first_timestamp + stream.varint()
        offset = batch.base_offset + stream.varint()
        key, value = self._field("key"), self._field("value")
        if stream.position >= end:
            raise ValueError("a record exceeds its stated length")
        headers = stream.take(end - stream.position, HEADERS if self._details else 0)
        if self._details:
            if batch.timestamp_type:
                milliseconds = batch.max_timestamp
            piece.details.append((milliseconds, _headers(headers)))
        if isinstance(key, Partial):
            key, value = key.beginning, key
        piece.keys.append(key)
        piece.values.append(value)
        piece.offsets.append(offset)

    def _field(self, name: str) -> Value:
        """The next key or value."""
        size = self._stream.varint()
        if size < 0:
            return None
        if size <= self._most:
            return self._stream.take(size, size)
        return Partial.too_large(self._stream.take(size, BEGINNING), size, self._most, name)

    def _put_in_order(self, offsets: list[int]) -> None:
        """Make them ascend, and leave one for each remaining record: Kafka does not check them."""
        self._left -= len(offsets)
        highest = self._batch.last_offset - self._left
        ascending = offsets == list(range(offsets[0], offsets[0] + len(offsets))) or all(
            map(lt, offsets, offsets[1:])
        )
        if not (ascending and self._previous < offsets[0] and offsets[-1] <= highest):
            for index, offset in enumerate(offsets, 1 - len(offsets)):
                if not self._previous < offset <= highest + index:
                    offset = self._previous + 1
                self._previous = offsets[index - 1] = offset
        self._previous = offsets[-1]

    def _rest(self, problem: object) -> Columns:
        """The remaining offsets, as one record."""
        batch, first = self._batch, self._previous + 1
        last = batch.last_offset
        what = f"offsets {first} to {last}" if first < last else f"offset {first}"
        sentence = f"{what} cannot be decoded: {problem}"
        beginning = bytes(memoryview(batch._buffer)[:BEGINNING])
        value = Partial(beginning, "unreadable batch", sentence)
        details = [(batch.max_timestamp, Headers())] if self._details else []
        return Columns([first], [None], [value], details)


def _headers(data: bytes) -> Headers:
    """The valid headers, up to the first invalid one."""
    kept: Headers = []
    with suppress(IndexError, ValueError):
        count, at = decode_varint(data, 0)
        for _ in range(min(count, MOST_HEADERS)):
            name, at = _part(data, at)
            value, at = _part(data, at)
            kept.append(((name or b"").decode(errors="replace"), value))
    return kept


def _part(data: bytes, at: int) -> tuple[bytes | None, int]:
    """The name or value of a header at `at`, and the position after it. Raises ValueError."""
    size, at = decode_varint(data, at)
    if at + size > len(data):
        raise ValueError("incomplete header")
    return (None, at) if size < 0 else (data[at : at + size], at + size)
