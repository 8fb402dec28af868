"""People: what is sent to them, printed for them, and drawn for them, of names from elsewhere."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from logpipeline.alerts.alert import Notice
from logpipeline.alerts.targets import message
from logpipeline.report.page import render
from logpipeline.report.trends import trends
from logpipeline.verify.findings import Findings
from tests.fuzz.hostile import encoded, joined, part, texts
from tests.fuzz.target import MIB, Target, hold, in_folder, pure

MENTION = re.compile(r"<[!@#]|@(everyone|here|channel|all)\b")  # Slack's, Discord's, Teams'
BETWEEN = "\u200b"  # what may be put into a mention, so that it is none
WORDS = 2_500  # characters of a message
MOST = 200_000  # characters of a name
REPORT = 2 * MIB  # bytes of the page

names = st.builds(lambda text, times: [text, times], texts, st.sampled_from([1, 1, 1, 100, 20_000]))
notices = st.tuples(names, names, st.sampled_from(["open", "repeat", "over"]))
event = st.tuples(names, names, st.lists(part, max_size=1), st.integers(1, 40))


def told(given: Any) -> Callable[[], None]:
    """Tell people of an alert."""
    subject, summary, state = given
    notice = Notice(state, "burst", _long(subject), "warning", _long(summary), 1.0)
    title, body, _ = message(notice)
    line = str(notice)

    def compare() -> None:
        hold(not MENTION.search(title + body), "it mentions somebody")
        hold(len(title) + len(body) <= WORDS, f"{len(title) + len(body):,} characters")
        plain = f"{title}{line}".replace(BETWEEN, "")
        hold(plain.isprintable(), "a terminal would obey it")

    return compare


def found(given: Any) -> Callable[[], None]:
    """Print what verify.py has found."""
    findings = Findings()
    for text in map(_long, given):
        findings.add("unknown to Kafka", text)
        findings.add_offset("doubled", text, 7)
        findings.notes.append(text)
    words = str(findings)
    return lambda: hold(words.isprintable(), "a terminal would obey it")


def written(folder: Path, given: Any) -> Path:
    """A file of hostile lines."""
    path, moment = folder / "logs.txt", time.time() - 60
    with path.open("wb") as file:
        for service, text, parts, count in given:
            for number in range(count):
                names = {"service": f"{_long(service)}{number or ''}", "message": _long(text)}
                file.write(encoded({"level": "ERROR", "timestamp": moment, **names}) + b"\n")
            file.write(joined(parts, 2 * MIB) + b"\n")
    return path


def reported(path: Path) -> Callable[[], None]:
    """Draw their report."""
    now = time.time()
    html = render(trends([path], now - 3_600, now), "title", "source")
    return lambda: hold(len(html) <= REPORT, f"{len(html):,} characters of report.html")


def _long(name: tuple[str, int]) -> str:
    text, times = name
    return (text * times)[:MOST]


TARGETS = (
    Target(
        "told",
        "a name in an alert mentions nobody, is cut, and leaves the terminal alone",
        notices,
        pure(told),
        [
            (["<!channel> @everyone", 1], ["<!channel> @everyone", 1], "open"),
            (["x", 100_000], ["y", 100_000], "over"),
            (["\x1b[2J", 1], ["\r\n\x1b]0;x\x07", 1], "repeat"),
            (["", 1], ["\u2028", 20_000], "open"),
        ],
    ),
    Target(
        "found",
        "verify.py prints names that the terminal does not obey",
        st.lists(names, max_size=4),
        pure(found),
        [[["\x1b[2J", 1]], [["\x91\u2028\U000a9e3d\xfa", 50_000]] * 4],
    ),
    Target(
        "report",
        "report.html is small, whatever names and messages are in logs.txt",
        st.lists(event, min_size=1, max_size=3),
        in_folder(written, reported),
        [
            [(["x" * 160_000, 1], ["m", 1], [], 12)],
            [(["x", 1], ["m" * 100_000, 1], [], 12)],
            [(["service", 1], ["m", 1], [], 10_000)],
            [(["x", 1], ["m", 1], [(b"[", 1_000_000)], 1)],
        ],
        seconds=2.0,
        bytes=256 * MIB,
    ),
)
