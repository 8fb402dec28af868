"""Page: what the web page, make recent and alerts.py make of a line in Redis."""

import time
from collections.abc import Callable
from dataclasses import replace

from hypothesis import strategies as st

from logpipeline.alerts import snapshot
from logpipeline.dashboard import event_list, panels
from logpipeline.dashboard.clock import Clock
from logpipeline.dashboard.entry import entry
from logpipeline.dashboard.search import Filters
from logpipeline.dashboard.state import DashboardState
from logpipeline.events.shown import shown
from tests.fuzz.hostile import Part, Parts, anything, encoded, joined, texts
from tests.fuzz.reference import deep_down
from tests.fuzz.target import MIB, Target, hold, pure

EVENTS = 1_000  # that a list holds
HTML = MIB  # characters of one event on the page, unfolded
EVENT = {"level": "ERROR", "message": "m", "timestamp": 1_711_234_567}
CLOCK = Clock("Europe/Berlin")


def held(parts: Parts) -> bytes:
    """A line in Redis."""
    return joined(parts, 2 * MIB)


def drawn(line: bytes) -> Callable[[], None]:
    """Show a line on the page, in the list and whole."""
    each = deep_down(lambda: entry("1", line))
    board = DashboardState(time.time(), {"": [each], "ERROR": [each]}, {})
    made = [event_list.rows([each], time.time(), CLOCK), event_list.whole(each, CLOCK)]
    made.append(panels.failing(board))
    size = sum(len(str(html)) for html in made)

    def compare() -> None:
        hold(size <= HTML, f"{size:,} characters of HTML for one event")

    return compare


def printed(line: bytes) -> Callable[[], None]:
    """Show a line in the terminal."""
    text = deep_down(lambda: shown(line, False))
    return lambda: hold(text.isprintable(), "a terminal would obey it")


def counted(line: bytes) -> None:
    """Read a line's time and service for alerts."""
    deep_down(lambda: snapshot.newest(lambda first, last: [line], 0.0))


def asked(given: tuple[Parts, list[tuple[str, int]]]) -> tuple[bytes, str]:
    parts, words = given
    return held(parts), " ".join(text * times for text, times in words)


def searched(given: tuple[bytes, str]) -> None:
    """Look for words in as many events as a list holds."""
    line, words = given
    each = entry("1", line)
    board = DashboardState(time.time(), {"": [replace(each, id=str(n)) for n in range(EVENTS)]}, {})
    board.matching(Filters.of(words=words))


NESTED = [(encoded(EVENT)[:-1] + b',"x":', 1), (b"[", 990), (b"]", 990), (b"}", 1)]
CONTROLS = [(encoded(EVENT)[:-1] + b',"x":"', 1), (b"\\u0001", 170_000), (b'"}', 1)]
RAW = [(b"\x01", MIB)]
FIELDS = [(encoded(EVENT)[:-1], 1), (b',"":[0]', 100_000), (b"}", 1)]
LONG: list[Part] = [
    (encoded(EVENT)[:-1], 1),
    *(each for n in range(200) for each in ((b',"x%d":"' % n, 1), (b"\x7f", 5_000), (b'"', 1))),
    (b"}", 1),
]
CORPUS = [NESTED, CONTROLS, RAW, FIELDS, [(b"[", MIB)], [(b"[", 5_000), (b"]", 5_000)], LONG]

TARGETS = (
    Target(
        "drawn",
        "whatever is in Redis, the page shows it, in bounded HTML and time",
        anything,
        pure(drawn, held),
        CORPUS,
        bytes=128 * MIB,
    ),
    Target(
        "printed",
        "whatever is in Redis, make recent shows it on one line that no terminal obeys",
        anything,
        pure(printed, held),
        CORPUS,
        bytes=128 * MIB,
    ),
    Target(
        "counted",
        "whatever is in Redis, alerts.py reads its time and service, or leaves it out",
        anything,
        pure(counted, held),
        CORPUS,
        bytes=128 * MIB,
    ),
    Target(
        "searched",
        "a search takes half a second of CPU time, whatever is looked for in whatever",
        st.tuples(anything, st.lists(st.tuples(texts, st.integers(1, 500)), max_size=9)),
        pure(searched, asked),
        [([(b"a", MIB)], [("a ", 30_000)]), ([(b"ab", MIB)], [("a" * 99 + "b ", 9)])],
        seconds=0.8,
    ),
)
