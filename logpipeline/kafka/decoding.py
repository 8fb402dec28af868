"""Decoding: the bytes of a batch into Columns, in one flat loop.

kafka-python makes seven calls and creates three objects for each record, which costs more than
everything else that a consumer does.
"""

from kafka.record.util import decode_varint

from logpipeline.events.columns import Columns

LARGEST = 2**14 - 1  # value of a varint of two bytes
PADDING = bytes(10)  # as long as a varint


def decode(data: bytes, at: int, most: int, base: int, into: Columns) -> int:
    """Add up to `most` records of format 2 (kafka.apache.org/documentation/#record) to `into`:
    those that are complete in `data` from `at` on. Returns the position after the last one.

    A varint is zigzag: an even one is twice its number, an odd one is negative. Attributes have no
    meaning, and headers are skipped. Raises ValueError, IndexError when the bytes are not records;
    `into` then has the records before them, and possibly one extra key and value.
    """
    limit = 2 * len(data)
    data += PADDING  # so that a size can be read at the end of the data
    offsets, keys, values = into.offsets, into.keys, into.values
    for _ in range(most):
        begin = at
        size = data[at]
        at += 1
        if size > 127:
            size += (data[at] - 1) << 7
            at += 1
            if size > LARGEST:
                size, at = _long(data, at - 2)
        end = 2 * at + size
        if end > limit:
            return begin
        at += 2
        if data[at - 1] > 127:  # of the timestamp, which is skipped
            at += 1
            if data[at - 1] > 127:
                _, at = _long(data, at - 2)
        number = data[at]
        at += 1
        if number > 127:
            number += (data[at] - 1) << 7
            at += 1
            if number > LARGEST:
                number, at = _long(data, at - 2)
        if number & 1:
            number = -number
        offset = base + (number >> 1)
        number = data[at]
        at += 1
        if number > 127:
            number, at = _long(data, at - 1)
        if number & 1:
            keys.append(None)
        else:
            start = at
            at += number >> 1
            keys.append(data[start:at])
        number = data[at]
        at += 1
        if number > 127:
            number += (data[at] - 1) << 7
            at += 1
            if number > LARGEST:
                number, at = _long(data, at - 2)
        if number & 1:
            values.append(None)
        else:
            start = at
            at += number >> 1
            values.append(data[start:at])
        if 2 * at >= end or size & 1:
            raise ValueError("a record exceeds its stated length")
        offsets.append(offset)
        at = end >> 1
    return at


def _long(data: bytes, at: int) -> tuple[int, int]:
    """The varint at `at`, of any length and still zigzag, and the position after it."""
    number, after = decode_varint(data, at)
    return 2 * number if number >= 0 else -2 * number - 1, after
