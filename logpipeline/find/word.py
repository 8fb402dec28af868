"""Word: a text or a regular expression that is looked for in what a person reads of an event."""

import re

from logpipeline.events.readable import SEPARATOR
from logpipeline.find import literals
from logpipeline.find.literals import Literal


class BadQuery(ValueError):  # noqa: N818 - a user's mistake
    """A query cannot be used; str() is one line."""


class Word:
    """A word that has no capitals is found in any case."""

    def __init__(self, text: str, is_pattern: bool = False) -> None:
        """Raises BadQuery."""
        self.any_case = is_any_case(text, is_pattern)
        self._text = text.lower() if self.any_case else text
        self._pattern = compiled(text) if is_pattern else None
        make = literals.of_pattern if is_pattern else literals.of_text
        self.literals: list[Literal] = make(text, self.any_case)

    def is_in(self, text: str, lowered: str) -> bool:
        """Whether an event has it: `text` is what a person reads, `lowered` that in lower case."""
        if self._pattern:
            return any(map(self._pattern.search, text.split(SEPARATOR)))
        return self._text in (lowered if self.any_case else text)


def is_any_case(text: str, is_pattern: bool) -> bool:
    """Whether it has no capitals; in a pattern, \\S is none."""
    if is_pattern:
        text = re.sub(r"\\.", "", text)
    return text == text.lower()


def compiled(pattern: str) -> re.Pattern[str]:
    """Raises BadQuery."""
    try:
        return re.compile(pattern, re.IGNORECASE if is_any_case(pattern, True) else 0)
    except (re.error, OverflowError, RecursionError) as error:
        raise BadQuery(f"{pattern!r}: must be a regular expression: {error}") from None
