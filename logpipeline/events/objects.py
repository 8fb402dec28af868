"""Objects: lines of JSON converted together, by their shapes and plans."""

import msgspec

from logpipeline.events import json_formats
from logpipeline.events.event import BRACKETS
from logpipeline.events.json_formats import Fields
from logpipeline.events.outlines import fields_of, is_spaced
from logpipeline.events.outlines import outline as outline_of
from logpipeline.events.plans import Plan
from logpipeline.events.shapes import Made, Shape, UncertainError

MOST = 200  # plans that are kept
MOST_SHAPES = 100  # each takes milliseconds to make
LONGEST = 10_000  # bytes of a line that one is made from
ENOUGH = 50  # lines that are worth a new one
PASSES = 6  # shapes that are tried for the lines of a chunk
CONTROLS = bytes({*range(32)} - {*b"\n"})

_decode = msgspec.json.Decoder(Fields).decode


class Objects:
    """Converts lines of one log; an event without a service gets `service`, which is JSON, or
    empty."""

    def __init__(self, service: bytes) -> None:
        self._service = service
        self._plans: dict[tuple[str, ...], Plan] = {}
        self._shapes: dict[object, Shape | None] = {}

    def events(self, lines: list[bytes], together: bytes) -> Made:
        """The event in each line, None where that is not certain. `together` are these lines."""
        if len(together.translate(None, CONTROLS)) < len(together):
            return list(map(self._planned, lines))
        made: Made = [None] * len(lines)
        left = list(range(len(lines)))
        for _ in range(min(PASSES, len(lines))):
            shape = self._shape(lines[left[0]], len(left))
            matches = list(map(shape.match, [lines[n] for n in left])) if shape else []
            found = list(filter(None, matches))
            if shape and found:
                values = shape.events(found)
                if len(values) == len(lines):
                    made = values
                    break
                hits = [n for n, match in zip(left, matches, strict=True) if match]
                for number, value in zip(hits, values, strict=True):
                    made[number] = value
                left = [n for n, match in zip(left, matches, strict=True) if not match]
            else:
                del left[0]
            if not left:
                break
        return (
            [value or self._planned(line) for value, line in zip(made, lines, strict=True)]
            if None in made
            else made
        )

    def _shape(self, line: bytes, lines: int) -> Shape | None:
        """That of a line, for so many lines."""
        if len(line) > LONGEST:
            return None
        try:
            pairs = fields_of(line)
            plan = self._plan(pairs.names)
            outline = outline_of(pairs, plan, line)
        except (ValueError, RecursionError):
            return None
        if outline not in self._shapes and lines >= ENOUGH and len(self._shapes) < MOST_SHAPES:
            try:
                self._shapes[outline] = Shape(pairs, plan, is_spaced(line))
            except (UncertainError, ValueError):
                self._shapes[outline] = None
        return self._shapes.get(outline)

    def _planned(self, line: bytes) -> bytes | None:
        """The event by the plan for its names."""
        if line.count(b"[") + line.count(b"{") > BRACKETS:
            return None
        try:
            fields = _decode(line)
            plan = self._plan(tuple(fields))
            return plan.event(fields) if plan.is_certain else None
        except (ValueError, RecursionError):
            return None

    def _plan(self, names: tuple[str, ...]) -> Plan:
        plan = self._plans.get(names)
        if plan is None:
            plan = Plan(names, self._service)
            if json_formats.are_few(names):
                if len(self._plans) >= MOST:
                    self._plans.clear()
                self._plans[names] = plan
        return plan
