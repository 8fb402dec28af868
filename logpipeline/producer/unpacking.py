"""Unpacking: the bytes of a packed file, as many as the tools that packed it give back.

A damaged file gives what is before the damage: Python's own readers lose up to a buffer of it.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import zstandard

from logpipeline.producer.contents import PACKED

PIECE = 512  # packed bytes at a time: zeros unpack to 32,768 times as many
MOST = 2**16  # unpacked bytes at a time, where the library can bound them
CHUNK = 2**18  # bytes given at once
BROKEN = (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError, ValueError)
FINE = {"bzip2": 8}  # unpacked bytes of a step towards damage, where 1 is slow
PADDED = {"gzip", "xz"}  # zeros between members are no damage
LENIENT = {"gzip", "bzip2"}  # whose tools ignore what follows the last member

Chunks = Iterator[bytes]


class DamagedError(Exception):
    """A packed file cannot be unpacked to its end; str() says why."""


class TrailingError(DamagedError):
    """All was unpacked; what follows is nothing that its tool can read."""


class Member(Protocol):
    """One member, stream or frame. `unused_data` are the bytes after its end."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Members:
    """The members of a packed file, one after another. `trailing`: what follows is none."""

    def __init__(self, kind: str) -> None:
        self.trailing = False
        self._kind = kind
        self._member: Member | None = None
        self._begun = b""  # bytes after a member, too few to be known
        self._first = True

    @property
    def is_cut(self) -> bool:
        """Whether an end here is in the middle of a member."""
        return self._member is not None or self._first

    @property
    def has_rest(self) -> bool:
        return bool(self._begun)

    def feed(self, data: bytes, most: int) -> Chunks:
        """The unpacked bytes, about `most` at once. Raises one of BROKEN."""
        while data and not self.trailing:
            if self._member is None:
                data = self._next(data)
            if self._member is None:
                return
            yield from _drained(self._member, data, most)
            data = b""
            if self._member.eof:
                data, self._member = self._member.unused_data, None

    def _next(self, data: bytes) -> bytes:
        """Begin a member with `data`, when it is clear that it is one."""
        data = self._begun + data
        if self._kind in PADDED and not self._first:
            data = data.lstrip(b"\0")
        magics = PACKED[self._kind]
        self._begun = data if any(magic.startswith(data) for magic in magics) else b""
        if self._begun and len(data) < min(map(len, magics)):
            return b""
        self._begun = b""
        if data.startswith(magics):
            self._member, self._first = _member(self._kind), False
        else:
            self.trailing = bool(data)
        return data


class _Gzip:
    """zlib's object, with the others' methods."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)


class _Zstd:
    """zstandard's object, which bounds what it gives by what it gets."""

    def __init__(self) -> None:
        self._frame = zstandard.ZstdDecompressor().decompressobj()

    @property
    def eof(self) -> bool:
        return self._frame.eof

    @property
    def unused_data(self) -> bytes:
        return self._frame.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._frame.decompress(data) if data else b""


def unpacked(kind: str, chunks: Chunks, again: Callable[[], Chunks] | None = None) -> Chunks:
    """The unpacked bytes of `chunks`, which `again` gives once more, to read up to damage.

    Raises DamagedError after the last byte, TrailingError when it follows the last member.
    """
    members, kept, given, taken = Members(kind), bytearray(), 0, 0
    for data in chunks:
        for piece in _pieces(data):
            try:
                for out in members.feed(piece, MOST):
                    given += len(out)
                    kept += out
                    if len(kept) >= CHUNK:
                        yield bytes(kept)
                        kept.clear()
            except BROKEN as error:
                yield bytes(kept)
                if again:
                    yield from _up_to_damage(kind, again(), taken, given)
                raise DamagedError(str(error) or "it is damaged") from None
            taken += len(piece)
            if members.trailing:
                yield bytes(kept)
                raise _trailing(kind)
        if kept:
            yield bytes(kept)
            kept.clear()
    if members.is_cut:
        raise DamagedError("unexpected end of file")
    if members.has_rest:
        raise _trailing(kind)


def _up_to_damage(kind: str, chunks: Chunks, taken: int, given: int) -> Chunks:
    """What follows the first `given` unpacked bytes, in small steps after `taken` packed ones."""
    members, at, out_at = Members(kind), 0, 0
    for data in chunks:
        for piece in _pieces(data):
            step, most = (1, FINE.get(kind, 1)) if at == taken else (PIECE, MOST)
            try:
                for start in range(0, len(piece), step):
                    for out in members.feed(piece[start : start + step], most):
                        out_at += len(out)
                        if out_at > given:
                            yield out[given - out_at :]
                            given = out_at
            except BROKEN:
                return
            at += len(piece)


def _pieces(data: bytes) -> Chunks:
    return (data[at : at + PIECE] for at in range(0, len(data), PIECE))


def _drained(member: Member, data: bytes, most: int) -> Chunks:
    """All that `member` gives for `data`."""
    while not member.eof:
        out = member.decompress(data, most)
        if out:
            yield out
        data = b""
        if len(out) < most:
            return


def _member(kind: str) -> Member:
    if kind == "gzip":
        return _Gzip()
    if kind == "xz":
        return lzma.LZMADecompressor()
    return bz2.BZ2Decompressor() if kind == "bzip2" else _Zstd()


def _trailing(kind: str) -> DamagedError:
    trailing = TrailingError if kind in LENIENT else DamagedError
    return trailing("what follows its end is not " + kind)
