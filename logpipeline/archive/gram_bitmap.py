"""Gram bitmap: makes a Bitmap of megabytes of text, some operations for all bytes at a time."""

import os
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's threads are of no use here

import numpy as np

from logpipeline.archive.grams import (
    FACTOR4,
    FACTOR8,
    FOLD,
    GRAM,
    LARGEST,
    LONG,
    SMALLEST,
    SPARSE,
    STEP,
    STRIDE,
)

CHUNK = 2**16  # bytes at a time: what they need fits into a core's cache
AHEAD = 2 * STEP  # bytes after them, by which pieces that begin in them are known
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


class GramBitmap:
    """The pieces of the texts that are added."""

    def __init__(self) -> None:
        self._slots: Bytes = np.zeros(1 + 2**LARGEST, np.uint8)  # the first is for no piece

    def add(self, text: bytes) -> None:
        folded = np.zeros(len(text) + AHEAD, np.uint8)
        np.bitwise_or(np.frombuffer(text, np.uint8), FOLD, out=folded[: len(text)])
        steps = np.zeros(len(folded), np.bool_)  # where STEP bytes of a run begin
        starts, inside = [np.empty(0, np.intp)], False
        for begin in range(0, len(text), CHUNK):
            part = folded[begin : begin + CHUNK + AHEAD]
            digits, letters = part - np.uint8(48) < 10, part - np.uint8(97)
            self._add_grams(part, ~(digits | (letters < 6)))
            in_run = digits | (letters < 26) | (part >= 128)
            end = begin + len(part) - AHEAD
            starts.append(_runs(in_run, inside, steps[begin:end]) + begin)
            inside = bool(in_run[-AHEAD - 1])
        self._add_runs(folded, np.concatenate(starts), steps)

    def packed(self) -> tuple[bytes, int]:
        """The bitmap, and the logarithm of its size in bits."""
        slots = self._slots[1:]
        pieces = int(np.count_nonzero(slots))
        bits = min(LARGEST, max(SMALLEST, (SPARSE * pieces - 1).bit_length()))
        slots = slots.reshape(-1, 2**bits).max(axis=0)
        return np.packbits(slots).tobytes(), bits

    def _add_grams(self, part: Bytes, other: Any) -> None:
        """Add the grams that begin in the part before its last AHEAD bytes. `other` is true where
        a byte is not hexadecimal.

        Every second gram is read as one of an array of numbers, the others as those of another.
        """
        size = len(part) - AHEAD
        for at in range(0, GRAM, STRIDE):
            end = at + (size - at + GRAM - 1) // GRAM * GRAM
            grams = part[at:end].view(np.uint32) * np.uint32(FACTOR4)
            grams >>= np.uint32(32 - LARGEST)
            grams += 1
            grams *= other[at:end].view(np.uint32) != 0  # half the time of leaving the others out
            self._slots[grams] = 1

    def _add_runs(self, folded: Bytes, starts: Any, steps: Any) -> None:
        pieces = np.ndarray((len(folded) - STEP,), np.uint64, folded.data, 0, (1,))
        while len(starts):
            hashes = pieces[starts] * np.uint64(FACTOR8)
            hashes = (hashes ^ (hashes >> np.uint64(32))) * np.uint64(FACTOR8)
            self._slots[(hashes >> np.uint64(64 - LARGEST)) + np.uint64(1)] = 1
            starts = starts[steps[starts + STEP]] + STEP


def _runs(in_run: Any, inside: bool, steps: Any) -> Any:
    """Where long runs begin, and in `steps` where STEP bytes of any do. `inside` is whether the
    byte before is in a run."""
    whole = in_run[:-1] & in_run[1:]
    whole = whole[:-2] & whole[2:]
    whole = whole[:-4] & whole[4:]
    steps[:] = whole[: len(steps)]
    first = whole[: len(steps)] & whole[LONG - STEP : len(steps) + LONG - STEP]
    first[1:] &= ~in_run[: len(steps) - 1]
    first[0] &= not inside
    return np.flatnonzero(first)
