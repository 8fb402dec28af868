"""Loggers: a line of JSON that can't be mapped is text, whatever it holds."""

from collections.abc import Callable

import pytest

from logpipeline.events import json_formats
from logpipeline.events.event import DEEPEST, parse
from logpipeline.events.lines import Lines

HEAD = b'{"level":30,"time":1711234567890,"msg":'


def nested(arrays: int, text: bytes = b"m") -> bytes:
    return HEAD + b'"' + text + b'","x":' + b"[" * arrays + b"]" * arrays + b"}"


def from_below(calls: int, do: Callable[[], object]) -> object:
    """What `do` returns when it is called from so many frames further down the stack."""
    return do() if not calls else from_below(calls - 1, do)


@pytest.mark.parametrize("calls", [0, 700])
@pytest.mark.parametrize("text", [b"m", b"\\ud800"])
@pytest.mark.parametrize("arrays", [DEEPEST, 200, 960, 970, 980, 990, 995, 1_000, 100_000])
def test_a_line_that_is_nested_too_deeply_is_text(arrays: int, text: bytes, calls: int) -> None:
    line = nested(arrays, text)
    made = from_below(calls, lambda: Lines().event(line, len(line)))
    assert isinstance(made, bytes)
    assert parse(made).message == line.decode()


@pytest.mark.parametrize("calls", [0, 700])
@pytest.mark.parametrize("text", [b"m", b"\\ud800"])
def test_the_deepest_line_is_mapped(text: bytes, calls: int) -> None:
    line = nested(DEEPEST - 1, text)
    made = from_below(calls, lambda: Lines().event(line, len(line)))
    assert isinstance(made, bytes)
    assert parse(made).message in {"m", "\ud800"}
    assert b"[" * (DEEPEST - 1) in made


@pytest.mark.parametrize(
    "value",
    [
        *(nested(n) for n in (DEEPEST, 990, 100_000)),
        b'{"t":{"$date":' + b"9" * 5_000 + b"}}",
        b'{"t":{"$date":"x","y":' + b"9" * 5_000 + b'},"msg":"m"}',
        b'{"MESSAGE":[' + b"9" * 5_000 + b"]}",
        b'{"MESSAGE":[256,-1,1e5,null]}',
        b'{"MESSAGE":[' + b"[" * 97 + b"]" * 97 + b"]}",
        b'{"level":' + b"9" * 5_000 + b',"msg":"m"}',
        b'{"status":{"\\ud800":[' + b"9" * 5_000 + b'"]},"msg":"m"}',
        b'{"time":1e400,"msg":"m"}',
        b'{"time":-' + b"9" * 400 + b',"msg":"m"}',
    ],
)
def test_a_line_inside_a_line_is_read_as_far_as_it_makes_sense(value: bytes) -> None:
    outer = b'{"log":' + json_formats.encoded(value.decode()) + b"}"
    for line in (value, outer):
        made = Lines().event(line, len(line))
        assert made is not None
        parse(made)
