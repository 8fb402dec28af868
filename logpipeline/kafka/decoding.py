"""Decoding: the bytes of a batch → Columns, in one flat loop.

kafka-python makes seven calls and three objects for each record, which costs more than all the
rest that a consumer does.
"""

from kafka.record.util import decode_varint

from logpipeline.events.columns import Columns

LARGEST = 2**14 - 1  # of what two bytes of a varint hold
PADDING = bytes(10)  # as long as a varint


def decode(data: bytes, at: int, most: int, base: int, into: Columns) -> int:
    """Add up to `most` records of format 2 (kafka.apache.org/documentation/#record) to `into`, as
    far as `data` has them whole from `at` on. Returns the position after the last of these.

    A varint of `number` is zigzag: halved, it is a number from 0, and odd, a negative one.
    Attributes have no meaning, and headers are not used here. Raises ValueError, IndexError when
    the bytes are no records; `into` then has those before, and maybe a key and a value too many.
    """
    limit = 2 * len(data)
    data += PADDING  # so that no size can be cut where the data end
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
        if data[at - 1] > 127:  # of the timestamp, which is not used here
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
            raise ValueError("a record that is longer than it says")
        offsets.append(offset)
        at = end >> 1
    return at


def _long(data: bytes, at: int) -> tuple[int, int]:
    """The varint of any length at `at`, still zigzag, and the position after it."""
    number, after = decode_varint(data, at)
    return 2 * number if number >= 0 else -2 * number - 1, after
