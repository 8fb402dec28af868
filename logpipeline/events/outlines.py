"""Outlines: what the lines of JSON of one shape have in common."""

import json
from typing import Any

from logpipeline.events.plans import Plan


class Pairs(tuple[tuple[str, Any], ...]):
    """The fields of a JSON object, in their order."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self)


def fields_of(line: bytes) -> Pairs:
    """Raises ValueError, RecursionError."""
    pairs = json.loads(line, object_pairs_hook=Pairs)
    if not isinstance(pairs, Pairs) or len({*pairs.names}) < len(pairs):
        raise ValueError("it must be an object with one value for each name")
    return pairs


def outline(pairs: Pairs, plan: Plan, line: bytes) -> object:
    """What the lines of one shape have in common."""
    decisive = {name for _, name in (*plan.roles.values(), *plan.request)}
    return (
        is_spaced(line),
        tuple(
            (name, value.names if isinstance(value, Pairs) else kind_of(value))
            if name in decisive
            else (name, kind_of(value) == "container")
            for name, value in pairs
        ),
    )


def is_spaced(line: bytes) -> bool:
    """Whether it is written as Python's json does."""
    return b'": ' in line


def kind_of(value: Any) -> str:
    if isinstance(value, str):
        return "string"
    if isinstance(value, (Pairs, list)):
        return "container"
    return "word" if value is None or isinstance(value, bool) else "number"
