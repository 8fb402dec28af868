"""Lines converted together: the same events, in the same order, as one by one."""

import re

import pytest

from logpipeline.events import formats
from logpipeline.events.lines import Lines
from logpipeline.events.parts import Format
from logpipeline.events.text_formats import ROWS
from logpipeline.events.uniform_common import UniformCommon
from tests.fuzz import chunks

pytestmark = pytest.mark.usefixtures("one_moment")
OUR_OWN = '{{"level":"INFO","message":"order {0}","timestamp":1711234567.25,"service":"shop"}}'
KINDS = {
    "access log": '10.0.0.{0} - - [23/Mar/2024:22:56:07 +0000] "GET /{0} HTTP/1.1" 200 {0} "-" "-"',
    "pino": '{{"level":30,"time":171123456{0:04},"hostname":"web","req":{{"method":"GET",'
    '"url":"/{0}"}},"responseTime":{0},"msg":"done"}}',
    "zap": '{{"level":"info","ts":"2024-03-23T22:56:07.{0:03}Z","msg":"done {0}"}}',
    "our own": OUR_OWN,
    "dated text": "2024-03-23 22:56:07,{0:03} WARN [main] com.example.Order: order {0} is late",
    "syslog": "Mar 23 22:56:07 combo sshd(pam_unix)[{0}]: authentication failure",
}


def lines_of(kind: str, count: int = 100) -> list[bytes]:
    return [KINDS[kind].format(number).encode() for number in range(count)]


def one_by_one(lines: list[bytes]) -> list[bytes | None]:
    alone = Lines("shop")
    return [alone.event(line, len(line)) for line in lines]


@pytest.mark.parametrize("seed", range(8))
def test_chunks_become_the_same_events_as_lines(seed: int) -> None:
    assert chunks.run(100, seed) > 0.15


@pytest.mark.parametrize("kind", KINDS)
def test_the_lines_of_a_usual_format_are_converted_together(kind: str) -> None:
    lines = Lines("shop")
    assert lines.separate(lines_of(kind)) == one_by_one(lines_of(kind))
    assert lines.together >= 99
    assert lines.count == 100


@pytest.mark.parametrize("kind", KINDS)
def test_an_odd_line_among_them_does_not_make_the_others_slow(kind: str) -> None:
    given = lines_of(kind)
    given[50] = b"caf\xe9: no such \xff"
    lines = Lines("shop")
    assert [value is not None for value in lines.separate(given)] == [True] * 100
    assert lines.together >= 70
    assert lines.replaced == 1


def test_what_looks_like_a_month_and_is_none_is_no_access_log() -> None:
    given = lines_of("access log")
    given[50:52] = [given[50].replace(b"Mar", b"Mai"), given[51].replace(b"10.0.0", b"10.0.0.0")]
    assert Lines("shop").separate(given) == one_by_one(given)


ODD = {
    "a name": ("10.0.0.7 ", "web.example "),
    "a port": ("10.0.0.7 ", "10.0.0.7:8080 "),
    "a proxy": ("10.0.0.7 ", "10.0.0.7, 10.0.0.8 "),
    "two users": ("- - [", "- a b c ["),
    "a bracket": ("- - [", "- [x] ["),
    "a quote": ("- - [", '- "x" ['),
    "an earlier time": ("- - [", "- [22/Mar/2024:22:56:07 +0000] ["),
    "a backslash": ("/7", r"/\x22\\"),
    "a control character": ("/7", "/\x01\x1b\t\x7f"),
    "no ASCII": ("/7", "/caf\xe9/\u2028"),
    "no path": ("/7", ""),
    "a path with a space": ("/7", "/a b"),
    "no version": (" HTTP/1.1", ""),
    "a size with zeros": (" 200 7 ", " 200 007 "),
    "no size": (" 200 7 ", " 200 - "),
    "a huge size": (" 200 7 ", f" 200 {'9' * 40} "),
    "a status with zeros": (" 200 ", " 007 "),
    "a second too many": (":07 ", ":61 "),
    "a leap second": (":07 ", ":60 "),
    "another zone": ("+0000", "-0330"),
    "a duration": ('"-" "-"', '"-" "-" rt=0.250'),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_access_log_is_converted_as_one_by_one(odd: str) -> None:
    given = lines_of("access log")
    common, other = ODD[odd]
    line = given[7].decode()
    assert common in line
    given[7:90:3] = [line.replace(common, other, 1).encode()] * 28
    assert Lines("shop").separate(given) == one_by_one(given)


@pytest.mark.parametrize("before", ["10.0.0.7 ", "10.0.0.7 - - ", "1.2.3.4 - - ["])
def test_no_format_before_the_access_log_has_a_line_that_begins_with_an_address(
    before: str,
) -> None:
    [access] = [row for row in ROWS["0"] if UniformCommon.fits(row)]
    for earlier in ROWS["0"][: ROWS["0"].index(access)]:
        for form in formats.FORMATS:
            assert not re.match(earlier.lead or earlier.pattern, before + form.example)


def test_two_formats_in_turn_are_converted_together() -> None:
    given = [line for pair in zip(*map(lines_of, KINDS), strict=True) for line in pair]
    lines = Lines("shop")
    assert lines.separate(given) == one_by_one(given)
    assert lines.together > len(given) // 2


@pytest.mark.parametrize("form", formats.FORMATS, ids=lambda form: form.name)
def test_the_first_format_of_the_table_stays_the_first(form: Format) -> None:
    """Whatever format the line before has."""
    examples = [each.example.encode() for each in formats.FORMATS]
    given = [form.example.encode()] * 40 + examples + [form.example.encode()] * 40
    assert Lines("shop").separate(given) == one_by_one(given)


def test_a_duration_without_end_is_not_stated() -> None:
    line = b'{"msg":"done","method":"GET","path":"/","duration":1e999,"responseTime":"nan"}'
    value = Lines().event(line, len(line))
    assert value
    assert b"duration_ms" not in value
