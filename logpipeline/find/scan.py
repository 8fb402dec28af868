"""Scan: the lines of a block that may match, found in its bytes as they are, without decoding."""

import ctypes
import os
import re
from collections.abc import Iterator
from heapq import merge
from typing import Any

from logpipeline.archive.grams import FOLD, FOLDED
from logpipeline.find.literals import Literal

_memmem = getattr(ctypes.CDLL(None), "memmem", None)  # three times as fast as bytes.find
if _memmem:
    _memmem.restype = ctypes.c_void_p
    _memmem.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
RARE = 3  # digits
OFTEN = 200  # times in a block: it is quicker to fold the block
MUCH = 64 * 2**20  # bytes for which numpy is imported: that takes 0.1 s


class Scan:
    """Finds lines with one literal."""

    def __init__(self, literal: Literal) -> None:
        self._any_case = literal.any_case
        self._text = literal.text
        self._loose = literal.loose
        self._anchor = _anchor(literal.text) if literal.any_case else b""
        self._anchored_at = literal.text.find(self._anchor)
        self._size = 0  # of what was folded
        self._buffer: Any = b""

    def prepare(self) -> None:
        """There will be much: import numpy now, before processes are forked."""
        self._size = MUCH
        if self._any_case:
            import numpy as np  # noqa: F401

    def lines(self, data: bytes, plain: bool = False) -> Iterator[tuple[int, int]]:
        """The begin and end of each line that may have it, in order, each once. In `plain` ones
        nothing is written in another way."""
        at = 0
        found_at = self._positions(data)
        for found in found_at if plain else merge(found_at, self._loose_positions(data)):
            if found >= at:
                begin = data.rfind(b"\n", 0, found) + 1
                end = data.find(b"\n", found)
                at = len(data) if end < 0 else end + 1
                yield begin, len(data) if end < 0 else end

    def _loose_positions(self, data: bytes) -> Iterator[int]:
        if b"\\" in data or not data.isascii():
            found = self._loose.search(data)
            while found:
                yield found.start()
                line_end = data.find(b"\n", found.end())
                found = self._loose.search(data, line_end) if line_end >= 0 else None

    def _positions(self, data: bytes) -> Iterator[int]:
        """Where the literal is; after each, the search resumes in the next line."""
        if self._anchor and (positions := self._by_anchor(data)) is not None:
            yield from positions
            return
        searched, text = self._folded(data) if self._any_case else (data, self._text)
        address = _address(searched)
        at = _find(searched, address, text, 0)
        while at >= 0:
            yield at
            line_end = data.find(b"\n", at)
            at = _find(searched, address, text, line_end + 1) if line_end >= 0 else -1

    def _by_anchor(self, data: bytes) -> list[int] | None:
        """Where it is, by a part of it that has one case; None if that part is everywhere."""
        positions: list[int] = []
        address = _address(data)
        at = _find(data, address, self._anchor, 0)
        for _ in range(OFTEN):
            if at < 0:
                return positions
            begin = at - self._anchored_at
            if begin >= 0 and data[begin : begin + len(self._text)].lower() == self._text:
                positions.append(begin)
                at = data.find(b"\n", at)
                if at < 0:
                    return positions
            at = _find(data, address, self._anchor, at + 1)
        self._anchor = b""
        return None

    def _folded(self, data: bytes) -> tuple[Any, bytes]:
        """The data and the text with letters in one case, and other bytes alike."""
        self._size += len(data)
        if self._size < MUCH:
            return data.lower(), self._text
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        import numpy as np

        if len(self._buffer) < len(data):
            self._buffer = np.empty(len(data), np.uint8)
        folded = self._buffer[: len(data)]
        np.bitwise_or(np.frombuffer(data, np.uint8), FOLD, out=folded)
        return folded, self._text.translate(FOLDED)


def _anchor(text: bytes) -> bytes:
    """The longest part without letters, if it may be rare."""
    found = max(re.split(rb"[a-z]+", text), key=len)
    return found if sum(48 <= byte < 58 for byte in found) >= RARE else b""


def _address(data: Any) -> int:
    """Where the bytes, or those of an array, are in memory."""
    if isinstance(data, bytes):
        return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
    return int(data.ctypes.data)


def _find(data: Any, address: int, text: bytes, at: int) -> int:
    if not _memmem:
        return int(bytes(data).find(text, at))
    found = _memmem(address + at, len(data) - at, text, len(text))
    return found - address if found else -1
