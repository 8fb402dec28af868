"""producer.py --input: real files and pipes, on real Kafka."""

import fcntl
import gzip
import json
import os
import signal
import subprocess
import termios
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest

from config import Settings
from logpipeline.events import event
from logpipeline.events.text_formats import FORMATS
from logpipeline.localstack.kafka import Kafka
from logpipeline.producer.input import Input
from logpipeline.shutdown import Shutdown
from tests.conftest import RunScript
from tests.support.process import Process
from tests.support.refusal import refusal
from tests.support.topics import records
from tests.support.waiting import until
from tests.test_producer import away

# What names a service.
SYSLOG = {" sshd(": "sshd", " sshd[": "sshd", " su:": "su", " evntslog -": "evntslog"}


def arrived(settings: Settings) -> dict[bytes, list[bytes]]:
    """What the topic has: key → values in order. Each key is in one partition."""
    found: dict[bytes, list[bytes]] = {}
    for pairs in records(settings.kafka_bootstrap_servers, settings.kafka_topic).values():
        mine: dict[bytes, list[bytes]] = {}
        for key, value in pairs:
            mine.setdefault(key, []).append(value)
        assert not mine.keys() & found.keys()
        found |= mine
    return found


def messages(values: list[bytes]) -> list[str]:
    return [event.parse(value).message for value in values]


def key_of(path: Path) -> bytes:
    return os.fsencode(path.absolute())


def totals(run: Process) -> str:
    [line] = [line for line in run.output().splitlines() if " undelivered" in line]
    return line


def test_every_line_of_a_file_arrives_once_in_order_with_one_key(
    run_script: RunScript, settings: Settings, tmp_path: Path
) -> None:
    lines = [f"{form.example} é {number}" for number in range(300) for form in FORMATS]
    log = tmp_path / "shop.log"
    log.write_bytes("\r\n".join(lines).encode() + b"\n\n \n")
    run = run_script("producer.py", "--input", "shop.log")
    assert run.wait(60) == 0, run
    [(key, values)] = arrived(settings).items()
    assert key == key_of(log)
    assert messages(values) == lines
    of_line = [next((SYSLOG[part] for part in SYSLOG if part in line), "shop") for line in lines]
    assert [json.loads(value)["service"] for value in values] == of_line
    assert f"sent {len(lines):,} events in " in totals(run)
    expected = f"0 undelivered; {len(lines) + 2:,} lines: 2 blank, 0 cut, 0 with bytes that are not"
    assert expected in totals(run)


def test_several_files_packed_ones_and_events_of_ours(
    run_script: RunScript, settings: Settings, tmp_path: Path
) -> None:
    ours = b'{"level": "warn","message":"as it is","timestamp":1.50, "x": [ ]}'
    (tmp_path / "a.log.1.gz").write_bytes(gzip.compress(b"one\n" + ours))
    (tmp_path / "b.log").write_bytes(b"\xfftwo")
    run = run_script("producer.py", "--input", "a.log.1.gz", "b.log", "--service", "shop")
    assert run.wait(60) == 0, run
    found = arrived(settings)
    first, as_it_is = found[key_of(tmp_path / "a.log.1.gz")]
    [second] = found[key_of(tmp_path / "b.log")]
    assert as_it_is == ours
    assert messages([first, second]) == ["one", "\ufffdtwo"]
    assert b'"service":"shop"' in first
    assert "; 3 lines: 0 blank, 0 cut, 1 with bytes that are not UTF-8" in totals(run)


def test_a_packed_file_of_one_endless_line_takes_little_memory(tmp_path: Path) -> None:
    packed = tmp_path / "bomb.log.gz"
    with gzip.open(packed, "wb", 1) as file:
        for _ in range(256):
            file.write(b"x" * 2**20)
    source = Input([str(packed)], None)
    tracemalloc.start()
    try:
        with closing(source):
            [value] = [value for _, values in source.batches(Shutdown()) for value in values]
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()
    assert event.parse(value).message.endswith(f"[cut: the line has {256 * 2**20:,} bytes]")


def test_lines_over_kafkas_limit_arrive_cut(
    run_script: RunScript, settings: Settings, tmp_path: Path
) -> None:
    log = tmp_path / ("a folder with a long name " * 8) / "big.log"
    log.parent.mkdir()
    pieces = [b"x", b"\x01", b"\xff", b'"', "é".encode()]
    log.write_bytes(b"".join(b"%b\n%d\n" % (b * 3_000_000, n) for n, b in enumerate(pieces)))
    run = run_script("producer.py", "--input", str(log))
    assert run.wait(60) == 0, run
    [values] = arrived(settings).values()
    got = messages(values)
    assert got[1::2] == [str(number) for number in range(len(pieces))]
    for message, piece in zip(got[::2], pieces, strict=True):
        assert message.endswith(f" … [cut: the line has {3_000_000 * len(piece):,} bytes]")
    assert " 5 cut, 1 with bytes" in totals(run)


def test_a_pipe_is_read_to_its_end_and_arrives_while_it_is_open(
    run_script: RunScript, settings: Settings
) -> None:
    run = run_script("producer.py", "--input", "-", "--service", "web", stdin=subprocess.PIPE)
    assert run.popen.stdin
    with run.popen.stdin as pipe:
        pipe.write(b"first\nsec")
        pipe.flush()
        until(lambda: _has_topic(run) and arrived(settings), 60, "nothing arrives")
        assert messages(arrived(settings)[b"-"]) == ["first"]
        pipe.write(b"ond\nlast without newline")
    assert run.wait() == 0, run
    values = arrived(settings)[b"-"]
    assert messages(values) == ["first", "second", "last without newline"]
    assert all(b'"service":"web"' in value for value in values)


def _has_topic(run: Process) -> bool:
    assert run.running(), run
    return "created topic test-" in run.output()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_interrupts_waiting_for_a_pipe_and_delivers_what_was_taken(
    run_script: RunScript, settings: Settings, number: signal.Signals
) -> None:
    run = run_script("producer.py", "--input", "-", "--rate", "5", stdin=subprocess.PIPE)
    assert run.popen.stdin
    with run.popen.stdin as pipe:
        pipe.write(b"".join(b"line %d\n" % n for n in range(1_000)) + b"half a li")
        pipe.flush()
        until(lambda: _has_topic(run) and arrived(settings), 60, "nothing arrives")
        run.signal(number)
        assert run.wait(10) == 0, run
    expected = [f"line {n}" for n in range(1_000)] + ["half a li"]
    assert messages(arrived(settings)[b"-"]) == expected


def test_a_file_that_a_stop_leaves_unread_gives_status_1(
    run_script: RunScript, settings: Settings, tmp_path: Path
) -> None:
    lines = [f"line {n} {'x' * 1_000}" for n in range(2_000)]
    (tmp_path / "a.log").write_text("\n".join(lines))
    run = run_script("producer.py", "--input", "a.log", "--rate", "20")
    until(lambda: _has_topic(run) and arrived(settings), 60, "nothing arrives")
    run.terminate()
    assert run.wait(10) == 1, run
    assert "stopped before the end of a.log" in run.output()
    got = messages(arrived(settings)[key_of(tmp_path / "a.log")])
    assert got == lines[: len(got)]
    assert f"sent {len(got):,} events" in totals(run)


def test_what_was_taken_from_a_pipe_but_not_delivered_is_counted(
    run_script: RunScript, environment: dict[str, str], own_kafka: Kafka, settings: Settings
) -> None:
    env = away(environment, own_kafka)
    soon = {"logpipeline.kafka.outbox.FLUSH": 1.0}
    run = run_script("producer.py", "--input", "-", env=env, constants=soon, stdin=subprocess.PIPE)
    assert run.popen.stdin
    with run.popen.stdin as pipe:
        pipe.write(b"one\n")
        pipe.flush()
        mine = own_kafka.bootstrap, settings.kafka_topic
        until(lambda: _has_topic(run) and any(records(*mine).values()), 60)
        own_kafka.pause()
        pipe.write(b"two\nthree\n")
        pipe.flush()
        until(lambda: _unread(run) == 0)
        run.terminate()
        assert run.wait(10) == 1, run
    undelivered = int(totals(run).split(" undelivered")[0].split()[-1])
    assert 2 <= undelivered <= 3


def _unread(run: Process) -> int:
    """Bytes that are still in its standard input."""
    assert run.popen.stdin
    data = fcntl.ioctl(run.popen.stdin, termios.FIONREAD, b"\0" * 4)
    return int.from_bytes(data, "little")


def test_a_broken_packed_file_is_sent_as_far_as_it_goes_with_status_1(
    run_script: RunScript, settings: Settings, tmp_path: Path
) -> None:
    lines = [os.urandom(50).hex() for _ in range(20_000)]
    (tmp_path / "a.gz").write_bytes(gzip.compress("\n".join(lines).encode())[:-200_000])
    run = run_script("producer.py", "--input", "a.gz")
    assert run.wait(60) == 1, run
    assert "a.gz cannot be read to its end: " in run.output()
    assert "Traceback" not in run.output()
    got = messages(arrived(settings)[key_of(tmp_path / "a.gz")])
    assert 1_000 < len(got) < 20_000
    assert got[:-1] == lines[: len(got) - 1]


def test_binary_data_is_refused_in_one_line_and_the_other_files_are_sent(
    run_script: RunScript, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "a.db").write_bytes(b"SQLite format 3\0" + bytes(999))
    (tmp_path / "a.log").write_bytes(b"\0" * 99 + b"one\n")
    run = run_script("producer.py", "--input", "a.db", "a.log")
    assert run.wait(60) == 1, run
    assert run.output().count("a.db") == 1
    assert "a.db is refused: it must be text, and is an SQLite database" in run.output()
    assert messages(arrived(settings)[key_of(tmp_path / "a.log")]) == ["one"]
    assert totals(run).endswith(", 99 NUL bytes dropped")
    run = run_script("producer.py", "--input", "a.db")
    assert run.wait(60) == 1, run
    assert len(run.output().splitlines()) == 1, run


def test_count_and_rate_apply(run_script: RunScript, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("x\n" * 100)
    run = run_script("producer.py", "--input", "a.log", "--count", "30", "--rate", "20")
    assert run.wait(60) == 0, run
    assert "sent 30 events in 1." in totals(run)


def test_a_person_sees_a_bar_of_the_bytes(run_script: RunScript, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"x" * 99 + b"\n" + (b"x" * 99 + b"\n") * 19_999)
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    with os.fdopen(ours, "rb", buffering=0) as screen:
        run = run_script("producer.py", "--input", "a.log", stderr=theirs)
        os.close(theirs)
        seen = b""
        while b"undelivered" not in seen:
            seen += screen.read(4096)
        assert run.wait() == 0
    assert b"2.00M/2.00M" in seen


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--input", "missing.log"], "missing.log cannot be read: No such file or directory"),
        (["--input", "."], ". cannot be read: Is a directory"),
        (["--input", ""], ". cannot be read: Is a directory"),
        (["--input", "-", "--seed", "1"], "--seed cannot be combined with --input or --follow"),
        (["--input", "-", "--malformed", "0"], "--malformed cannot be combined with --input"),
        (["--input", "-", "--follow", "x"], "--follow cannot be combined with --input"),
        (["--service", "x"], "--service requires --input or --follow"),
        (["--input", "-", "--multiline", "("], "MULTILINE='(': must be auto, off, or a regular"),
    ],
)
def test_nonsense_is_refused_in_one_line(
    argv: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refusal(argv, capsys)
