"""Hostile: the inputs that targets have in common: texts, huge bytes, JSON of every kind.

A huge one is given as `parts`, pairs of bytes and how often they follow one another, so that it
stays short on paper.
"""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

Part = tuple[bytes, int]
Parts = Sequence[Part]

TEXTS = (
    *("", "INFO", "shop", "error", "a b", "\x1b[2J", "\x9b31m", "\0", "\r\n", "\u202egnp.exe"),
    *("\u2028", "\ud800", "\U0010ffff", "é", "ΐ", "ß", "ı", "<script>x</script>", "</button>"),
    *("<!channel> @everyone", "@here <@U1>", "'; DROP TABLE", '"', "\\", "{0} {{x}} %s %(x)s"),
    *("${x}", "..", "../..", "/etc/passwd", "nan", "1e308", "9" * 400, "1_0", "²", "&lt;", "*?["),
)
NAMES = (
    *("level", "message", "timestamp", "service", "time", "msg", "severity", "ts", "log", "event"),
    *(
        "MESSAGE",
        "PRIORITY",
        "@timestamp",
        "s",
        "t",
        "levelno",
        "status",
        "fields",
        "x",
        "trace_id",
    ),
)
LEVELS = ("INFO", "error", "Warn", "FATAL", "CRITICAL", "trace", "10", 30, 50, 3, None, "ınfo", "")
STAMPS: tuple[Any, ...] = (
    *(0, 1, -1, 1.5, 1_711_234_567.89, 1e10, 1e11, 1e15, -1e15, 1e300, 2**63, 10**400, "1", None),
    *("2024-03-23T22:56:07Z", "9999-12-31T23:59:60+99:99", 1_711_234_567_890, True, [], {}),
)
SIZES = (1, 2, 3, 50, 99, 100, 101, 500, 990, 996, 4_096, 8_192, 70_000, 300_000, 1_048_577)
SMALL = b"-", b" ", b"a ", b"\\", b'"', b"[", b"{", b"\xff", b"\x1b", b"\0", b"1", b"\xc3\xa9", b"="
WORDS = (b"]", b"}", b'"x":', b",", b"null", b"\\u0001", b'{"a":', b"NaN", b"1e999", b"\r", b"\n")

texts = st.sampled_from(TEXTS) | st.text(max_size=20)
plain = texts.map(lambda text: text.encode("utf-8", "surrogatepass"))
some_bytes = st.binary(max_size=20) | plain | st.sampled_from([*SMALL, *WORDS])
part = st.tuples(some_bytes, st.just(1)) | st.tuples(some_bytes, st.sampled_from(SIZES))
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def joined(parts: Parts, most: int = 12 * 2**20) -> bytes:
    """The bytes, of which no more than `most` are made."""
    whole = b""
    for piece, times in parts:
        fit = max(0, most - len(whole)) // max(1, len(piece))
        whole += piece * min(times, fit)
    return whole


def encoded(fields: Any) -> bytes:
    return json.dumps(fields).encode()


@st.composite
def objects(draw: st.DrawFn) -> list[Part]:
    """JSON that is an event, or nearly one: with odd fields, nested deep, huge, cut, spoiled."""
    fields: dict[str, Any] = {"level": "INFO", "message": "hello", "timestamp": 1_711_234_567.5}
    for name in draw(st.lists(st.sampled_from([*NAMES, *NAMES[:4] * 4]), max_size=4)):
        odd = st.sampled_from(LEVELS) | st.sampled_from(STAMPS) | values
        fields[name] = draw(odd)
    if draw(st.integers(0, 9)) == 0:
        del fields[draw(st.sampled_from(sorted(fields)))]
    whole = encoded(fields)
    parts = [(whole[:-1], 1), *draw(extras()), (b"}", 1)]
    match draw(st.integers(0, 11)):
        case 0:
            cut = draw(st.integers(0, len(whole)))
            return [(whole[:cut], 1), draw(part), (whole[cut:], 1)]
        case 1:
            return [(draw(st.sampled_from([b" ", b"\n", b"\xef\xbb\xbf", b"\0"])), 1), *parts]
        case 2:
            return [*parts, (draw(some_bytes), 1)]
    return parts


@st.composite
def extras(draw: st.DrawFn) -> list[Part]:
    """Further fields: nested, long, many, of huge numbers."""
    size = draw(st.sampled_from(SIZES))
    match draw(st.integers(0, 7)):
        case 0:
            return [(b',"x":', 1), (b"[", size), (b"1", 1), (b"]", size)]
        case 1:
            return [(b',"x":', 1), (b'{"a":', size), (b"1", 1), (b"}", size)]
        case 2:
            return [(b',"x":"', 1), (draw(st.sampled_from([b"a ", b"\\u0001", b"\xff"])), size)]
        case 3:
            return [(b',"x":"', 1), (draw(some_bytes), size), (b'"', 1)]
        case 4:
            return [(b',"x":', 1), (b"1", size)]
        case 5:
            return [(b',"x":1', size)]
        case 6:
            return [(b',\n"x" : [ 1,\r\n', 1), (b" ", size), (b"2]", 1)]
    return []


deep = st.sampled_from(SIZES[:10]).map(lambda size: [(b"[", size), (b"]", size)])
anything = objects() | objects() | st.lists(part, max_size=4) | deep
