"""Minutes: those for which Redis counts events.

Times may be anything, and there must not be a key for each.
"""

from dataclasses import replace

from logpipeline.events.slices import Slice

KEPT = 24 * 3600  # seconds
AHEAD = 600  # seconds that a clock may be ahead of this one
OTHER = -1  # a minute that stands for all that are not counted


def counted(now: float) -> range:
    """The minutes that are counted at `now`."""
    return range(int((now - KEPT) // 60), int((now + AHEAD) // 60) + 1)


def only_counted(part: Slice, now: float) -> Slice:
    """The slice, with OTHER in place of the minutes that are not counted."""
    known = counted(now)
    if all(minute in known for minute, _ in part.counts):
        return part
    return replace(part, minutes=[n if n in known else OTHER for n in part.minutes])


def end_of(minute: int) -> int:
    """When its count is to be forgotten, in Unix seconds."""
    return (minute + 1) * 60 + KEPT
