"""An index's bitmap has each piece of a text: what numpy finds is what a plain loop finds."""

import re
from random import Random

import pytest

from logpipeline.archive.gram_bitmap import CHUNK, GramBitmap
from logpipeline.archive.grams import (
    FOLDED,
    GRAM,
    HEX,
    IN_RUN,
    LONG,
    STEP,
    STRIDE,
    Bitmap,
    Wanted,
    hash4,
    hash8,
)

ALPHABETS = (b"abcdef0123456789", b"ab \n", bytes(range(256)), b"xyz0123 ", "é日a1 ".encode())
LENGTHS = (0, 1, 3, 8, 15, 16, 17, 5_000, *(CHUNK + more for more in (-1, 0, 1, 3, 15)), 2 * CHUNK)
RUN = re.compile(b"[%s]{%d,}" % (re.escape(bytes(b for b in range(256) if IN_RUN[b])), LONG))


def texts(dice: Random) -> list[bytes]:
    """Of every length; some have a run of letters across the end of a chunk."""
    found = [bytes(dice.choices(dice.choice(ALPHABETS), k=length)) for length in LENGTHS]
    for length in (LONG - 1, LONG, LONG + 1, 2 * LONG, CHUNK + LONG):
        before = CHUNK - dice.randrange(length + 2) if length < CHUNK else 7
        found.append(b" " * before + b"f" * length + b" end")
    return found


def plainly(text: bytes) -> set[int]:
    folded = text.translate(FOLDED)
    padded = folded + bytes(GRAM)
    grams = (padded[at : at + GRAM] for at in range(0, len(text), STRIDE))
    slots = {hash4(gram) for gram in grams if not HEX.issuperset(gram)}
    for run in RUN.findall(folded):
        slots |= {hash8(run[at : at + STEP]) for at in range(0, len(run) - STEP + 1, STEP)}
    return slots


@pytest.mark.parametrize("seed", range(4))
def test_a_bitmap_has_what_a_plain_loop_finds(seed: int) -> None:
    for text in texts(Random(seed)):
        bitmap = GramBitmap()
        bitmap.add(text)
        data, bits = bitmap.packed()
        present = {at for at in range(2**bits) if data[at >> 3] & 0x80 >> at % 8}
        assert present == {slot & 2**bits - 1 for slot in plainly(text)}, (len(text), text[:40])


def test_each_part_of_a_text_may_be_in_it_and_few_others() -> None:
    dice = Random(9)
    text = b"\n".join(
        b"id=%032x order %d placed" % (dice.getrandbits(128), n) for n in range(4_000)
    )
    bitmap = GramBitmap()
    bitmap.add(text)
    mine = Bitmap(*bitmap.packed())
    for _ in range(2_000):
        at, length = dice.randrange(len(text)), dice.choice([1, 5, 12, 40])
        assert Wanted([text[at : at + length].upper()]).may_be_in(mine)
    others = [Wanted([b"%032x" % dice.getrandbits(128)]).may_be_in(mine) for _ in range(1_000)]
    assert sum(others) < 50


def test_a_whole_value_may_be_in_its_text_and_hardly_any_other() -> None:
    dice = Random(10)
    values = [b"%032x" % dice.getrandbits(128) for _ in range(4_000)]
    bitmap = GramBitmap()
    bitmap.add(b"\n".join(b'{"id": "%s"}' % value for value in values))
    mine = Bitmap(*bitmap.packed())
    assert all(Wanted([value], [value]).may_be_in(mine) for value in values)
    others = [b"%032x" % dice.getrandbits(128) for _ in range(2_000)]
    assert sum(Wanted([other], [other]).may_be_in(mine) for other in others) < 5
