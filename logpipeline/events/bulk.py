"""Bulk: many lines converted together, each as `Lines.event` does it alone."""

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any

from logpipeline.events import event
from logpipeline.events.event import MILLISECONDS
from logpipeline.events.objects import Objects
from logpipeline.events.text_formats import MOST, ROWS, TAIL_ROWS, Row
from logpipeline.events.uniform import Uniform, needs
from logpipeline.events.uniform_access import UniformAccess
from logpipeline.events.uniform_heads import UniformHeads

FEW = 16  # lines that are not worth it
PASSES = 4  # formats that are tried for the lines of a chunk
COLOUR = "\x1b["
ISO = next(row for row in ROWS["0"] if row.lead and row.is_iso)

One = Callable[[bytes], bytes | None]
Events = list[bytes | None]


class Bulk:
    """Converts lines by `one` where they are not certain; `service` is in JSON, or empty.

    Of the lines that `one` was not called for, none is blank, and `count` is the number.
    """

    def __init__(
        self, one: One, likely: Callable[[], Row | None], service: bytes, most: int
    ) -> None:
        self._one, self._likely = one, likely
        tail = b',"service":' + service + b"}" if service else b"}"
        self._tail = tail.decode()
        self._objects = Objects(service)
        self._most = most
        self._uniform: dict[tuple[Row, frozenset[str]], Uniform] = {}
        self.count = 0

    def events(self, lines: list[bytes]) -> Events:
        """The event in each of the lines, None in a blank one. No line is in a runtime's frame."""
        together = b"\n".join(lines)
        if len(lines) < FEW or (len(together) > self._most and self._has_long(lines)):
            return list(map(self._one, lines))
        if b"\r" in together:
            if b"\r\r" in together:
                return list(map(self._one, lines))
            lines = [line[:-1] if line[-1:] == b"\r" else line for line in lines]
            together = b"\n".join(lines)
        try:
            together.decode() if not together.isascii() else None
        except UnicodeDecodeError:
            return self._halved(lines)
        objects = [line[:1] for line in lines].count(b"{") if b"{" in together else 0
        if objects == len(lines):
            return self._of_objects(lines, together)
        if not objects:
            return self._of_texts(lines)
        return self._of_both(lines)

    def _has_long(self, lines: list[bytes]) -> bool:
        return max(map(len, lines)) > self._most

    def _halved(self, lines: list[bytes]) -> Events:
        half = len(lines) // 2
        return self.events(lines[:half]) + self.events(lines[half:])

    def _of_both(self, lines: list[bytes]) -> Events:
        made: Events = [None] * len(lines)
        objects = [number for number, line in enumerate(lines) if line[:1] == b"{"]
        others = [number for number, line in enumerate(lines) if line[:1] != b"{"]
        for numbers in (objects, others):
            for number, value in zip(
                numbers, self.events([lines[number] for number in numbers]), strict=True
            ):
                made[number] = value
        return made

    def _of_objects(self, lines: list[bytes], together: bytes) -> Events:
        """The events in lines that may be JSON objects."""
        if event.is_event(lines[0]):
            if self._are_ours(lines):
                self.count += len(lines)
                return list(lines)
            if len(lines) >= 2 * FEW:
                return self._halved(lines)
        made = self._objects.events(lines, together)
        self.count += len(lines) - made.count(None)
        return [
            value if value is not None else self._one(line)
            for line, value in zip(lines, made, strict=True)
        ]

    def _are_ours(self, lines: list[bytes]) -> bool:
        """Whether each line is an event of ours, which passes unchanged."""
        found = event.parse_all(lines)
        return found is not None and -MILLISECONDS < min(found[1]) <= max(found[1]) < MILLISECONDS

    def _of_texts(self, lines: list[bytes]) -> Events:
        texts = list(map(bytes.decode, lines))
        together = "\n".join(texts)
        left = self._numbers(texts, together)
        numbers, values = self._of_one_format(texts, left, together)
        if len(numbers) == len(lines):
            return values
        made: Events = [None] * len(lines)
        done = {*numbers}
        for number, value in zip(numbers, values, strict=True):
            made[number] = value
        left = [number for number in left if number not in done]
        for _ in range(PASSES):
            if len(left) < FEW:
                break
            first, *others = left
            made[first] = self._one(lines[first])
            done.add(first)
            numbers, values = self._of_one_format(texts, others, together)
            for number, value in zip(numbers, values, strict=True):
                made[number] = value
            done.update(numbers)
            left = [number for number in others if number not in done]
        for number, line in enumerate(lines):
            if number not in done:
                made[number] = self._one(line)
        return made

    def _numbers(self, texts: list[str], together: str) -> Sequence[int]:
        """Those of the lines that need no closer look."""
        if COLOUR[0] not in together and max(map(len, texts)) <= MOST:
            return range(len(texts))
        return [
            number for number, text in enumerate(texts) if COLOUR not in text and len(text) <= MOST
        ]

    def _of_one_format(
        self, texts: list[str], numbers: Sequence[int], together: str
    ) -> tuple[Sequence[int], Events]:
        """The numbers and the events of those lines that have the last line's format."""
        row = self._likely()
        if row is None or not numbers:
            return (), []
        row = ISO if row in TAIL_ROWS else row
        uniform = self._of_row(row, frozenset(each for each in needs(row) if each not in together))
        chosen = texts if len(numbers) == len(texts) else [texts[number] for number in numbers]
        matches: Any = uniform.matches(chosen)
        if None in matches:
            numbers, chosen = list(compress(numbers, matches)), list(compress(chosen, matches))
            matches = list(compress(matches, matches))
        if not matches:
            return (), []
        made: Any = uniform.events(chosen, matches)
        if None in made:
            numbers, made = list(compress(numbers, made)), list(compress(made, made))
        self.count += len(made)
        return numbers, list(map(str.encode, made))

    def _of_row(self, row: Row, absent: frozenset[str]) -> Uniform:
        uniform = self._uniform.get((row, absent))
        if uniform is None:
            kind = (
                UniformAccess if row.access else UniformHeads if UniformHeads.fits(row) else Uniform
            )
            uniform = self._uniform[row, absent] = kind(row, self._tail, absent)
        return uniform
