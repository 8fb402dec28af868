"""Minutes: those whose events Redis counts, as events of any time must not each have a key."""

from dataclasses import replace

from logpipeline.events.slices import Slice

KEPT = 24 * 3600  # seconds
AHEAD = 600  # seconds that a clock may be ahead of this one
OTHER = -1  # in place of each minute that is not counted


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
    """When its count expires, in Unix seconds."""
    return (minute + 1) * 60 + KEPT
