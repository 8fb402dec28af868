"""Faults: what chaos does to which part of the pipeline, when and for how long, by a seed."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

SESSION = 6.0  # seconds until a silent consumer loses its partitions


@dataclass(frozen=True)
class Fault:
    """`verb` is done to `target`, and after `least` to `most` seconds `undo`.

    It is chosen by `weight`; `rest` are the seconds in which the target is then let alone.
    """

    weight: int
    target: str
    verb: str
    undo: str
    least: float
    most: float
    rest: float = 3.0


FAULTS = (
    Fault(10, "consumer", "kill", "start", 0.1, 2),
    Fault(3, "consumer", "pause", "resume", 0.1, 3),
    Fault(1, "consumer", "pause", "resume", SESSION + 1, SESSION + 5),
    Fault(3, "consumer", "terminate", "restart", 0.1, 2),
    Fault(2, "consumer", "limit", "unlimit", 0.3, 2),
    Fault(3, "consumer", "spoil", "repair", 0.3, 3),
    Fault(2, "redis", "kill", "start", 0.1, 4),
    Fault(2, "redis", "pause", "resume", 0.3, 4),
    Fault(2, "redis", "flush", "", 0, 0),
    Fault(2, "disk", "fill", "empty", 0.3, 2),
    Fault(1, "kafka", "kill", "start", 0.1, 3, rest=20),
    Fault(1, "kafka", "pause", "resume", 0.5, 8, rest=15),
)
AT_ONCE = 2  # parts that are broken at the same time: with more, nothing runs that could break


@dataclass(frozen=True)
class Blow:
    """At `at` seconds from the start, `fault` happens to `target`, for so many `seconds`."""

    at: float
    target: str
    fault: Fault
    seconds: float


def plan(seed: int, seconds: float, parts: Mapping[str, object]) -> list[Blow]:
    """The blows of a run, the same for the same seed.

    The verbs are methods of the `parts`, "consumer-1" and so on; what a part has no method for is
    not done to it. Nothing is done to one that is still broken.
    """
    dice = random.Random(seed)
    mended_at = dict.fromkeys(parts, 0.0)
    free_at = dict.fromkeys(parts, 0.0)
    blows = []
    now = 0.0
    while (now := now + dice.uniform(0.2, 2.5)) < seconds:
        faults = list(_possible({t: parts[t] for t, free in free_at.items() if free <= now}))
        if not faults or sum(mended > now for mended in mended_at.values()) >= AT_ONCE:
            continue
        fault, target = dice.choices(faults, [fault.weight for fault, _ in faults])[0]
        blow = Blow(now, target, fault, dice.uniform(fault.least, fault.most))
        mended_at[target] = now + blow.seconds
        free_at[target] = now + blow.seconds + fault.rest
        blows.append(blow)
    return blows


def _possible(free: Mapping[str, object]) -> Iterator[tuple[Fault, str]]:
    for fault in FAULTS:
        for target, part in free.items():
            if target.partition("-")[0] == fault.target and hasattr(part, fault.verb):
                yield fault, target
