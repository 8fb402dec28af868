"""Times: the timestamps of logs as Unix seconds, in the text of a JSON number.

Text, because a float would round them: nanoseconds arrive as they were written. A time without a
zone is this machine's local time; one without a year is in the year that makes it nearest to now. A
time whose zone is not known is not stated.
"""

import re
import time
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from logpipeline.events import zones

# Date and time of ISO 8601 and its everyday variants: 2024-03-23T22:56:07.890123+01:00,
# 2024/03/23 22:56:07,890, 20240323 225607.
HALF_DAY = r"(?:[ \u00a0\u202f]?[AaPp]\.?[Mm](?![A-Za-z\d]))"
ISO = (
    r"(?P<at>\d{4}[-/]?\d\d[-/]?\d\d[T _]\d\d:?\d\d):?(?P<s>[0-6]\d)"
    r"(?:(?:[.,]|:(?=\d{3}\b))(?P<f>\d{1,18}))?+"
    rf"(?: ?(?P<z>{zones.ZONE})|(?![+\d]|-\d|{HALF_DAY}))"
)
WHOLE_ISO = re.compile(ISO, re.ASCII)
NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
DAY = 86_400
TAI = 2**62 + 10  # 1970 in TAI64, as daemontools and s6 write it
YEARLESS = {"%b %d %H:%M", "%m-%d %H:%M", "%m.%d %H:%M", "%m%d %H:%M"}
LONGEST = 40  # characters of a time down to its minute, as logs write them
YEARS = 8  # that are tried for a time without a year: February 29 occurs within eight

# A number is a Unix time from 1973 on; its size shows the unit: seconds or a fraction.
EARLIEST = Decimal(10**8)
UNITS = ((Decimal(10**11), 0), (Decimal(10**14), 3), (Decimal(10**17), 6), (Decimal(10**20), 9))

# The same for whole numbers, by their digits; -1 for seconds.
PLACES = {
    **dict.fromkeys((9, 10, 11), -1),
    **dict.fromkeys((12, 13, 14), 3),
    **dict.fromkeys((15, 16, 17), 6),
    **dict.fromkeys((18, 19, 20), 9),
}


def now() -> str:
    return f"{time.time():.6f}"


def seconds(
    at: str, clock: str, second: str, fraction: str | None = None, zone: str | None = None
) -> str | None:
    """The time in a line, None when it is invalid (a thirteenth month).

    `at` has everything down to the minute, in strptime's format `clock`, "" for ISO.
    """
    if len(at) > LONGEST:  # because of spaces; cached text must be short
        at = " ".join(at.split())
    if clock in YEARLESS:
        minute = _yearless(at, clock, zone, int(time.time()) // DAY)
    else:
        minute = _minute(at, clock, zone)
    return None if minute is None else joined(minute + int(second), fraction)


def joined(whole: int, fraction: str | None) -> str:
    """Whole seconds and the digits after the point, as one number."""
    if not fraction:
        return str(whole)
    return f"{whole}.{fraction}" if whole >= 0 else f"{whole + Decimal('0.' + fraction):f}"


def of_text(text: str) -> str | None:
    """The time in a logger's field: ISO 8601, or a number as for `of_number`."""
    if found := WHOLE_ISO.fullmatch(text.strip()):
        return seconds(found["at"], "", found["s"], found["f"], found["z"])
    return of_number(text)


def of_number(text: str) -> str | None:
    """Unix seconds, milliseconds, microseconds or nanoseconds; None for another number."""
    if text.isdecimal() and text.isascii() and text[0] != "0" and (places := PLACES.get(len(text))):
        return f"{text[:-places]}.{text[-places:]}" if places > 0 else text
    if len(text) > 40 or not NUMBER.fullmatch(text):
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    for most, places in UNITS:
        if EARLIEST <= value < most:
            scaled = value.scaleb(-places)
            return f"{scaled:f}" if int(scaled.as_tuple().exponent) > -15 else f"{scaled:.9f}"
    return None


def of_tai(seconds: str, nanos: str) -> str | None:
    """A TAI64N label, in two hexadecimal numbers; None if it is invalid. Its writers know of no
    leap second since 1972."""
    whole, fraction = int(seconds, 16) - TAI, int(nanos, 16)
    return joined(whole, f"{fraction:09}") if whole > 0 and fraction < 10**9 else None


@lru_cache(maxsize=4_096)
def _minute(at: str, clock: str, zone: str | None) -> int | None:
    """The Unix time of a minute. Cached: neighbouring lines share it."""
    try:
        if clock:
            moment = datetime.strptime(at, clock)
        else:
            moment = datetime.fromisoformat(at.replace("/", "-").replace("_", "T"))
        return int(moment.replace(tzinfo=zones.named(zone) if zone else None).timestamp())
    except (ValueError, OverflowError, OSError):
        return None


@lru_cache(maxsize=4_096)
def _yearless(at: str, clock: str, zone: str | None, today: int) -> int | None:
    """The same for a minute without a year, near the day `today` (Unix time / DAY)."""
    year = datetime.fromtimestamp(today * DAY, UTC).year
    minutes = (
        _minute(f"{guess} {at}", f"%Y {clock}", zone) for guess in range(year - YEARS, year + 2)
    )
    known = [minute for minute in minutes if minute is not None]
    return min(known, key=lambda minute: abs(minute - today * DAY), default=None)
