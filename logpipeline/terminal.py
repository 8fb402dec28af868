"""Terminal: text without control characters, and colours where the user wants them."""

import os
from typing import TextIO


def short(text: str, most: int) -> str:
    """As `printable`, `most` characters at most, with "…" when there were more."""
    shown = printable(text[:most])  # may be longer
    return shown if len(text) <= most and len(shown) <= most else shown[:most] + "…"


def printable(text: str) -> str:
    """The text without characters that control a terminal: controls, bidi marks, surrogates."""
    return text if text.isprintable() else text.translate(VISIBLE)


class _Visible(dict[int, str]):
    """The visible form of a character, by its code."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if not character.isprintable():
            character = character.encode("unicode_escape").decode()
        return character


VISIBLE = _Visible((code, _Visible()[code]) for code in range(256))


def paint(text: str, code: int | None, in_colour: bool) -> str:
    return text if code is None or not in_colour else f"\x1b[{code}m{text}\x1b[0m"


def coloured(stream: TextIO) -> bool:
    """Whether `stream` is a terminal, and NO_COLOR is not set (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")
