"""Wire: the outer levels of protobuf messages, read in place.

So a body of millions of empty messages is refused before they fill the memory.
"""

from logpipeline.collector.exchange import MOST_EVENTS, check_count

Span = tuple[int, int, int]  # a field's number, start and end
TEN = 10  # bytes of the longest varint
OTHERS = 100  # fields of a message beside its events
SIZES = {1: 8, 5: 4}  # wire type → bytes of a fixed field


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A number, and where it ends. Raises ValueError."""
    value = shift = 0
    for here in range(at, min(end, at + TEN)):
        byte = data[here]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, here + 1
        shift += 7
    raise ValueError(f"invalid number at byte {at}")


def spans(data: bytes, at: int, end: int) -> list[Span]:
    """The fields of a message that are messages, strings or bytes; others are skipped. Raises
    ValueError for an invalid message, Invalid for one with too many of them."""
    found = []
    while at < end:
        tag = data[at]
        at += 1
        if tag > 127:
            tag, at = varint(data, at - 1, end)
        kind = tag & 7
        if kind == 2:
            if at < end and (size := data[at]) < 128:
                at += 1
            else:
                size, at = varint(data, at, end)
            stop = at + size
            if stop > end:
                raise ValueError(f"truncated at byte {at}")
            found.append((tag >> 3, at, stop))
            at = stop
            if len(found) > MOST_EVENTS + OTHERS:
                check_count(len(found))
        elif kind == 0:
            _, at = varint(data, at, end)
        elif kind in SIZES:
            at += SIZES[kind]
        else:
            raise ValueError(f"invalid field at byte {at - 1}")
    if at > end:
        raise ValueError(f"truncated at byte {end}")
    return found


def numbers(data: bytes, at: int, end: int) -> dict[int, int]:
    """The fields of a message that are numbers. Raises ValueError."""
    found = {}
    while at < end:
        tag, at = varint(data, at, end)
        if tag & 7 != 0:
            raise ValueError(f"invalid field at byte {at}")
        found[tag >> 3], at = varint(data, at, end)
    return found
