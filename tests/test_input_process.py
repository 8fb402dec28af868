"""producer.py --input: the child that reads, and the end of either process."""

import fcntl
import os
import random
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config import Settings
from logpipeline.localstack.kafka import Kafka
from tests.conftest import RunScript
from tests.support.forked import Constants
from tests.support.kills import kills
from tests.support.process import ROOT, Process, children, is_running
from tests.support.topics import records
from tests.support.waiting import until
from tests.test_input import _has_topic, arrived, key_of, messages, totals
from tests.test_producer import MEMORY, SOON, away, until_still

KILLED = "input not read to its end: its process was killed by SIGKILL"


def child(run: Process) -> int:
    """The process that reads."""
    until(lambda: len(children(run.pid)) == 1, message=str(run))
    [reader] = children(run.pid)
    return reader


def arrives(run: Process, settings: Settings) -> None:
    """Wait for its first event."""
    until(lambda: _has_topic(run) and arrived(settings), 60, "nothing arrives")


@contextmanager
def piped(
    run_script: RunScript, settings: Settings, *given: str, constants: Constants | None = None
) -> Iterator[Process]:
    """producer.py, of which an event has arrived, and whose pipe has one line and stays open."""
    options = ["--input", *given]
    run = run_script("producer.py", *options, constants=constants, stdin=subprocess.PIPE)
    assert run.popen.stdin
    with run.popen.stdin as pipe:
        pipe.write(b"one\n")
        pipe.flush()
        arrives(run, settings)
        yield run


def proportional(pid: int) -> int:
    """Bytes of memory, in which a page that n processes share counts as its n-th part."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    [kilobytes] = [line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:")]
    return int(kilobytes) * 1024


@pytest.fixture
def long_log(tmp_path: Path) -> Path:
    path = tmp_path / "a.log"
    path.write_text("".join(f"line {number} {'x' * 1_000}\n" for number in range(5_000)))
    return path


def is_prefix(got: list[str], log: Path) -> bool:
    return got == log.read_text().splitlines()[: len(got)]


def test_a_killed_child_is_reported_in_a_line_and_what_it_read_is_delivered(
    run_script: RunScript, settings: Settings, long_log: Path
) -> None:
    run = run_script("producer.py", "--input", str(long_log), "--rate", "50")
    arrives(run, settings)
    reader = child(run)
    os.kill(reader, signal.SIGKILL)
    until(lambda: not is_running(reader))
    run.terminate()  # which ends the slow pace
    assert run.wait(20) == 1, run
    assert run.output().count(KILLED) == 1
    assert "Traceback" not in run.output()
    got = messages(arrived(settings)[key_of(long_log)])
    assert 0 < len(got) < 5_000
    assert is_prefix(got, long_log)
    assert f"sent {len(got):,} events" in totals(run)


def test_a_child_that_is_killed_while_a_pipe_is_empty_is_reported_at_once(
    run_script: RunScript, settings: Settings
) -> None:
    with piped(run_script, settings, "-") as run:
        os.kill(child(run), signal.SIGKILL)
        assert run.wait(10) == 1, run
    assert run.output().count(KILLED) == 1
    assert "sent 1 events" in totals(run)


@pytest.mark.parametrize("busy", [True, False])
def test_the_child_ends_with_its_parent(
    run_script: RunScript, settings: Settings, long_log: Path, busy: bool
) -> None:
    given = [str(long_log), "--rate", "1"] if busy else ["-"]
    with piped(run_script, settings, *given) as run:
        reader = child(run)
        run.signal(signal.SIGKILL)
        run.wait()
        until(lambda: not is_running(reader), 10)


@pytest.mark.parametrize("victim", ["parent", "child"])
def test_sigkill_at_any_moment_leaves_a_beginning_in_kafka_and_says_so(
    run_script: RunScript, settings: Settings, tmp_path: Path, victim: str
) -> None:
    """At full speed, and at a pace that leaves events in each step between file and Kafka."""
    log = tmp_path / "0.log"
    log.write_text("".join(f"line {number}\n" for number in range(40_000)))
    assert run_script("producer.py", "--input", str(log)).wait(60) == 0
    dice, runs, killed = random.Random(1), [(log, 0, "sent 40,000 events")], 0
    while killed < kills(4, "SIGKILLS"):
        path = tmp_path / f"{len(runs)}.log"
        path.hardlink_to(log)
        rate = str(8_000 * (len(runs) % 2))
        run = run_script("producer.py", "--input", str(path), "--rate", rate)
        reader = child(run)
        time.sleep(dice.random() * (1.5 if len(runs) % 2 else 0.5))
        if is_running(reader) and run.running():
            os.kill(run.pid if victim == "parent" else reader, signal.SIGKILL)
        status = run.wait(30)
        until(lambda pid=reader: not is_running(pid), 10)  # type: ignore[misc]
        assert status in (0, -signal.SIGKILL if victim == "parent" else 1), run
        killed += status != 0
        runs.append((path, status, "" if victim == "parent" and status else totals(run)))
        assert "Traceback" not in run.output()
        assert (KILLED in run.output()) == (status == 1)
    found = arrived(settings)
    for path, status, summary in runs:
        got = messages(found.get(key_of(path), []))
        assert is_prefix(got, log)
        assert status or len(got) == 40_000
        assert not summary or f"sent {len(got):,} events" in summary


def test_signals_to_the_whole_group_stop_it_as_one_to_the_parent_does(
    run_script: RunScript, settings: Settings, long_log: Path
) -> None:
    """As Ctrl-C in a terminal, and a stop of systemd."""
    run = run_script("producer.py", "--input", str(long_log), "--rate", "20", forked=False)
    arrives(run, settings)
    assert os.getpgid(child(run)) == run.pid
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait(10) == 1, run
    assert run.output().count("stopped before the end of") == 1
    assert "not read to its end" not in run.output()
    got = messages(arrived(settings)[key_of(long_log)])
    assert is_prefix(got, long_log)
    assert f"sent {len(got):,} events" in totals(run)
    assert f"; {len(got):,} lines" in totals(run)


def test_a_child_that_hangs_does_not_hold_a_stop(run_script: RunScript, settings: Settings) -> None:
    soon = {"logpipeline.producer.input_process.PATIENCE": 0.5}
    with piped(run_script, settings, "-", constants=soon) as run:
        reader = child(run)
        os.kill(reader, signal.SIGSTOP)
        run.terminate()
        assert run.wait(10) == 1, run
    assert "input not read to its end: its process did not stop" in run.output()
    assert "sent 1 events" in totals(run)
    assert not is_running(reader)


def test_nothing_is_taken_from_a_pipe_before_kafka_is_there(
    run_script: RunScript, environment: dict[str, str]
) -> None:
    env = environment | {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    run = run_script("producer.py", "--input", "-", env=env, stdin=subprocess.PIPE)
    assert run.popen.stdin
    with run.popen.stdin as pipe:
        pipe.write(b"one\n")
        pipe.flush()
        run.wait_for("waiting: Kafka does not answer")
        reader = child(run)
        run.terminate()
        assert run.wait(10) == 1, run
        until(lambda: not is_running(reader))
        unread = fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4)
        assert int.from_bytes(unread, "little") == len(b"one\n")
    assert "sent nothing: stopped before Kafka became available" in run.output()


@pytest.mark.parametrize("size", [10, 200, 10_000])
def test_the_memory_of_both_is_bounded_in_an_outage(
    run_script: RunScript,
    environment: dict[str, str],
    own_kafka: Kafka,
    settings: Settings,
    tmp_path: Path,
    size: int,
) -> None:
    env = away(environment, own_kafka)
    path = tmp_path / "app.log"
    with path.open("w") as file:
        file.writelines(f"{os.urandom(size // 2).hex()}\n" for _ in range(3_000_000 // size))
    endless = ["sh", "-c", 'while cat "$1"; do :; done', "", str(path)]
    with subprocess.Popen(endless, stdout=subprocess.PIPE) as lines:
        given = {"env": env, "forked": False, "constants": SOON, "stdin": lines.stdout}
        run = run_script("producer.py", "--input", "-", **given)
        mine = own_kafka.bootstrap, settings.kafka_topic
        until(lambda: _has_topic(run) and any(records(*mine).values()), 60)
        own_kafka.pause()
        run.wait_for("Kafka unavailable")
        until_still(child(run))  # there is no room for more
        assert proportional(run.pid) + proportional(child(run)) < MEMORY
        own_kafka.resume()
        run.kill()
        lines.kill()


def test_more_files_than_select_can_wait_for(tmp_path: Path) -> None:
    for count in range(1_100):
        (tmp_path / f"{count:04}.log").write_text(f"line {count}\n")
    code = """
import resource, sys
from types import SimpleNamespace
from logpipeline.producer.input import Input
from logpipeline.producer.input_process import InputProcess
from logpipeline.shutdown import Shutdown

resource.setrlimit(resource.RLIMIT_NOFILE, (2_000, 2_000))
source = InputProcess(Input(sys.argv[1:], None), Shutdown(), None)
bursts = source.bursts(SimpleNamespace(settle=lambda: None))
print(sum(len(burst.pairs) for burst in bursts), source.complete, source.summary())
source.close()
"""
    command = [sys.executable, "-c", code, *map(str, sorted(tmp_path.glob("*.log")))]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.stdout.startswith("1100 True ; 1,100 lines"), run.stderr
