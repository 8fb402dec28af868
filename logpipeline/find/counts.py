"""Counts: the events that were found by level and hour, as a table or as JSON."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

import msgspec

from logpipeline.archive.index import BIN, Key
from logpipeline.events.event import LEVELS

HOUR = 3_600


def by_hour(keys: Mapping[Key, int]) -> dict[int, Counter[str]]:
    """The begin of each hour of local time, in Unix seconds → level → events."""
    hours: dict[int, Counter[str]] = {}
    for (bin_, level, _), events in sorted(keys.items()):
        hours.setdefault(_hour(bin_ * BIN), Counter())[level] += events
    return hours


def as_json(keys: Mapping[Key, int]) -> bytes:
    """{"events": …, "levels": {level: …}, "hours": [{"time": …, "events": …, "levels": …}]}"""
    hours = [
        {"time": _name(hour), "events": levels.total(), "levels": _ordered(levels)}
        for hour, levels in by_hour(keys).items()
    ]
    totals = _totals(keys)
    return msgspec.json.encode(
        {"events": totals.total(), "levels": _ordered(totals), "hours": hours}
    )


def as_table(keys: Mapping[Key, int]) -> str:
    totals = _totals(keys)
    levels = [level for level in LEVELS if totals[level]]
    rows = [["hour", *levels, "all"]]
    rows += [_row(_name(hour), counts, levels) for hour, counts in by_hour(keys).items()]
    rows.append(_row("all", totals, levels))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )


def _row(name: str, counts: Counter[str], levels: list[str]) -> list[str]:
    return [name, *(f"{counts[level]:,}" for level in levels), f"{counts.total():,}"]


def _totals(keys: Mapping[Key, int]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for (_, level, _), events in keys.items():
        totals[level] += events
    return totals


def _ordered(counts: Counter[str]) -> dict[str, int]:
    return {level: counts[level] for level in LEVELS if counts[level]}


def _hour(moment: int) -> int:
    """The full hour before it, in local time."""
    try:
        offset = datetime.fromtimestamp(moment).astimezone().utcoffset()
    except (ValueError, OverflowError, OSError):  # no calendar has it
        offset = None
    shift = int(offset.total_seconds()) if offset else 0
    return (moment + shift) // HOUR * HOUR - shift


def _name(hour: int) -> str:
    try:
        return datetime.fromtimestamp(hour).astimezone().isoformat(timespec="minutes")
    except (ValueError, OverflowError, OSError):
        return str(hour)
