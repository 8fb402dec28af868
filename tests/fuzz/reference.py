"""Reference: what an event is, decided slowly and by the standard library alone."""

import json
import math
import re
import sys
from collections.abc import Callable
from itertools import accumulate
from typing import Any, NoReturn

from logpipeline.events.event import level_of

NESTED = 100  # arrays and objects in one another
MARGIN = 3  # of that: whether the event itself counts is not said here
LARGEST = 2**20  # bytes of a record
STEPS = dict(zip(b"[{]}", (1, 1, -1, -1), strict=True))
OTHERS = bytes({*range(256)} - STEPS.keys())
STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
ROOM = 300  # frames that are left where the stack is nearly full
Verdict = tuple[str, float] | None  # level and time; None for an invalid record


def verdict(value: bytes | None) -> Verdict:
    """Of a record's value."""
    if value is None or len(value) > LARGEST or nesting(value) > NESTED:
        return None
    try:
        fields = json.loads(value.decode(), parse_int=float, parse_constant=_refuse)
    except ValueError:
        return None
    if not isinstance(fields, dict):
        return None
    level, message, stamp = (fields.get(name) for name in ("level", "message", "timestamp"))
    if not (isinstance(level, str) and isinstance(message, str) and isinstance(stamp, float)):
        return None
    known = level_of(level)
    return (known, stamp) if known and math.isfinite(stamp) else None


def doubtful(value: bytes | None) -> bool:
    """Whether it is so near a bound that either verdict will do."""
    if value is None:
        return False
    over = len(value) - LARGEST
    if over >= 2**13:
        return False  # too large, however deep
    return over > -(2**13) or abs(nesting(value) - NESTED) <= MARGIN


def nesting(value: bytes) -> int:
    """How deep arrays and objects are in one another, in JSON that is well-formed."""
    brackets = STRING.sub(b"", value).translate(None, OTHERS)
    return max(accumulate(map(STEPS.__getitem__, brackets), initial=0))


def deep_down(work: Callable[[], Any]) -> Any:
    """What `work` gives where the stack is nearly full."""
    frame, used = sys._getframe(), 0
    while frame:
        used, frame = used + 1, frame.f_back  # type: ignore[assignment]
    return _sink(sys.getrecursionlimit() - used - ROOM, work)


def _sink(frames: int, work: Callable[[], Any]) -> Any:
    return work() if frames <= 0 else _sink(frames - 1, work)


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)
