"""Grams: which short pieces of text a block has, as a bitmap that may err by saying yes, never no.

A text is folded first: bit 0x20 of each byte is set, so that ASCII letters have one case. The
bitmap has two kinds of pieces:

- four bytes at each even position, unless all are hexadecimal digits: nearly all of those occur in
  any block. So of any text either those at its even positions or those at its odd ones are there;
- of a run of LONG or more letters and digits, such as a trace id, the bytes 0 to 7, 8 to 15, and so
  on. Any LONG bytes of the run have at least one of these whole, at an unknown offset.
"""

import re
from collections.abc import Collection, Sequence
from functools import cache, cached_property

import msgspec

GRAM = 4
STRIDE = 2
STEP = 8
LONG = 2 * STEP - 1
FOLD = 0x20
HEX = frozenset(b"0123456789abcdef")
LARGEST = 20  # bits of a hash; a bitmap has up to 2**20
SMALLEST = 13
SPARSE = 8  # a bitmap has at least so many bits for each piece
FACTOR4, FACTOR8 = 0x9E3779B1, 0x9E3779B97F4A7C15
EIGHT = 2**64 - 1
FOLDED = bytes(byte | FOLD for byte in range(256))
RUN = re.compile(rb"[^\0]{%d,}" % LONG)
IN_RUN = bytes(
    48 <= (byte | FOLD) < 58 or 97 <= (byte | FOLD) < 123 or byte >= 128 for byte in range(256)
)


class Bitmap(msgspec.Struct, frozen=True, gc=False):
    """`data` has 2**`bits` bits."""

    data: bytes
    bits: int


class Wanted:
    """The pieces that a text must have to contain all of `literals`, in any case.

    No letter or digit is before those in `begun`.
    """

    def __init__(self, literals: Sequence[bytes], begun: Collection[bytes] = ()) -> None:
        self._literals = [(literal.translate(FOLDED), literal in begun) for literal in literals]
        self._places = cache(self._at)

    @cached_property
    def _choices(self) -> list[list[list[int]]]:
        """For each long run of the literals, and each literal, the pieces by their possible
        offsets: the rarest first."""
        found = []
        for text, begun in self._literals:
            for at, run in _runs(text):
                offsets = STEP if at == 0 and not begun else 1  # else the text's run begins here
                found.append([_long(run[offset:]) for offset in range(offsets)])
        for text, _ in self._literals:
            found.append([_short(text[at:]) for at in range(STRIDE)])
        return [offsets for offsets in found if all(offsets)]

    def __bool__(self) -> bool:
        """Whether a bitmap may exclude anything."""
        return bool(self._choices)

    def may_be_in(self, bitmap: Bitmap) -> bool:
        """Of each choice, all pieces at one of the offsets must be there. Loops are quickest."""
        data = bitmap.data
        for offsets in self._places(bitmap.bits):
            for places in offsets:
                for byte, bit in places:
                    if not data[byte] & bit:
                        break
                else:
                    break
            else:
                return False
        return True

    def _at(self, bits: int) -> list[list[list[tuple[int, int]]]]:
        """Where the pieces are in a bitmap of that size: bytes, and the bit in each."""
        mask = 2**bits - 1

        def place(piece: int) -> tuple[int, int]:
            return (piece & mask) >> 3, 0x80 >> (piece & 7)

        return [[[*map(place, pieces)] for pieces in offsets] for offsets in self._choices]


def hash4(piece: bytes) -> int:
    return (int.from_bytes(piece, "little") * FACTOR4 & 0xFFFFFFFF) >> (32 - LARGEST)


def hash8(piece: bytes) -> int:
    product = int.from_bytes(piece, "little") * FACTOR8 & EIGHT
    return ((product ^ (product >> 32)) * FACTOR8 & EIGHT) >> (64 - LARGEST)


def _short(text: bytes) -> list[int]:
    grams = [text[at : at + GRAM] for at in range(0, len(text) - GRAM + 1, STRIDE)]
    return [hash4(gram) for gram in grams if not HEX.issuperset(gram)]


def _runs(text: bytes) -> list[tuple[int, bytes]]:
    """The long ones, each with its position."""
    marked = bytes(byte if IN_RUN[byte] else 0 for byte in text)
    return [(found.start(), found[0]) for found in RUN.finditer(marked)]


def _long(text: bytes) -> list[int]:
    return [hash8(text[at : at + STEP]) for at in range(0, len(text) - STEP + 1, STEP)]
