"""Lines of any kind become events: whole, unchanged, and nothing else."""

import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from logpipeline.events import event
from logpipeline.events.lines import HELD, MOST, Lines, Splitter, default_service


def made(line: bytes, service: str = "") -> dict[str, Any]:
    """The event of a line, checked to be one, with numbers as their text."""
    value = Lines(service).event(line, len(line))
    assert value is not None
    event.parse(value)
    assert b"\n" not in value
    fields = json.loads(value, parse_float=str, parse_int=str)
    assert isinstance(fields, dict)
    return fields


class TestEvents:
    @pytest.mark.parametrize(
        "line",
        [
            b'{"level": "ERROR", "message": "Payment failed", "timestamp": 1711234567.89}',
            b'{"timestamp":1,"level":"warn","x":[1.10,{"y":null}],"message":"\\u00e9"}',
            b' {"level":"INFO","message":"half: \\ud800","timestamp":1e3} ',
        ],
    )
    def test_an_event_goes_as_it_is(self, line: bytes) -> None:
        assert Lines("other").event(line, len(line)) == line

    @pytest.mark.parametrize(
        "line",
        [
            b'{"level":"ERROR","message":"x"',
            b'{"level":"ERROR","message":"x","timestamp":NaN}',
            b"{}",
            b'{"a":1}',
            b'["ERROR"]',
            b"{" * 100_000,
            b'{"a":' * 100_000,
            b"null",
            b'{"message":1e999,"level":1e999,"x":"\\ud800"}',
        ],
    )
    def test_other_json_is_text(self, line: bytes) -> None:
        found = made(line)
        assert found.pop("message") == line.decode()
        assert found.pop("level") == "INFO"
        assert float(found.pop("timestamp")) == pytest.approx(time.time(), abs=60)
        assert not found


LOGGERS = {
    "pino": (
        '{"level":50,"time":1711234567890,"pid":7,"hostname":"a","msg":"x"}',
        ("ERROR", "x", "1711234567.890"),
        {"pid": "7", "hostname": "a"},
    ),
    "bunyan": (
        '{"name":"n","level":40,"msg":"x","time":"2024-03-23T22:56:07.890Z","v":0}',
        ("WARNING", "x", "1711234567.890"),
        {"name": "n", "v": "0"},
    ),
    "winston": (
        '{"level":"error","message":"x","timestamp":"2024-03-23T22:56:07.890Z"}',
        ("ERROR", "x", "1711234567.890"),
        {},
    ),
    "zap": (
        '{"level":"dpanic","ts":1711234567.8901234,"caller":"a.go:1","msg":"x"}',
        ("CRITICAL", "x", "1711234567.8901234"),
        {"caller": "a.go:1"},
    ),
    "zerolog": (
        '{"level":"warn","time":1711234567,"message":"x","n":1.10}',
        ("WARNING", "x", "1711234567"),
        {"n": "1.10"},
    ),
    "slog": (
        '{"time":"2024-03-23T22:56:07.123456789Z","level":"ERROR","msg":"x","a":{"b":[1]}}',
        ("ERROR", "x", "1711234567.123456789"),
        {"a": {"b": ["1"]}},
    ),
    "structlog": (
        '{"event":"x","level":"critical","timestamp":"2024-03-23T22:56:07Z","user":null}',
        ("CRITICAL", "x", "1711234567"),
        {"user": None},
    ),
    "python-json-logger": (
        '{"asctime":"2024-03-23T22:56:07,890Z","levelname":"WARNING","name":"n","message":"x"}',
        ("WARNING", "x", "1711234567.890"),
        {"name": "n"},
    ),
    "a Python record": (
        '{"created":1711234567.25,"levelno":50,"msg":"x"}',
        ("CRITICAL", "x", "1711234567.25"),
        {},
    ),
    "logstash": (
        '{"@timestamp":"2024-03-23T22:56:07.890Z","@version":"1","message":"x","level":"WARN"}',
        ("WARNING", "x", "1711234567.890"),
        {"@version": "1"},
    ),
    "ECS": (
        '{"@timestamp":"2024-03-23T22:56:07.890Z","log.level":"error","message":"x"}',
        ("ERROR", "x", "1711234567.890"),
        {},
    ),
    "GCP": (
        '{"severity":"ALERT","timestamp":"2024-03-23T23:56:07.5+01:00","textPayload":"x"}',
        ("CRITICAL", "x", "1711234567.5"),
        {},
    ),
    "GELF": (
        '{"version":"1.1","short_message":"x","timestamp":1711234567.89,"level":3}',
        ("ERROR", "x", "1711234567.89"),
        {"version": "1.1"},
    ),
    "Monolog": (
        '{"message":"x","level":300,"level_name":"WARNING","datetime":"2024-03-23T22:56:07Z"}',
        ("WARNING", "x", "1711234567"),
        {"level_name": "WARNING"},
    ),
    "Serilog": (
        '{"@t":"2024-03-23T22:56:07.8901234Z","@l":"Verbose","@m":"x"}',
        ("DEBUG", "x", "1711234567.8901234"),
        {},
    ),
    "MongoDB": (
        '{"t":{"$date":"2024-03-23T22:56:07.890+00:00"},"s":"D2","c":"NETWORK","msg":"x"}',
        ("DEBUG", "x", "1711234567.890"),
        {"c": "NETWORK"},
    ),
    "Docker": (
        '{"log":"x\\n","stream":"stderr","time":"2024-03-23T22:56:07.123456789Z"}',
        ("INFO", "x", "1711234567.123456789"),
        {"stream": "stderr"},
    ),
    "a log line in Docker": (
        '{"log":"2020-01-01 00:00:00,000 - ERROR - x\\n","time":"2024-03-23T22:56:07Z"}',
        ("ERROR", "2020-01-01 00:00:00,000 - ERROR - x", "1711234567"),
        {},
    ),
    "pino in Docker": (
        '{"log":"{\\"level\\":50,\\"msg\\":\\"x\\"}\\n","time":"2024-03-23T22:56:07Z"}',
        ("ERROR", '{"level":50,"msg":"x"}', "1711234567"),
        {},
    ),
    "journald": (
        '{"__REALTIME_TIMESTAMP":"1711234567890123","PRIORITY":"4","MESSAGE":"x","_PID":"1"}',
        ("WARNING", "x", "1711234567.890123"),
        {"_PID": "1"},
    ),
    "journald, bytes": (
        '{"__REALTIME_TIMESTAMP":"1711234567890123","PRIORITY":"2","MESSAGE":[120,255]}',
        ("CRITICAL", "x\ufffd", "1711234567.890123"),
        {},
    ),
    "nginx, with a status": (
        '{"time":"2024-03-23T22:56:07+00:00","status":"502","message":"x"}',
        ("ERROR", "x", "1711234567"),
        {"status": "502"},
    ),
    "milliseconds under our own names": (
        '{"level":"info","message":"x","timestamp":1711234567890}',
        ("INFO", "x", "1711234567.890"),
        {},
    ),
    "half a surrogate pair": (
        '{"level":"error","msg":"x \\ud83d","time":1711234567,"\\ud83d":"\\ud83d"}',
        ("ERROR", "x \ud83d", "1711234567"),
        {"\ufffd": "\ud83d"},
    ),
    "values that mean nothing": (
        '{"level":{"a":1},"severity":"ERROR","msg":"x","timestamp":"at noon","ts":1711234567}',
        ("ERROR", "x", "1711234567"),
        {"original_level": {"a": "1"}, "original_timestamp": "at noon"},
    ),
    "a message that is no string": (
        '{"level":"error","message":{"a": 1},"time":1711234567}',
        ("ERROR", '{"a": 1}', "1711234567"),
        {},
    ),
    "duplicate keys": (
        '{"level":"error","level":"info","msg":"a","msg":"x","time":1711234567}',
        ("INFO", "x", "1711234567"),
        {},
    ),
    "no message": (
        '{"level":50,"time":1711234567890,"a":1}',
        ("ERROR", '{"level":50,"time":1711234567890,"a":1}', "1711234567.890"),
        {"a": "1"},
    ),
}


class TestLoggers:
    @pytest.mark.parametrize("name", LOGGERS)
    def test_json_of_a_logger_is_mapped_and_keeps_its_other_fields(self, name: str) -> None:
        line, (level, message, seconds), others = LOGGERS[name]
        found = made(line.encode())
        assert (found.pop("level"), found.pop("message"), found.pop("timestamp")) == (
            *(level, message),
            seconds,
        )
        assert found == others

    def test_other_fields_keep_their_bytes(self) -> None:
        line = b'{"msg":"\\u00e9\\/","n":1.10,"big":1e999,"s":"\\u00e9"}'
        value = Lines().event(line, len(line))
        assert value
        assert b'"message":"\\u00e9\\/"' in value
        assert value.endswith(b',"n":1.10,"big":1e999,"s":"\\u00e9"}')

    def test_service_is_given_to_what_has_none(self) -> None:
        assert made(b"text", "shop")["service"] == "shop"
        assert made(b'{"msg":"x"}', 'a "b"')["service"] == 'a "b"'
        assert made(b'{"msg":"x","service":"own"}', "shop")["service"] == "own"
        assert "service" not in made(b"text")

    def test_service_by_a_files_name(self) -> None:
        for name, expected in [
            ("/var/log/shop.log.1", "shop"),
            ("app", "app"),
            (".hidden.log", "hidden"),
            ("-", ""),
        ]:
            assert default_service(name) == expected


class TestText:
    @pytest.mark.parametrize(
        "line",
        ["x", " indented\t", "a\rb", "\x00\x01\x7f", "\x0b \x85 \u2028", '"q" \\ é 😀', "\x1b[1m"],
    )
    def test_is_the_message_unchanged(self, line: str) -> None:
        assert made(line.encode())["message"] == line

    def test_loses_the_carriage_return_of_its_end_and_a_byte_order_mark(self) -> None:
        assert made(b"\xef\xbb\xbfERROR: x\r") | {"timestamp": ""} == {
            "level": "ERROR",
            "message": "ERROR: x",
            "timestamp": "",
        }

    def test_bytes_that_are_not_utf_8_are_replaced_and_counted(self) -> None:
        lines = Lines()
        for line, text in [(b"a\xffb", "a\ufffdb"), (b"a\xed\xa0\x80", "a\ufffd\ufffd\ufffd")]:
            value = lines.event(line, len(line))
            assert event.parse(value).message == text
        assert lines.replaced == 2
        lines.event("\ufffd".encode(), 3)
        value = lines.event(b'{"level":"error","message":"\xff","timestamp":1}', 45)
        assert value == '{"level":"error","message":"\ufffd","timestamp":1}'.encode()
        assert (lines.replaced, lines.count) == (3, 4)

    def test_blank_lines_are_skipped_and_counted(self) -> None:
        lines = Lines()
        assert [lines.event(line, len(line)) for line in (b"", b" ", b"\t\r", b"\r")] == [None] * 4
        assert lines.blank == 4

    @pytest.mark.parametrize("piece", ["x", "\x00", "é", '"', "\x00" * 9 + "x" * 91])
    def test_a_line_over_the_limit_is_cut_with_a_mark(self, piece: str) -> None:
        line = b"2024-03-23T22:56:07Z ERROR " + piece.encode() * (2 * MOST // len(piece.encode()))
        lines = Lines("shop")
        value = lines.event(line, len(line))
        assert value
        found = event.parse(value)
        assert MOST - 200 < len(value) <= MOST
        assert (found.level, found.timestamp) == ("ERROR", 1711234567)
        assert found.message.endswith(f" … [cut: the line has {len(line):,} bytes]")
        assert line.startswith(found.message.rpartition(" … ")[0].encode())
        assert lines.cut == 1

    def test_an_event_over_the_limit_keeps_level_and_time(self) -> None:
        line = b'{"level":"error","message":"' + b"x" * MOST + b'","timestamp":1711234567.5}'
        value = Lines().event(line, len(line))
        assert value
        found = event.parse(value)
        assert (found.level, found.timestamp) == ("ERROR", 1711234567.5)
        assert found.message.startswith('{"level":"error","message":"xxx')

    def test_at_the_limit_nothing_is_cut(self) -> None:
        start, end = b'{"level":"error","message":"', b'","timestamp":1}'
        line = start + b"x" * (MOST - len(start) - len(end)) + end
        assert Lines().event(line, len(line)) == line


PIECES = [
    *(b'{"level":', b'"level"', b'"msg":', b'"message":', b'"time":', b'"timestamp":', b'"log":'),
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u", b"\\ud800", b"\\n", b" ", b"\t"),
    *(b"NaN", b"Infinity", b"-0", b"1e400", b"1e-400", b"9" * 25, b"1711234567890", b"1.5"),
    *(b"null", b"true", b"50", b'"50"', b'"error"', b'"ERROR"', b"ERROR", b" - ", b"[ERROR]"),
    *(b"<34>", b"-", b"2024-03-23T22:56:07.890Z", b"2024-03-23 22:56:07,890", b"+99:99"),
    *(b"0000-00-00 00:00:00", b"9999-12-31T23:59:59-12:00", b"0001-01-01T00:00:00+14:00"),
    *(b"Feb 30 00:00:00 ", b"\xff", b"Jun 14 15:16:01 ", b"\xed\xa0\x80", b"\x00", b"\x7f"),
    *("é😀\u2028".encode(), b"level=", b"ts=", b"1117838570 2005.06.03 ", b"99999999999.5 "),
    *(b"081109 203615 1 ", b"\r", b'"$date":', b'"s":', b'{"MESSAGE":[1,256],"PRIORITY":"9"}'),
    *(b'"status":503', b"<999>", b"12-31 23:59:60.000 "),
]


@pytest.mark.parametrize("seed", range(8))
def test_whatever_the_line_the_result_is_an_event(seed: int) -> None:
    dice = random.Random(seed)
    lines = Lines("shop")
    for _ in range(5_000):
        line = b"".join(dice.choices(PIECES, k=dice.randint(1, 12)))
        if dice.random() < 0.3:
            line = b"{" + line + b"}"
        if dice.random() < 0.1:
            line = dice.randbytes(dice.randint(1, 60)).replace(b"\n", b"")
        value = lines.event(line, len(line))
        if value is None:
            assert not line.removesuffix(b"\r").strip()
        else:
            event.parse(value)
            json.loads(value)


@pytest.mark.parametrize("seed", range(8))
def test_objects_of_any_fields_become_events_that_keep_them(seed: int) -> None:
    dice = random.Random(seed)
    names = [*("level", "severity", "PRIORITY", "message", "msg", "log", "time", "timestamp", "a")]
    values = [
        *(0, 3, 50, -1, 1e300, 10**30, 1711234567890, 1.5, True, None, "", "error", "50", "x\ny"),
        *({}, {"a": [1]}, [], [1, 255], "2024-03-23T22:56:07Z", "\ud800", "\x00", "É"),
    ]
    for _ in range(2_000):
        fields = {name: dice.choice(values) for name in dice.sample(names, dice.randint(1, 8))}
        line = json.dumps(fields, ensure_ascii=dice.random() < 0.5).encode("utf-8", "replace")
        value = Lines().event(line, len(line))
        assert value
        event.parse(value)
        found = json.loads(value)
        assert found["message"] == line.decode() or found.get("a") == json.loads(line).get("a")


NESTED = [
    '{"MESSAGE":%s}',
    '{"level":"error","msg":"x","time":1711234567,"x":%s}',
    '{"level":"error","msg":"\\ud800","time":1711234567,"x":%s}',
    '{"level":"error","message":"x","timestamp":1711234567,"x":%s}',
    '{"t":%s,"msg":"x"}',
]


@pytest.mark.parametrize("line", NESTED)
@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}")])
def test_json_of_any_depth_becomes_an_event(line: str, left: str, right: str) -> None:
    for depth in [*range(0, 150), *range(900, 1_100), 100_000]:
        nested = (line % (left * depth + "1" + right * depth)).encode()
        event.parse(Lines().event(nested, len(nested)))


@pytest.mark.parametrize(
    "line",
    ['{"t":{"$date":%s},"msg":"x"}', '{"MESSAGE":[%s]}', '{"time":%s,"level":%s,"msg":"\\ud800"}'],
)
@pytest.mark.parametrize("digits", [19, 20, 4_300, 4_301, 100_000])
def test_a_number_of_any_length_becomes_an_event(line: str, digits: int) -> None:
    made(line.replace("%s", "9" * digits).encode())


COSTLY = {
    **dict.fromkeys(["x", "\x00", '"', "é", "😀", "[", "{", '{"a":', " x"], ("", "")),
    "\\ud800": ('{"level":"ERROR","message":"', '","timestamp":1}'),
    "\\u0041": ('{"msg":"', '"}'),
    "1,": ('{"MESSAGE":[', "1]}"),
    '"k":1,': ('{"msg":"x",', '"l":1}'),
    '"k":[],': ('{"msg":"x",', '"l":1}'),
    " ": ('{"msg":"x","time":"', '2024-03-23T22:56:07Z"}'),
    '{\\"log\\":': ('{"log":"', '"}'),
}


@pytest.mark.parametrize("piece", COSTLY)
def test_a_line_of_a_megabyte_costs_a_tenth_of_a_second_at_most(piece: str) -> None:
    start, end = COSTLY[piece]
    line = (start + piece * (2**20 // len(piece.encode())) + end).encode()
    assert min(cpu(lambda: Lines("shop").event(line, len(line))) for _ in range(3)) < 0.1


def test_a_line_is_cut_in_time_that_grows_with_its_length() -> None:
    line = b"\x00" * 170_000 + b"x" * (2**20 - 170_000)  # escaped sixfold, then not at all
    best = min(cpu(lambda: Lines().event(line, len(line))) for _ in range(3))
    assert best < 4 * min(cpu(lambda: json.loads(json.dumps(line.decode()))) for _ in range(3))


def cpu(work: Callable[[], object]) -> float:
    """Seconds of this thread's CPU time."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


class TestSplitter:
    def test_a_line_that_comes_byte_by_byte_costs_its_length(self) -> None:
        def feed(count: int) -> None:
            splitter = Splitter()
            for _ in range(count):
                splitter.feed(b"x")

        assert cpu(lambda: feed(400_000)) < 25 * cpu(lambda: feed(40_000))

    def test_gives_the_same_lines_however_the_bytes_come(self) -> None:
        dice = random.Random(1)
        data = b"".join(dice.choices([b"a", b"bc", b"\n", b"\r\n", b"\x85", b"\x0b"], k=3_000))
        for _ in range(20):
            splitter, got, at = Splitter(), [], 0
            while at < len(data):
                step = dice.randint(1, 400)
                got += splitter.feed(data[at : at + step])
                at += step
            got += splitter.end()
            expected = data.split(b"\n")
            expected = expected if expected[-1] else expected[:-1]
            assert got == [(line, len(line)) for line in expected]

    def test_holds_only_the_beginning_of_an_endless_line(self) -> None:
        splitter = Splitter()
        for _ in range(100):
            assert not splitter.feed(b"x" * 2**18)
        [(line, size), (other, _)] = splitter.feed(b"yy\nnext\n")
        assert line == b"x" * HELD
        assert size == 100 * 2**18 + 2
        assert other == b"next"
        lines = Lines()
        value = lines.event(line, size)
        assert f"[cut: the line has {size:,} bytes]" in event.parse(value).message
