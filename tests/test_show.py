"""What a terminal shows of Redis, whatever is in it: bounded, quick, and nothing it obeys."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis as RedisClient

from config import Settings
from logpipeline.events.shown import shown
from logpipeline.recent.newest import LONGEST, ROOM, SCANNED, head
from logpipeline.terminal import printable, short
from tests.support.forked import completed_text
from tests.support.process import ROOT

MEGABYTE = 2**20
START = b'{"level":"INFO","message":"m","timestamp":1711234567,"x":'


@pytest.fixture
def client(redis_server: str) -> Iterator[RedisClient]:
    with RedisClient.from_url(redis_server) as client:
        yield client


@pytest.fixture
def key(client: RedisClient) -> Iterator[str]:
    """A list of this test's own."""
    key = f"show-{secrets.token_hex(6)}"
    yield key
    client.unlink(key)


def show(redis_server: str, key: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    names = {name.upper() for name in Settings.model_fields}
    environment = {k: v for k, v in os.environ.items() if k not in names}
    environment |= {"REDIS_URL": redis_server, "REDIS_KEY": key}
    return completed_text("logpipeline.recent", [*arguments], ROOT, environment)


def event(message: str, **fields: object) -> bytes:
    return json.dumps({"level": "INFO", "message": message, "timestamp": 1, **fields}).encode()


LARGE: dict[str, Callable[[], bytes]] = {
    "controls": lambda: b"\x01" * MEGABYTE,
    "an event of controls": lambda: event("\x01" * (MEGABYTE // 6)),
    "marks that turn text round": lambda: "\u202e".encode() * (MEGABYTE // 3),
    "a long message": lambda: event("x" * MEGABYTE),
    "a long field": lambda: event("m", **{"x" * 10: "y" * MEGABYTE}),
    "a long name": lambda: event("m", **{"x" * MEGABYTE: 1}),
    "many fields": lambda: event("m", **{f"field-{n}": n for n in range(60_000)}),
    "an array": lambda: event("m", x=list(range(150_000))),
    "nested": lambda: START + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number": lambda: START + b"9" * MEGABYTE + b"}",
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_large_event_is_cut_and_its_size_said(kind: str) -> None:
    line = LARGE[kind]()
    began = time.thread_time()
    text = shown(line, in_colour=False)
    assert time.thread_time() - began < 0.3
    assert len(text) < 50_000
    assert text.isprintable()
    assert text.endswith(f" … ({len(line):,} bytes)")


def test_a_long_service_is_cut_and_its_message_shown() -> None:
    text = shown(event("what happened", service="s" * MEGABYTE), in_colour=False)
    assert text.endswith(" INFO     " + "s" * 100 + "… what happened")


def test_an_event_that_fits_is_whole() -> None:
    text = shown(event("m" * 2_000, a="b" * 1_990), in_colour=False)
    assert text.endswith("m" * 2_000 + " a=" + "b" * 1_990)


@pytest.mark.parametrize(("left", "right"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_an_event_of_any_depth_is_shown(left: bytes, right: bytes) -> None:
    for depth in [1, 50, *range(900, 1_100), 100_000]:
        text = shown(START + left * depth + b"1" + right * depth + b"}", in_colour=False)
        assert " INFO     m x=" in text or text.startswith(START.decode()), depth


def test_text_is_made_printable_in_time_that_grows_with_its_length() -> None:
    began = time.thread_time()
    assert printable("\x01" * MEGABYTE) == "\\x01" * MEGABYTE
    assert time.thread_time() - began < 0.5
    assert short("a\u202eb", 8) == "a\\u202eb"
    assert short("a\u202eb", 7) == "a\\u202e…"
    assert short("a\u202eb", 3) == "a\\u…"


def test_a_list_of_large_lines_comes_in_an_answer_of_bounded_size(
    client: RedisClient, key: str
) -> None:
    for number in range(80):
        client.lpush(key, b"%03d" % number + b"x" * MEGABYTE, b"%03d" % number)
    lines = head(client, key, 0, 999)
    assert sum(len(line.text) for line in lines) < ROOM + len(lines) * LONGEST
    assert SCANNED <= sum(line.size for line in lines) < SCANNED + 20 * MEGABYTE
    assert [line.text for line in lines[:4:2]] == [b"079", b"078"]
    assert {line.size for line in lines[1::2]} == {MEGABYTE + 3}
    assert len(lines[1].text) == MEGABYTE + 3
    assert lines[-1].text == client.lindex(key, len(lines) - 1)[:LONGEST]  # type: ignore[index]


@pytest.mark.parametrize(("first", "last"), [(0, 0), (0, 999), (5, 44), (40, 80), (95, 200)])
def test_small_lines_are_those_of_lrange(
    client: RedisClient, key: str, first: int, last: int
) -> None:
    client.rpush(key, *(b"\xff\x00%d" % number for number in range(100)))
    lines = head(client, key, first, last)
    assert [line.text for line in lines] == client.lrange(key, first, last)
    assert all(line.size == len(line.text) for line in lines)


def test_a_terminal_without_unicode_gets_escapes(
    client: RedisClient, key: str, redis_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    client.rpush(key, event("é 🎉"))
    done = show(redis_server, key)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\\xe9 \\U0001f389\n")


@pytest.mark.parametrize(
    ("zone", "stamp"), [("local", "09:00:01.000+09:00"), ("utc", "00:00:01.000Z")]
)
def test_times_are_local_or_utc_and_say_so(
    zone: str,
    stamp: str,
    client: RedisClient,
    key: str,
    redis_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    client.rpush(key, event("hello"))
    shown = show(redis_server, key, "--time-zone", zone).stdout
    assert shown == f"1970-01-01 {stamp} INFO     hello\n"
    logs = tmp_path / "logs.txt"
    logs.write_bytes(event("hello") + b"\n")
    command = [sys.executable, str(ROOT / "find.py"), "--log-file", str(logs), "--time-zone", zone]
    found = subprocess.run([*command, "--since", "1970-01-01T08:00"], stdout=subprocess.PIPE)
    assert found.stdout == (event("hello") + b"\n" if zone == "local" else b"")


def test_show_prints_large_events_cut_and_says_what_is_left_out(
    client: RedisClient, key: str, redis_server: str
) -> None:
    client.rpush(key, event("the newest"), START + b"[" * 990 + b"]" * 990 + b"}")
    for _ in range(100):
        client.rpush(key, event("x" * MEGABYTE))
    done = show(redis_server, key, "--count", "1000")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert lines[-1].endswith("the newest")
    assert max(map(len, lines)) < 6_000
    assert lines[0].endswith(f"… ({len(event('x' * MEGABYTE)):,} bytes)")
    assert done.stderr == f"leaving out events before these {len(lines)}: they are large\n"
    few = show(redis_server, key, "--count", "3")
    assert (few.stdout.count("\n"), few.stderr) == (3, "")


@pytest.mark.parametrize(
    ("program", "flag", "words"),
    [
        ("logpipeline.recent", "--count=abc", "--count: 'abc': must be a whole number from 1"),
        ("logpipeline.recent", "--count=0", "--count: '0': must be a whole number from 1"),
        ("logpipeline.recent", "--level=loud", "LEVEL='loud': must be one of DEBUG, INFO,"),
        ("logpipeline.recent", "--loud", "unrecognized arguments: --loud"),
        ("producer.py", "--count=abc", "--count"),
        ("producer.py", "--rate=fast", "--rate"),
        ("producer.py", "--malformed=2", "--malformed"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_option(
    program: str, flag: str, words: str, tmp_path: Path
) -> None:
    done = completed_text(program, [flag], tmp_path, {**os.environ})
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
