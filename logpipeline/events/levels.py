"""Levels: whatever a logger writes for a level, as one of LEVELS.

A number means a level only on a scale that is known: the same 3 is an error in syslog and
information in Nextcloud.
"""

import re
from bisect import bisect_right
from functools import lru_cache

from logpipeline.events.event import LEVELS, level_of

COLOURS = re.compile(r"\x1b\[[\d;]*m")
# Letters and signs for levels: Android, klog, Ruby, MongoDB; Redis.
SHORT = {
    **dict.fromkeys("VDT.-", "DEBUG"),
    **dict.fromkeys("IN*", "INFO"),
    **dict.fromkeys("W#", "WARNING"),
    "E": "ERROR",
    **dict.fromkeys("FAC", "CRITICAL"),
}
SYSLOG = ("CRITICAL",) * 3 + ("ERROR", "WARNING", "INFO", "INFO", "DEBUG")  # RFC 5424
# Names of levels that are words in other places.
ONLY_LEVELS = {"http": "DEBUG", "normal": "INFO", "fault": "CRITICAL"}
# slog's INFO+2, Postgres' DEBUG3, MongoDB's D1, Apache's trace8.
NAME = re.compile(r"([A-Za-z]{1,16})\s?([+-]\d{1,4}|\d{1,2})?")
LONGEST = 60  # characters of a level with its colours

# The lowest number of each level.
SCALES = {
    "tens": (0, 30, 40, 50, 60),  # pino, bunyan
    "python": (0, 20, 30, 40, 50),
    "hundreds": (0, 200, 300, 400, 500),  # Monolog
    "google": (0, 200, 400, 500, 600),
    "opentelemetry": (0, 9, 13, 17, 21),
    "small": (0, 1, 2, 3, 4),  # Nextcloud
    "microsoft": (0, 2, 3, 4, 5),
    "slog": (-99, 0, 4, 8, 12),
    "java": (0, 800, 900, 1_000, 2_000),  # java.util.logging
    "log4j": (0, 20_000, 30_000, 40_000, 50_000),  # also logback's
}


@lru_cache(maxsize=1_000)
def named(text: str) -> str | None:
    """The level that a name, a letter, or a name with a number means; None for anything else."""
    found = SHORT.get(text) or level_of(text)
    if found or len(text) > LONGEST:
        return found
    text = COLOURS.sub("", text).strip(" \t[]<>():|*\"'")
    found = SHORT.get(text) or level_of(text) or ONLY_LEVELS.get(text.lower())
    if found is None and (parts := NAME.fullmatch(text)):
        name = level_of(parts[1]) or (parts[1] == parts[1].upper() and SHORT.get(parts[1])) or None
        return _moved(name, parts[2]) if name else None
    return found


def on_scale(number: float, scale: str) -> str:
    """The level of a number on one of SCALES, or on syslog's."""
    if scale == "syslog":
        return SYSLOG[int(number) & 7]
    return LEVELS[max(0, bisect_right(SCALES[scale], number) - 1)]


def of_status(status: int | str) -> str | None:
    """The level of an HTTP status; None for a status below 400."""
    text = str(status)
    is_status = len(text) == 3 and text.isdecimal()
    return {"5": "ERROR", "4": "WARNING"}.get(text[0]) if is_status else None


def _moved(level: str, by: str | None) -> str:
    """The level of slog's ERROR+4; the number of DEBUG3 means nothing."""
    if by is None or by[0] not in "+-":
        return level
    return on_scale(
        SCALES["slog"][LEVELS.index(level)] + int(by) if level != "DEBUG" else -4, "slog"
    )
