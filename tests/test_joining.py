"""Joining: the lines of one event, and the parts of a line."""

import json
import re
from collections.abc import Iterable

import pytest

from logpipeline.events import joining, waiting
from logpipeline.events.joining import Joined, Joiner

CRI = "2024-05-01T10:00:00.5Z"
PYTHON = """\
2024-05-01 10:00:00,500 ERROR shop: cannot pay
Traceback (most recent call last):
  File "shop.py", line 3, in pay
    raise KeyError(1)
KeyError: 1

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "shop.py", line 5, in pay
    raise Refused from None
shop.Refused: card"""
TRACES = {
    "java": """\
2024-05-01 10:00:00,500 ERROR [main] com.example.Shop - cannot pay
java.lang.IllegalStateException: card refused
\tat com.example.Shop.pay(Shop.java:7)
\t... 12 more
Caused by: java.net.SocketException: reset
\tat java.base/java.net.Socket.read(Socket.java:9)
\tSuppressed: java.io.IOException""",
    "java without a head": """\
Exception in thread "main" java.lang.IllegalStateException: card refused
\tat com.example.Shop.main(Shop.java:7)""",
    "java.util.logging": """\
May 1, 2024 10:00:00 AM com.example.Shop pay
SEVERE: cannot pay
com.example.Refused: card
\tat com.example.Shop.pay(Shop.java:7)""",
    "python": PYTHON,
    "python without a head": PYTHON.partition("\n")[2],
    "python group": """\
ERROR:shop:cannot pay
  + Exception Group Traceback (most recent call last):
  |   File "shop.py", line 3, in pay
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: 1
    +------------------------------------""",
    "go": """\
panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x47b2f5]

goroutine 1 [running]:
main.(*Shop).pay(0x0)
\t/src/shop/main.go:7 +0x1d
main.main()
\t/src/shop/main.go:12 +0x1b
created by main.start in goroutine 1
exit status 2""",
    "dotnet": """\
2024-05-01 10:00:00.500 +00:00 [ERR] cannot pay
System.InvalidOperationException: card refused
 ---> System.IO.IOException: reset
   at Shop.Pay() in /src/Shop.cs:line 7
   --- End of inner exception stack trace ---
   at Shop.Main() in /src/Shop.cs:line 12
--- End of stack trace from previous location ---
   at Shop.Run()""",
    "dotnet console": """\
fail: Shop.Payment[0]
      cannot pay
      System.InvalidOperationException: card refused
         at Shop.Pay()""",
    "ruby": """\
E, [2024-05-01T10:00:00.500000 #12] ERROR -- : card refused (Refused)
/srv/shop/app/pay.rb:7:in `pay'
\tfrom /srv/shop/app/main.rb:12:in `<main>'
app/controllers/pay_controller.rb:9:in 'create'""",
    "node": """\
[2024-05-01T10:00:00.500Z] ERROR: card refused
    at pay (/srv/shop/pay.js:7:11)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5) {
  code: 'REFUSED',
  [cause]: undefined
}""",
    "php": """\
[01-May-2024 10:00:00 UTC] PHP Fatal error:  Uncaught Refused: card in /srv/pay.php:7
Stack trace:
#0 /srv/index.php(12): pay()
#1 {main}
  thrown in /srv/pay.php on line 7""",
    "laravel": """\
[2024-05-01 10:00:00] production.ERROR: card {"exception":"[object] (Refused: card at /srv/p.php:7)
[stacktrace]
#0 /srv/index.php(12): pay()
#1 {main}
\"} """,
    "rust": """\
thread 'main' panicked at src/main.rs:7:5:
stack backtrace:
   0: rust_begin_unwind
             at /rustc/library/std/src/panicking.rs:645:5
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace""",
    "postgres": """\
2024-05-01 10:00:00.500 UTC [612] STATEMENT:  SELECT *
\tFROM orders
\tWHERE id = 7""",
    "mssql": """\
2024-05-01 10:00:00.500 spid7s      Error: 17054
    The current event was not reported""",
}
ALONE = '{"msg":"nothing joins it"}'
NEXT = "2024-05-01 10:00:09,000 INFO shop: next"


def feed(lines: Iterable[str | bytes], multiline: str = "auto") -> tuple[list[Joined], Joiner]:
    joiner, made, position = Joiner(multiline), [], 0
    for text in lines:
        line = text.encode() if isinstance(text, str) else text
        made += joiner.feed(line, len(line), position, 0.0)
        position += len(line) + 1
    return made, joiner


def texts(lines: Iterable[str], multiline: str = "auto") -> list[str]:
    made, joiner = feed(lines, multiline)
    return [each.text.decode() for each in made + joiner.end()]


def docker(log: str, stream: str = "stdout") -> str:
    return json.dumps({"log": log, "stream": stream, "time": f"{CRI}"})


def logs(lines: Iterable[str]) -> list[str]:
    return [json.loads(text)["log"] for text in texts(lines)]


@pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES)
class TestTrace:
    def test_its_lines_are_one_event(self, trace: str) -> None:
        assert texts([ALONE, *trace.split("\n"), NEXT]) == [ALONE, trace, NEXT]

    def test_they_are_also_in_a_container(self, trace: str) -> None:
        lines = trace.split("\n")
        assert texts(f"{CRI} stderr F {line}" for line in lines) == [f"{CRI} stderr F {trace}"]
        assert logs(docker(f"{line}\n") for line in lines) == [f"{trace}\n"]
        assert texts(f"web-1  | {line}" for line in lines) == [f"web-1  | {trace}"]
        assert texts(f"[pod/web-0/app] {line}" for line in lines) == [f"[pod/web-0/app] {trace}"]
        stamp = "2024-05-01T10:00:00.123456789Z"
        assert texts(f"{stamp} {line}" for line in lines if line) == [
            f"{stamp} " + re.sub("\n+", "\n", trace)
        ]

    def test_it_stays_in_lines_when_that_is_off(self, trace: str) -> None:
        assert texts(trace.split("\n"), "off") == trace.split("\n")


class TestWhatIsNoContinuation:
    @pytest.mark.parametrize(
        "lines",
        [
            ["no head", "  indented", "\tindented"],
            ['{"level":"info","msg":"a"}', "  indented"],
            [NEXT, "", NEXT],
            [NEXT, "ValueError: without a traceback", "next one"],
            [NEXT, "main.main()"],
            [NEXT, '{"level":"info"}', "# comment"],
            [NEXT, "[notice] one", "- two", "3 three"],
            ["CRITICAL: a", "Cause: b", "Note: c", "...."[:0] + "Total: 3"],
        ],
    )
    def test_each_line_is_an_event(self, lines: list[str]) -> None:
        assert texts(lines) == lines

    def test_a_traceback_ends_with_its_error(self) -> None:
        assert texts([*PYTHON.split("\n"), "INFO:shop:next"]) == [PYTHON, "INFO:shop:next"]


class TestPattern:
    def test_lines_without_it_join_the_event_before(self) -> None:
        lines = ["BEGIN a", "b", "{}", "", "BEGIN c"]
        assert texts(lines, "^BEGIN") == ["BEGIN a\nb\n{}", "BEGIN c"]

    def test_lines_before_the_first_one_are_one_event(self) -> None:
        assert texts(["a", "b", "BEGIN c"], "^BEGIN") == ["a\nb", "BEGIN c"]

    def test_an_invalid_one_is_refused(self) -> None:
        with pytest.raises(ValueError, match="multiline must be auto, off, or a regular"):
            Joiner("(")


class TestParts:
    def test_cri(self) -> None:
        lines = [
            f"{CRI} stdout P one ",
            f"{CRI} stderr F other",
            f"{CRI} stdout P two ",
            f"{CRI} stdout F three",
        ]
        assert texts(lines) == [f"{CRI} stdout F one two three", f"{CRI} stderr F other"]

    def test_docker(self) -> None:
        lines = [docker("a" * 16_384), docker("other\n", "stderr"), docker("b" * 16_384)]
        assert logs([*lines, docker("c\n")]) == ["a" * 16_384 + "b" * 16_384 + "c\n", "other\n"]

    def test_docker_pieces_of_any_size(self) -> None:
        assert logs([docker("one "), docker("two\n"), docker("three\n")]) == [
            "one two\n",
            "three\n",
        ]

    def test_lines_of_a_program_that_drops_the_newline_are_no_pieces(self) -> None:
        assert logs([docker("one"), docker("two"), docker("three")]) == ["one", "two", "three"]

    def test_a_piece_of_json_is_sent_when_it_is_whole(self) -> None:
        made, joiner = feed([f'{CRI} stdout P {{"msg":', f'{CRI} stdout F "a"}}'])
        assert [each.text.decode() for each in made] == [f'{CRI} stdout F {{"msg":"a"}}']
        assert joiner.pending_from is None

    def test_they_are_joined_when_lines_are_not(self) -> None:
        assert texts([f"{CRI} stdout P a", f"{CRI} stdout F b"], "off") == [f"{CRI} stdout F ab"]

    def test_of_too_many_the_beginning_is_kept_and_the_size_is_known(self) -> None:
        part = f"{CRI} stdout P ".encode() + b"a" * 2**18
        made, joiner = feed([part] * 20 + [f"{CRI} stdout F a"])
        (event,) = made + joiner.end()
        assert event.size - 20 * 2**18 < 100
        assert len(event.text) < waiting.MOST_PART_BYTES + 100
        assert event.lines == 21


class TestPosition:
    def test_an_event_has_that_of_its_first_and_last_line(self) -> None:
        made, joiner = feed(["2024-05-01 10:00:00 ERROR a", "  b", "2024-05-01 10:00:00 INFO"])
        assert [(each.start, each.end) for each in made] == [(0, 32)]
        assert joiner.pending_from == 32
        assert [(each.start, each.end) for each in joiner.end()] == [(32, 57)]
        assert joiner.pending_from is None

    def test_what_is_pending_begins_with_the_oldest_part(self) -> None:
        first, second = f"{CRI} stdout P a", f"{CRI} stderr P b"
        _, joiner = feed([first, second, f"{CRI} stderr F c"])
        assert joiner.pending_from == 0


class TestBounds:
    def test_lines(self) -> None:
        head = "2024-05-01 10:00:00 ERROR a"
        made = texts([head, *["  b"] * (waiting.MOST_LINES + 5), NEXT])
        assert [text.count("\n") + 1 for text in made] == [waiting.MOST_LINES, 6, 1]

    def test_bytes(self) -> None:
        made = texts(["2024-05-01 10:00:00 ERROR a", *["  " + "b" * 10_000] * 100])
        assert len(made) == 4
        assert max(map(len, made)) < waiting.MOST_BYTES + 11_000

    def test_time(self) -> None:
        _, joiner = feed([NEXT, f"{CRI} stdout P a"])
        assert not joiner.expired(joining.WAIT / 2)
        assert [each.text.decode() for each in joiner.expired(joining.WAIT)] == [NEXT]
        assert len(joiner.expired(joining.PART_WAIT)) == 1
        assert joiner.pending_from is None

    def test_events_behind_one_that_waits(self) -> None:
        lines = [f"web-{i}  | a" for i in range(joining.MOST_BEHIND + 3)]
        made, _ = feed(lines)
        assert [each.text.decode() for each in made] == lines[:3]


class TestOrder:
    def test_it_is_that_of_the_first_lines(self) -> None:
        lines = [f"{CRI} stderr F ERROR a", f'{CRI} stdout F {{"msg":"b"}}', f"{CRI} stderr F c"]
        assert texts(lines) == lines

    def test_a_stream_that_writes_no_more_does_not_hold_the_others_for_long(self) -> None:
        made, _ = feed([f"{CRI} stderr F a", *[f"{CRI} stdout F b"] * 1_000])
        assert len(made) >= 1_000 - joining.MOST_BEHIND


class TestChunk:
    @pytest.mark.parametrize(
        "line",
        [
            *("  a", "Caused by: a", "java.io.IOException: a", "#0 a", "}", "SEVERE: a"),
            *(f"{CRI} stdout F a", "2024-05-01T10:00:00.123456789Z a", "[pod/a/b] c", "web-1  | a"),
            *(docker("a\n"), '{"stream":"stdout","time":"a","log":"a"}', "\x1b[33mdb  | \x1b[0ma"),
        ],
    )
    def test_a_line_that_may_join_another_is_seen(self, line: str) -> None:
        assert not Joiner().separate(f"{NEXT}\n{line}\n{NEXT}\n".encode())

    @pytest.mark.parametrize(
        "line",
        [
            *(NEXT, "plain text", '{"level":"info","msg":"a"}', '{"time":"2024","msg":"a"}'),
            *("Jun 14 15:16:01 combo sshd[19939]: failure", "<34>Oct 11 22:14:15 mymachine su: a"),
            *('127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 1', "ERROR: a"),
            *(
                "2024-05-01T10:00:00.5Z INFO a",
                "[2024-05-01 10:00:00] ERROR a",
                "E0501 10:00:00.1 a",
            ),
        ],
    )
    def test_lines_that_join_nothing_need_not_be_fed(self, line: str) -> None:
        assert Joiner().separate(f"  the end of another\n{line}\n{line}\n".encode())

    def test_each_line_must_be_fed_while_parts_wait_and_with_a_pattern(self) -> None:
        assert not feed([f"{CRI} stdout P a"])[1].separate(f"{NEXT}\n".encode())
        assert not Joiner("^BEGIN").separate(f"{NEXT}\n".encode())
        assert Joiner("off").separate(b"a\n  b\n")
        assert not Joiner("off").separate(f"a\n{CRI} stdout P a\n".encode())
