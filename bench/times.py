"""Compare ways to parse a line's time, ours and libraries', on times of neighbouring lines.

.venv/bin/pip install --target /tmp/libs ciso8601 python-dateutil
PYTHONPATH=/tmp/libs .venv/bin/python -m bench.times
"""

import time
import timeit
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from logpipeline.events import times

STARTS = datetime(2015, 10, 18, 18, 1, 47, 978_000)
COUNT = 20_000
TEXTS = [f"{STARTS + timedelta(milliseconds=25 * n):%Y-%m-%d %H:%M:%S.%f}" for n in range(COUNT)]


def main() -> None:
    ways: dict[str, Callable[[str], Any]] = {
        "logpipeline.events.times, exact text": times.of_text,
        "datetime.fromisoformat + timestamp": lambda t: datetime.fromisoformat(t).timestamp(),
        "datetime.strptime + timestamp": lambda t: datetime.strptime(
            t, "%Y-%m-%d %H:%M:%S.%f"
        ).timestamp(),
    }
    try:
        import ciso8601  # type: ignore[import-not-found, unused-ignore]
        import dateutil.parser  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        print("ciso8601 and python-dateutil are not installed: see the first lines of this file")
    else:
        ways["ciso8601 + timestamp"] = lambda t: ciso8601.parse_datetime(t).timestamp()
        ways["dateutil + timestamp"] = lambda t: dateutil.parser.parse(t).timestamp()
    for name, way in ways.items():
        seconds = min(timeit.repeat(partial(parse_all, way), timer=time.process_time, number=1))
        print(f"{seconds / COUNT * 1e6:7.2f} µs  {name}")


def parse_all(way: Callable[[str], Any]) -> None:
    for text in TEXTS:
        way(text)


if __name__ == "__main__":
    main()
