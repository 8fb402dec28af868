"""Contents: what a file is, by its first bytes and whatever its name."""

import codecs
import re

HEAD = 8_192  # bytes that decide
MARKS = {  # UTF-32's first: UTF-16's begins like it
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# How each member of a packed file begins; a zstd file may begin with a frame to skip.
PACKED = {
    "gzip": (b"\x1f\x8b\x08",),
    "xz": (b"\xfd7zXZ\0", b"\x5d\0\0"),
    "bzip2": tuple(b"BZh%d" % n + rest for n in range(1, 10) for rest in (b"1AY&", b"\x17rE8")),
    "zstd": (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16))),
}
BINARY = {
    b"\x7fELF": "a program",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"%PDF-": "a PDF",
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "a zip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a rar archive",
    b"SQLite format 3\0": "an SQLite database",
    b"LPKSHHRH": "a journal; use journalctl -o json | producer.py --input -",
    b"PAR1": "a Parquet file",
    b"\x04\x22\x4d\x18": "packed by lz4",
    b"\x1f\x9d": "packed by compress",
    b"LZIP": "packed by lzip",
    b"!<arch>\n": "an archive",
    b"\xd4\xc3\xb2\xa1": "a packet capture",
    b"\x0a\x0d\x0d\x0a": "a packet capture",
}
TAR = 257, b"ustar"
BEGINNINGS = [*MARKS, *BINARY, *(magic for magics in PACKED.values() for magic in magics)]
# Neither in text nor in a terminal's codes.
CONTROL = bytes(set(range(32)) - set(b"\a\b\t\n\v\f\r\x1b")) + b"\x7f"
HOLE = re.compile(rb"(^|\n)\0+")  # left by a truncation: the line after it is text


class NotTextError(Exception):
    """A file is not text; str() says what it is."""


def is_undecided(head: bytes) -> bool:
    """Whether further bytes could make another kind of it."""
    return any(len(head) < len(each) and each.startswith(head) for each in BEGINNINGS)


def packing(head: bytes) -> str | None:
    """What packed it: a name of PACKED."""
    return next((name for name, magics in PACKED.items() if head.startswith(magics)), None)


def encoding(head: bytes) -> tuple[str, int]:
    """The encoding of text, and the length of the mark that states it."""
    for mark, name in MARKS.items():
        if head.startswith(mark):
            return name, len(mark)
    return "utf-8", 0


def check(head: bytes) -> None:
    """Raises NotTextError for binary data. `head` is not packed."""
    for magic, name in BINARY.items():
        if head.startswith(magic):
            raise NotTextError(name)
    if head[TAR[0] :].startswith(TAR[1]):
        raise NotTextError("a tar archive")
    if encoding(head)[0] == "utf-8" and _is_binary(head[:HEAD]):
        raise NotTextError("binary data")


def _is_binary(head: bytes) -> bool:
    """Whether it has more control characters than a log line that quotes a few bytes.

    Of random bytes, 10 % are control characters, and half are not UTF-8; of UTF-16, up to 50 %.
    """
    text = HOLE.sub(rb"\1", head)
    controls = len(text) - len(text.translate(None, CONTROL))
    if controls * 20 <= len(text):
        return False
    return controls * 4 > len(text) or b"\xef\xbf\xbd" in _decoded(text)


def _decoded(text: bytes) -> bytes:
    """The text with invalid UTF-8 replaced, except for a character that is cut at the end."""
    return codecs.getincrementaldecoder("utf-8")("replace").decode(text).encode()
