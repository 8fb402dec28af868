"""Slots: a file of two slots that are written in turn, so that a power cut spares one of them.

A slot is a line of JSON, which begins with the CRC of what follows it, padded with spaces to whole
blocks. Text number n is in slot n mod 2. A slot is overwritten only while the other one is whole
and holds the text before, so whatever tears, the newest text can be read, or the one before it.
The file never changes its size or its place, so fdatasync is enough to have a text on disk.
"""

import os
import re
import zlib
from contextlib import suppress
from pathlib import Path

from logpipeline.files import open_file, read_file, replace_file, sync, sync_data

BLOCK = 4_096  # bytes: what disks write at once, 512 or 4,096, never reaches into the other slot
CRC = b'{"crc":"%08x",'
BEGIN = len(CRC % 0)
NUMBER = re.compile(rb'"sequence":(\d{1,18}),')
LOOKS = 100  # tries to read while others write


def read(path: Path) -> bytes:
    """The newest text; all of a file that has no slots. Needs no lock. Raises OSError."""
    before = None
    for _ in range(LOOKS):
        data = read_file(path)
        whole = _whole(data)
        if len(whole) == 2 or data == before:
            break
        before = data  # a slot is torn, or just being written
    return whole[max(whole)] if whole else data


def write(path: Path, number: int, text: bytes, mode: int | None, in_place: bool = True) -> None:
    """Put a text on disk that begins with its "sequence", `number`.

    `mode` is that of a new file. Without `in_place`, the file is replaced. The caller must be the
    only writer. Raises OSError; the text before is read then, but this one may be on disk all the
    same.
    """
    with suppress(FileNotFoundError):
        fd = open_file(path, os.O_RDWR)
        try:
            if in_place and _overwrite(fd, path, number, text):
                return
        finally:
            os.close(fd)
    size = BLOCK
    while size <= BEGIN + len(text):
        size *= 2
    halves = [_slot(text, size), b"\n".rjust(size)]
    replace_file(path, b"".join(halves[:: -1 if number % 2 else 1]), mode)
    sync(path.parent)


def _overwrite(fd: int, path: Path, number: int, text: bytes) -> bool:
    """Write it in place. False if it does not fit, or no slot has the text before it."""
    size = os.fstat(fd).st_size // 2
    whole = _whole(os.pread(fd, 2 * size, 0))
    if number - 1 not in whole or size <= BEGIN + len(text):
        return False
    at = number % 2 * size
    try:
        _write_at(fd, _slot(text, size), at)
        sync_data(fd)
        if len(whole) < 2:  # the sync of the folder in `write`, or here, may have failed
            sync(path.parent)
    except OSError:
        with suppress(OSError):  # nothing may build on a text that may not be on disk
            _write_at(fd, b"\n".rjust(size), at)
        raise
    return True


def _write_at(fd: int, data: bytes, at: int) -> None:
    while data:
        written = os.pwrite(fd, data, at)
        data, at = data[written:], at + written


def _slot(text: bytes, size: int) -> bytes:
    rest = text[1:].ljust(size - BEGIN - 1) + b"\n"
    return CRC % zlib.crc32(rest) + rest


def _whole(data: bytes) -> dict[int, bytes]:
    """Number → text of each slot that is whole."""
    half = len(data) // 2
    found = {}
    for slot in data[:half], data[half:]:
        rest = slot[BEGIN:]
        number = NUMBER.match(rest)
        if number and slot[:BEGIN] == CRC % zlib.crc32(rest):
            found[int(number[1])] = b"{" + rest
    return found
