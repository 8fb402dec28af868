"""Literals: what the bytes of a line must have, so that a text can be in what a person reads of it.

A line with a JSON escape, or with one of two letters that become ASCII in lower case, may have the
text in another way: see `loose`.
"""

import re
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

# Between a name and its value, or two names; characters that JSON writes as an escape, or may.
JOINTS = r"=.\"\\/\x00-\x1f"
QUANTIFIED = re.compile(r"[\w \-:,@#]+(?![?*{+\w])")
AMBIGUOUS = re.compile(r"[|(\[?{\\]")  # with these, a pattern's literals may be optional
ANY_ESCAPE = re.compile(rb"\\u|\xe2\x84\xaa|\xc4\xb0")
ASCII_ESCAPE = re.compile(rb"\\u(?:00[2-7]|212[aA]|0130)|\xe2\x84\xaa|\xc4\xb0")


class Literal(msgspec.Struct, frozen=True):
    """Bytes in a line; with `any_case`, ASCII in lower case, and in any in the line. `whole`: they
    are all of a field's value."""

    text: bytes
    any_case: bool
    whole: bool = False

    @property
    def loose(self) -> re.Pattern[bytes]:
        """Finds each line that may have the text without having the literal."""
        return ASCII_ESCAPE if self.text.isascii() else ANY_ESCAPE


def of_text(text: str, any_case: bool, joints: str = JOINTS) -> list[Literal]:
    """Those of a text, the longest first."""
    others = r"\x7f-\U0010ffff" if any_case else r"\x7f\ud800-\udfff"
    found = re.split(f"[{joints}{others}]+", text.lower() if any_case else text)
    return _longest_first([Literal(part.encode(), any_case) for part in found if part])


def of_value(text: str) -> list[Literal]:
    """Those of a field's whole value."""
    whole = text.encode(errors="replace")
    return [replace(each, whole=each.text == whole) for each in of_text(text, any_case=False)]


def of_pattern(pattern: str, any_case: bool) -> list[Literal]:
    """Those of a regular expression: none, unless it is a simple one."""
    if AMBIGUOUS.search(pattern):
        return []
    parts = [part for text in pattern.split(".") for part in QUANTIFIED.findall(text)]
    return _longest_first([each for part in parts for each in of_text(part, any_case)])


def _longest_first(literals: Sequence[Literal]) -> list[Literal]:
    return sorted(literals, key=lambda literal: -len(literal.text))
