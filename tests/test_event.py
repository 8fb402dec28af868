"""What an event is, and why something else is not one."""

import json
import math
import random
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from logpipeline.events.event import (
    ALIASES,
    LEVELS,
    InvalidRecord,
    is_event,
    level_of,
    one_line,
    parse,
    parse_all,
)
from logpipeline.events.slices import read
from tests.support.records import Record

HEAD = b'{"level":"INFO","message":"m","timestamp":1'


def event(**fields: Any) -> bytes:
    return json.dumps({"level": "INFO", "message": "m", "timestamp": 1.5} | fields).encode()


def test_the_three_fields_are_read() -> None:
    value = b'{"level": "ERROR", "message": "Payment failed", "timestamp": 1711234567.89}'
    found = parse(value)
    assert (found.level, found.message, found.timestamp) == (
        "ERROR",
        "Payment failed",
        1711234567.89,
    )


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_is_known_in_any_case_and_by_its_other_names(level: str) -> None:
    for name in (level, level.lower(), level.title(), *ALIASES[level]):
        assert parse(event(level=name)).level == level == level_of(name.lower())


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("WARN", "WARNING"),
        ("fatal", "CRITICAL"),
        ("Notice", "INFO"),
        ("TRACE", "DEBUG"),
        ("err", "ERROR"),
        ("CRIT", "CRITICAL"),
        ("emerg", "CRITICAL"),
        ("ALERT", "CRITICAL"),
    ],
)
def test_usual_other_names(name: str, level: str) -> None:
    assert level_of(name) == level


@pytest.mark.parametrize(
    "value",
    [
        event(timestamp=0),
        event(timestamp=-1),
        event(timestamp=1e300),
        event(message=""),
        event(message='línea\n"quoted" \\ 世界 🎉'),
        event(trace_id="7", nested={"a": [1, None, True]}),
        HEAD + b',"x":"\\ud800"}',
        HEAD + b',"x":1e999}',
        HEAD + b',"x":' + b"9" * 5000 + b"}",
        HEAD + b',"x":' + b"[" * 99 + b"]" * 99 + b"}",
        HEAD + b',"x":' + b'{"[":' * 98 + b"[1]" + b"}" * 98 + b"}",
        HEAD + b',"x":"' + b"[" * 5_000 + b'"}',
        HEAD + b',"x":"\\"' + b"[{" * 500 + b'","\\\\":[["' + b"]" * 500 + b'"]]}',
        HEAD + b',"x":[' + b"[],{}," * 5_000 + b"0]}",
        b'{"level":"INFO","message":"\\ud800","timestamp":1}',
        b'{"level":"no","message":"m","timestamp":1,"level":"INFO"}',
        b' {"le\\u0076el" :\t"INFO" ,"message":"m","timestamp":1 } ',
    ],
)
def test_an_event_keeps_its_own_bytes(value: bytes) -> None:
    assert parse(value).level == "INFO"
    assert one_line(value) == value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no value"),
        (b"", "broken JSON"),
        (b"hello", "broken JSON"),
        (b"\xef\xbb\xbf" + event(), "broken JSON"),
        (HEAD, "broken JSON"),
        (event() + b"x", "broken JSON"),
        (event() + event(), "broken JSON"),
        (HEAD + b',"x":"a\nb"}', "broken JSON"),
        (HEAD + b',"x":"\x00"}', "broken JSON"),
        (HEAD + b',"x":"' + b'\\"' * 100_000 + b"\\", "broken JSON"),
        (HEAD + b',"x":' + b"[" * 100 + b"]" * 100 + b"}", "nested too deeply"),
        (HEAD + b',"x":' + b'{"]":' * 99 + b"[1]" + b"}" * 99 + b"}", "nested too deeply"),
        (HEAD + b',"x":"\\ud800","y":' + b"[" * 100 + b"]" * 100 + b"}", "nested too deeply"),
        (HEAD + b',"x":' + b"[" * 991 + b"]" * 991 + b"}", "nested too deeply"),
        (HEAD + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b"[" * 1_000_000, "nested too deeply"),
        (HEAD + b',"x":"\xff"}', "invalid UTF-8"),
        (b"\xff\xfe", "invalid UTF-8"),
        (HEAD + b',"x":"\xed\xa0\x80"}', "invalid UTF-8"),
        (HEAD + b',"x":NaN}', "NaN"),
        (HEAD + b',"x":[-Infinity]}', "NaN"),
        (b'{"level":"INFO","message":"m","timestamp":NaN}', "NaN"),
        (b'{"level":"INFO","message":"m","timestamp":1e309}', "NaN"),
        (b'{"level":"INFO","message":"m","timestamp":' + b"9" * 5000 + b"}", "NaN"),
        (b"[]", "not an object"),
        (b'"text"', "not an object"),
        (b"null", "not an object"),
        (b"17", "not an object"),
        (b'{"message":"m","timestamp":1}', "missing level"),
        (b'{"level":"INFO","timestamp":1}', "missing message"),
        (b'{"level":"INFO","message":"m"}', "missing timestamp"),
        (event(level=None), "mistyped level"),
        (event(level=20), "mistyped level"),
        (event(message=["m"]), "mistyped message"),
        (event(message=None), "mistyped message"),
        (event(timestamp="1711234567"), "mistyped timestamp"),
        (event(timestamp=True), "mistyped timestamp"),
        (event(timestamp=None), "mistyped timestamp"),
        (event(level="LOUD"), "unknown level"),
        (event(level=""), "unknown level"),
    ],
)
def test_an_invalid_record_has_its_reason_and_a_sentence(value: bytes | None, reason: str) -> None:
    with pytest.raises(InvalidRecord) as verdict:
        parse(value)
    assert verdict.value.reason == reason
    assert str(verdict.value).isprintable()
    assert len(str(verdict.value)) < 300


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (event() + b"\n", event()),
        (b"\r\n" + event() + b"\r\n", event()),
        (HEAD + b"\r}", HEAD + b"}"),
        (HEAD + b',\n "x": "a b \\" \\\\"}', HEAD + b',"x":"a b \\" \\\\"}'),
        (HEAD + b', "y" : 1.10,\r\n\t"y": 2 }', HEAD + b',"y":1.10,"y":2}'),
        (HEAD + b',\n"x": "\\ud800"}', HEAD + b',"x":"\\ud800"}'),
    ],
)
def test_an_event_that_spans_lines_is_written_on_one(value: bytes, line: bytes) -> None:
    assert parse(value).message == "m"
    assert one_line(value) == line


def lawful(value: bytes) -> tuple[str, str, float] | None:
    """The event by Python's own JSON and the contract's sentences."""
    try:
        fields = json.loads(value.decode(), parse_constant=lambda name: 1 / 0)
    except (ValueError, RecursionError, ZeroDivisionError):
        return None
    if not isinstance(fields, dict):
        return None
    level, message, seconds = (fields.get(name) for name in ("level", "message", "timestamp"))
    if not isinstance(level, str) or not isinstance(message, str):
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    known = level_of(level)
    return (known, message, float(seconds)) if known and math.isfinite(seconds) else None


def test_20_000_mutated_events_are_judged_as_by_pythons_own_json() -> None:
    dice = random.Random(4)
    originals = [
        b'{"level":"INFO","message":"m","timestamp":1711234567.89,"x":[1,{"a":null}],"y":"\\u00e9"}',
        '{"level":"warn","message":"grüße 🎉","timestamp":0,\n"ä":"ö\\n"}'.encode(),
        b'{"a":{"b":[[],{}]},"level":"ERROR","message":"\\ud800","timestamp":12,"z":-1.5e10}',
    ]
    bits = [bytes([n]) for n in range(256)]
    bits += 8 * [bytes([n]) for n in b'\\"{}[],:\n\r eE+-.019']
    bits += 8 * [b"NaN", b"\\u", b"\\ud800", b"true", b"null", b"\xc3\xa9", b"\xed\xa0\x80"]
    events = 0
    for _ in range(20_000):
        value = bytearray(dice.choice(originals))
        for _ in range(dice.choice((1, 1, 2, 4))):
            at = dice.randrange(len(value) + 1)
            value[at : at + dice.choice((0, 0, 1, 3))] = dice.choice((b"", *dice.sample(bits, 2)))
        mutant = bytes(value)
        expected = lawful(mutant)
        try:
            found = parse(mutant)
        except InvalidRecord:
            assert expected is None, mutant
            continue
        events += 1
        assert (found.level, found.message, found.timestamp) == expected, mutant
        line = one_line(mutant)
        assert not {*b"\r\n"} & {*line}
        assert json.loads(line) == json.loads(mutant)
    assert 1_000 < events < 19_000


def test_a_slice_sorts_records_into_events_and_rejects() -> None:
    records = [
        Record(7, event(timestamp=120)),
        Record(8, b"no", b"key"),
        Record(11, event(level="err", timestamp=59.9) + b"\n"),
        Record(12, None),
    ]
    part = read(3, 5, records)
    assert (part.partition, part.start, part.end) == (3, 5, 13)
    assert (part.offsets, part.levels, part.minutes) == ([7, 11], ["INFO", "ERROR"], [2, 0])
    assert part.lines == [event(timestamp=120), event(level="err", timestamp=59.9)]
    assert [(r.offset, r.key, r.value) for r in part.rejects] == [
        (8, b"key", b"no"),
        (12, None, None),
    ]


def test_a_slice_is_cut_at_an_offset() -> None:
    records = [Record(n, event(n=n) if n % 2 else b"no") for n in (2, 3, 6, 7, 9)]
    part = read(0, 0, records)
    assert part.since(0) is part
    for offset in range(11):
        later = part.since(offset)
        assert (later.start, later.end) == (offset, 10)
        assert later.offsets == [n for n in (3, 7, 9) if n >= offset]
        assert later.lines == [event(n=n) for n in later.offsets]
        assert [r.offset for r in later.rejects] == [n for n in (2, 6) if n >= offset]
    assert part.since(20).start == part.since(20).end


def test_many_values_at_once_are_judged_as_one_by_one() -> None:
    dice = random.Random(6)
    whole = [
        event(level="warn", x={"a": [{}]}),
        event(level="Fatal", message='"}\n{"', timestamp=-0.5),
        '{"level":"INFO","message":"ü","timestamp":1,"x":{}}'.encode(),
        b'{"x":{"level":"INFO","message":"m","timestamp":1},"level":"INFO","message":"m","timestamp":2}',
    ]
    between = [b"", b"\n", b" ", b"\r", b"}", b"{", b",", b'"', b"\xff", b'{"x":"', b"}\n{"]
    judged = 0
    for _ in range(20_000):
        values: list[bytes | None] = [dice.choice(whole) for _ in range(dice.randrange(1, 5))]
        if dice.random() < 0.8:
            text = dice.choice(between).join(value for value in values if value)
            braces = [at for at, byte in enumerate(text) if byte in b"{}"]
            cuts = sorted(at + dice.randrange(2) for at in dice.choices(braces, k=len(values) - 1))
            values = [text[a:b] for a, b in pairwise([0, *cuts, len(text)])]
        if dice.random() < 0.02:
            values.append(None)
        found = parse_all(values)
        if found is not None:
            judged += 1
            singly = [parse(value) for value in values]
            assert found == ([one.level for one in singly], [one.timestamp for one in singly])
            assert [one_line(value) for value in values if value] == values
    assert 4_000 < judged < 19_000
    assert parse_all([*whole]) is not None


def deeper(calls: int, judge: Callable[[], object]) -> object:
    """What `judge` returns when it is called from so many frames further down the stack."""
    return judge() if not calls else deeper(calls - 1, judge)


@pytest.mark.parametrize("text", [b"plain", b"\\ud800"])
def test_the_verdict_is_the_same_from_any_depth_of_the_stack(text: bytes) -> None:
    def nested(arrays: int) -> bytes:
        return HEAD + b',"s":"' + text + b'","x":' + b"[" * arrays + b"]" * arrays + b"}"

    for calls in (0, 100, 700):
        assert deeper(calls, lambda: is_event(nested(99)))
        assert not deeper(calls, lambda: is_event(nested(100)))
        found = deeper(calls, lambda: parse_all([nested(99), event()]))
        assert found == (None if b"u" in text else (["INFO", "INFO"], [1.0, 1.5]))
        assert deeper(calls, lambda: parse_all([event(), nested(100)])) is None


def test_a_long_hostile_value_is_judged_in_time_that_grows_with_its_length() -> None:
    for part in (b"[", b"[]", b'"', b'"\\', b'\\"', b'""', b"{}", b'["'):
        value = HEAD + b',"x":' + part * (2**20 // len(part))
        started = time.thread_time()
        is_event(value)
        parse_all([value])
        assert time.thread_time() - started < 2, part


def test_a_slice_carries_the_time_of_each_event() -> None:
    records = [Record(n, event(timestamp=n / 8) + b"\n" * (n == 7)) for n in range(3, 9)]
    records[2] = Record(5, b"no")
    part = read(0, 3, records)
    assert part.times == [3 / 8, 4 / 8, 6 / 8, 7 / 8, 8 / 8]
    assert part.since(5).times == part.times[2:]
    assert part.until(6).times == part.times[:2]
    assert read(0, 3, [Record(n, event(timestamp=n)) for n in (3, 4)]).times == [3, 4]
