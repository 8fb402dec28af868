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
        in_run = np.empty(len(folded), np.bool_)
        for at in range(0, len(folded), CHUNK):
            in_run[at : at + CHUNK] = _is_in_run(folded[at : at + CHUNK])
        whole = in_run[:-1] & in_run[1:]
        whole = whole[:-2] & whole[2:]
        whole = whole[:-4] & whole[4:]  # STEP bytes from here on
        first = whole[: -(LONG - STEP)] & whole[LONG - STEP :]
        first[1:] &= ~in_run[: len(first) - 1]
        starts = np.flatnonzero(first)
        pieces = np.ndarray((size,), np.uint64, folded.data, 0, (1,))
        while len(starts):
            hashes = pieces[starts] * np.uint64(FACTOR8)
            hashes = (hashes ^ (hashes >> np.uint64(32))) * np.uint64(FACTOR8)
            self._slots[hashes >> np.uint64(64 - LARGEST)] = 1
            starts = starts[starts + STEP < len(whole)] + STEP
            starts = starts[whole[starts]]


def _is_hex(folded: Bytes) -> Any:
    return (folded - np.uint8(48) < 10) | (folded - np.uint8(97) < 6)


def _is_in_run(folded: Bytes) -> Any:
    return (folded - np.uint8(48) < 10) | (folded - np.uint8(97) < 26) | (folded >= 128)
