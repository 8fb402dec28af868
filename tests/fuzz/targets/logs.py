"""Logs: the lines of anybody's log that producer.py makes events of."""

from array import array
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

from logpipeline.events import text_formats
from logpipeline.events.event import parse
from logpipeline.events.lines import MOST, Lines, Splitter
from tests.fuzz.hostile import Parts, encoded, joined, objects, part, some_bytes
from tests.fuzz.reference import deep_down
from tests.fuzz.target import MIB, Target, hold, pure

EXAMPLES = [form.example.encode() for form in text_formats.FORMATS]
REPEATED = 8_192  # bytes: what is looked at of a line
BGL = next(e for e in EXAMPLES if e.startswith(b"- 1117838570"))
BEGINNING = 100_000  # characters: how much of a long line fits depends on the time, too
PIECE = 64 * 1_024  # bytes that come at once

cut_examples = st.builds(
    lambda example, at: [(example[:at], 1)],
    st.sampled_from(EXAMPLES),
    st.integers(0, max(map(len, EXAMPLES))),
)
tails = st.lists(st.tuples(some_bytes, st.sampled_from([1, 2, 10, REPEATED, 300_000])), max_size=3)
lines = st.builds(lambda head, tail: [*head, *tail], cut_examples, tails)
streams = st.lists(part | st.just((b"\n", 1)) | st.tuples(some_bytes, st.just(MIB)), max_size=8)


def one_line(parts: Parts) -> bytes:
    return joined(parts, 2 * MIB).replace(b"\n", b" ")


def line(given: bytes) -> Callable[[], None]:
    """Make an event of one line."""
    shallow, deep = _event(given), deep_down(lambda: _event(given))

    def compare() -> None:
        hold((shallow is None) == (deep is None), "an event at one depth of the stack alone")
        if shallow is None or deep is None:
            blank = given.removesuffix(b"\r").removeprefix(b"\xef\xbb\xbf").isspace()
            hold(blank or given in (b"", b"\r", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r"), "no event")
            return
        hold(len(shallow) <= MOST and b"\n" not in shallow, "no record, or no line")
        one, other = parse(shallow), parse(deep)
        same = one.level == other.level and one.message[:BEGINNING] == other.message[:BEGINNING]
        hold(same, "it depends on the stack")

    return compare


def flowing(given: Any) -> tuple[bytes, int]:
    parts, size = given
    return joined(parts, 6 * MIB), size


def stream(given: tuple[bytes, int]) -> Callable[[], None]:
    """Split what comes in pieces."""
    (whole, size), splitter = given, Splitter()
    texts: list[bytes] = []
    sizes = array("Q")  # a list of all lines would be what takes the memory

    def keep(lines: list[tuple[bytes, int]]) -> None:
        if lines:
            texts.append(b"\n".join([line for line, _ in lines]))
            sizes.extend([size for _, size in lines])

    for piece in _pieces(whole, size):
        keep(splitter.feed(piece))
    keep(splitter.end())

    def compare() -> None:
        expected = whole.removesuffix(b"\n").split(b"\n") if whole else []
        hold(sizes.tolist() == list(map(len, expected)), "other lines")
        found = b"\n".join(texts).split(b"\n") if texts else []
        hold(all(map(bytes.startswith, expected, found)), "other bytes")

    return compare


def text(parts: Parts) -> str:
    return joined(parts, MIB).decode(errors="replace")


def pattern(given: str) -> None:
    """Look for level and time where producer.py does."""
    text_formats.read(given)


def _event(given: bytes) -> bytes | None:
    return Lines("shop").event(given, len(given))


def _pieces(whole: bytes, size: int) -> Iterator[bytes]:
    return (whole[at : at + size] for at in range(0, len(whole), size))


TARGETS = (
    Target(
        "patterns",
        "level and time of a line are found, or not, within 5 ms of CPU time",
        lines,
        pure(pattern, text),
        corpus=[
            [(BGL[:80], 1), (b"-", REPEATED)],
            *([(e[: len(e) // 2], 1), (tail, REPEATED)] for e in EXAMPLES for tail in (b"a", b" ")),
        ],
        seconds=0.005,
    ),
    Target(
        "lines",
        "a line that is not blank becomes one event that Kafka takes, the same at any depth of "
        "the stack",
        lines | objects() | st.lists(part, max_size=4),
        pure(line, one_line),
        corpus=[
            [(BGL[:80], 1), (b"-", REPEATED)],
            [(encoded({"msg": "x", "time": 1})[:-1] + b',"x":', 1), (b"[", 985), (b"]", 985),
             (b"}", 1)],
            [(b'{"log":"', 1), (b"{\\\"log\\\":\\\"", 5_000)],
            [(b"\xff", 2 * MIB)],
            [(b"\x1b[1m", 300_000)],
            [(b'{"level":"INFO","x":', 1), (b'{"a":', MIB), (b"1", 1), (b"}", MIB)],
        ],
        seconds=0.5,
    ),
    Target(
        "splitter",
        "pieces of a log become its lines, each once, and a long one is held in part",
        st.tuples(streams, st.sampled_from([512, 4_096, PIECE])),
        pure(stream, flowing),
        corpus=[([(b"\r\n", MIB), (b"\x80o\n--", MIB)], 512), ([(b"\n", 6 * MIB)], PIECE)],
        seconds=2.0,
        bytes=128 * MIB,
    ),
)  # fmt: skip
