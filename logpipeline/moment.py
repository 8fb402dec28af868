"""Moment: a point in time, as people write it on a command line."""

import re
import time
from datetime import datetime

A_TIME = (
    "2026-11-24 or 2026-11-24T19:00 (local time, or with +01:00 or Z), Unix seconds, "
    "or a time ago: 90s, 30m, 2h, 7d"
)
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}  # of each unit
AGO = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
UNIX = re.compile(r"\d{9,11}(\.\d+)?", re.ASCII)  # from 1973 on; eight digits are a date


def moment(text: str) -> float:
    """Unix seconds of a text that A_TIME describes. Raises ValueError."""
    if ago := AGO.fullmatch(text):
        return time.time() - int(ago[1]) * SECONDS[ago[2]]
    if UNIX.fullmatch(text):
        return float(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except (OverflowError, OSError) as error:  # the year 1
        raise ValueError(str(error)) from None
