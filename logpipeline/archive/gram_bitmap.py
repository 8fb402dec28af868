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
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


class GramBitmap:
    """The pieces of the texts that are added."""

    def __init__(self) -> None:
        self._slots: Bytes = np.zeros(2**LARGEST, np.uint8)

    def add(self, text: bytes) -> None:
        folded = np.zeros(len(text) + STEP, np.uint8)
        np.bitwise_or(np.frombuffer(text, np.uint8), FOLD, out=folded[: len(text)])
        for begin in range(0, len(text), CHUNK):
            self._add_grams(folded, begin, min(begin + CHUNK, len(text)))
        self._add_runs(folded, len(text))

    def packed(self) -> tuple[bytes, int]:
        """The bitmap, and the logarithm of its size in bits."""
        pieces = int(np.count_nonzero(self._slots))
        bits = min(LARGEST, max(SMALLEST, (SPARSE * pieces - 1).bit_length()))
        slots = self._slots.reshape(-1, 2**bits).max(axis=0)
        return np.packbits(slots).tobytes(), bits

    def _add_grams(self, folded: Bytes, begin: int, end: int) -> None:
        other = ~_is_hex(folded[begin : end + GRAM])
        size = (end - begin + 1) // STRIDE
        kept = np.zeros(size, np.bool_)
        for at in range(GRAM):
            kept |= other[at : at + STRIDE * size : STRIDE]
        grams = np.ndarray((size,), np.uint32, folded.data, begin, (STRIDE,))[kept]
        grams *= np.uint32(FACTOR4)
        grams >>= np.uint32(32 - LARGEST)
        self._slots[grams] = 1

    def _add_runs(self, folded: Bytes, size: int) -> None:
        whole = np.zeros(len(folded), np.bool_)  # where STEP bytes of a run begin
        found = [_runs(folded, begin, whole) for begin in range(0, size, CHUNK)]
        starts = np.concatenate(found) if found else np.empty(0, np.intp)
        pieces = np.ndarray((size,), np.uint64, folded.data, 0, (1,))
        while len(starts):
            hashes = pieces[starts] * np.uint64(FACTOR8)
            hashes = (hashes ^ (hashes >> np.uint64(32))) * np.uint64(FACTOR8)
            self._slots[hashes >> np.uint64(64 - LARGEST)] = 1
            starts = starts[starts + STEP < size] + STEP
            starts = starts[whole[starts]]


def _runs(folded: Bytes, begin: int, whole: Any) -> Any:
    """Where long runs begin in the CHUNK at `begin`; marks in `whole` where they go on."""
    in_run = _is_in_run(folded[max(0, begin - 1) : begin + CHUNK + LONG - 1])
    before = in_run if begin else np.concatenate((np.zeros(1, np.bool_), in_run))
    after = before[1:]
    steps = after[:-1] & after[1:]
    steps = steps[:-2] & steps[2:]
    steps = steps[:-4] & steps[4:]
    whole[begin : begin + len(steps)] = steps
    first = steps[: -(LONG - STEP)] & steps[LONG - STEP :]
    first &= ~before[: len(first)]
    return np.flatnonzero(first) + begin


def _is_hex(folded: Bytes) -> Any:
    return (folded - np.uint8(48) < 10) | (folded - np.uint8(97) < 6)


def _is_in_run(folded: Bytes) -> Any:
    return (folded - np.uint8(48) < 10) | (folded - np.uint8(97) < 26) | (folded >= 128)
