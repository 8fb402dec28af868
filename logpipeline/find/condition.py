"""Condition: a comparison of a field's value, as in http.status=500 or duration_ms>250."""

import math
import re

from logpipeline.events.readable import Readable
from logpipeline.find import literals
from logpipeline.find.literals import Literal
from logpipeline.find.word import BadQuery, compiled, is_any_case

FORM = re.compile(r"([^=!<>~]+)(!=|<=|>=|=|<|>|~)(.*)", re.DOTALL)
A_CONDITION = "FIELD=VALUE, or with != < > <= >= ~, such as http.status>=500"
DECIMAL = re.compile(r"(-?(?:0|[1-9]\d*))(?:\.(\d*?)0*)?", re.ASCII)


class Condition:
    """Holds when one of the field's values compares so; != holds when none is equal."""

    def __init__(self, text: str) -> None:
        """Raises BadQuery."""
        found = FORM.fullmatch(text)
        if not found or not found[1].strip():
            raise BadQuery(f"{text!r}: must be {A_CONDITION}")
        self._name, self._operator, value = found[1].strip(), found[2], found[3].strip()
        self._value = normal(value)
        self._number = _number(value)
        self._pattern = compiled(value) if self._operator == "~" else None
        self.literals = self._literals(value)

    def holds(self, event: Readable) -> bool:
        values = event.values(self._name)
        if self._operator == "!=":
            return all(normal(value) != self._value for value in values)
        return any(map(self._compares, values))

    def _compares(self, value: str) -> bool:
        if self._pattern:
            return bool(self._pattern.search(value))
        if self._operator == "=":
            return normal(value) == self._value
        number = _number(value)
        if self._number is not None:
            return number is not None and _is_ordered(number, self._operator, self._number)
        return _is_ordered(value, self._operator, self._value)

    def _literals(self, value: str) -> list[Literal]:
        if self._operator == "!=" or self._name == "level":
            return []
        last = self._name.rpartition(".")[2]
        found = literals.of_text(last, any_case=False)
        if self._operator == "=":
            found += literals.of_value(self._value)
        elif self._operator == "~":
            found += literals.of_pattern(value, is_any_case(value, True))
        return found[::-1]


def normal(value: str) -> str:
    """A decimal number without needless zeros: 500.0 is 500. Other text is as it was."""
    found = DECIMAL.fullmatch(value)
    if not found:
        return value
    return f"{found[1]}.{found[2]}" if found[2] else found[1]


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _is_ordered(left: float | str, operator: str, right: float | str) -> bool:
    if operator.endswith("=") and left == right:
        return True
    return left < right if operator.startswith("<") else left > right  # type: ignore[operator]
