"""Zones: those that logs name, as tzinfo.

An abbreviation counts only if it means one zone in the whole world, or this machine's: CST is
Chicago, Havana and Shanghai, and IST is India, Ireland and Israel.
"""

import time
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from logpipeline.events.parts import alternatives

HOURS = {
    **dict.fromkeys(("Z", "UTC", "GMT", "WET", "UT", "UCT"), 0.0),
    **dict.fromkeys(("BST", "CET", "MEZ", "WEST", "WAT"), 1.0),
    **dict.fromkeys(("CEST", "MESZ", "EET", "SAST", "CAT"), 2.0),
    **dict.fromkeys(("EEST", "MSK", "EAT", "TRT"), 3.0),
    **{"PKT": 5.0, "WIB": 7.0, "ICT": 7.0, "HKT": 8.0, "AWST": 8.0, "SGT": 8.0, "MYT": 8.0},
    **{"JST": 9.0, "KST": 9.0, "ACST": 9.5, "AEST": 10.0, "ACDT": 10.5, "AEDT": 11.0},
    **{"NZST": 12.0, "NZDT": 13.0, "NST": -3.5, "NDT": -2.5, "BRT": -3.0, "ART": -3.0},
    **{"ADT": -3.0, "EDT": -4.0, "EST": -5.0, "CDT": -5.0, "MDT": -6.0, "MST": -7.0},
    **{"IRST": 3.5, "IDT": 3.0, "NPT": 5.75, "WITA": 8.0, "VET": -4.0, "CLT": -4.0, "COT": -5.0},
    **{"CLST": -3.0, "UYT": -3.0, "UZT": 5.0, "YEKT": 5.0, "NOVT": 7.0, "VLAT": 10.0},
    **{"PDT": -7.0, "PST": -8.0, "AKDT": -8.0, "AKST": -9.0, "HST": -10.0},
}
AMBIGUOUS = ("CST", "IST", "AST", "AMT", "GST", "PHT", "SST")
ABBREVIATIONS = alternatives([*HOURS, *AMBIGUOUS])
AREAS = (
    "Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Brazil|Canada|Chile|Etc|Europe"
    "|Indian|Mexico|Pacific|US|Mars"
)
# A zone as logs write it. UTC+2 is Java's; a number without a sign is none.
ZONE = (
    rf"(?:[+-]\d\d(?::?\d\d)?(?!\d|:\d)|(?:UTC|GMT)[+-]\d{{1,2}}(?::?\d\d)?(?!\d)"
    rf"|(?:{ABBREVIATIONS})(?![A-Za-z\d_])|(?:{AREAS})/[A-Za-z_/+-]{{1,30}}\d{{0,2}})"
)


@lru_cache(maxsize=500)
def named(zone: str) -> tzinfo | None:
    """The zone in the text `zone`. Raises ValueError if it is not known or ambiguous."""
    if zone in ("Z", "UTC", "GMT"):
        return UTC
    if zone[:3] in ("UTC", "GMT") and zone[3:]:
        hours, _, rest = zone[4:].partition(":")
        return _fixed(f"{zone[3]}{hours.rjust(2, '0')}{rest}")
    if zone[0] in "+-":
        return _fixed(zone)
    if "/" in zone:
        return _of_place(zone)
    if zone in HOURS:
        return timezone(timedelta(hours=HOURS[zone]))
    if zone in time.tzname:
        return None  # this machine's
    raise ValueError(f"{zone} is not known, or more than one zone")


def _fixed(offset: str) -> tzinfo:
    zone = datetime.strptime(offset.ljust(5, "0"), "%z").tzinfo
    assert zone is not None
    return zone


def _of_place(zone: str) -> tzinfo:
    try:
        return ZoneInfo(zone)
    except (OSError, KeyError) as error:
        raise ValueError(f"{zone} is not known") from error
