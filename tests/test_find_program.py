"""find.py as people and scripts use it: what it prints, its exit status, and what it reads."""

import json
import os
import pty
import re
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import zstandard

from config import Settings
from logpipeline.archive import packing
from logpipeline.archive.archive import Archive
from logpipeline.archive.index import index_path, load_index
from logpipeline.archive.indexing import index
from logpipeline.archive.metrics import ArchiveMetrics
from logpipeline.archive.packing import Stopped, pack
from logpipeline.archive.retention import Retention
from logpipeline.archive.rotated import rotated
from logpipeline.archive.rotation_policy import RotationPolicy
from tests.support.forked import Forked, completed
from tests.support.process import ROOT, Process, children, is_running, script
from tests.support.records import event, events
from tests.support.waiting import until
from tests.test_archive import ID, TOPIC

NOW = 1_790_000_000
Done = subprocess.CompletedProcess[bytes]


def environment(log_file: Path, **variables: str) -> dict[str, str]:
    names = {name.upper() for name in Settings.model_fields}
    mine = {name: value for name, value in os.environ.items() if name not in names}
    return mine | {"LOG_FILE": str(log_file), "PYTHONPATH": str(ROOT), **variables}


def find(log_file: Path, *args: str, **variables: str) -> Done:
    return completed("find.py", [*args], log_file.parent, environment(log_file, **variables))


def numbers(done: Done) -> list[int]:
    return [json.loads(line)["n"] for line in done.stdout.splitlines()]


def made(number: int, **fields: object) -> bytes:
    services = {"service": f"s{number % 2}", "host": f"h{number % 3}"}
    return event(number, timestamp=NOW + number, n=number, **{**services, **fields})


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Thirty events: ten in a packed file, ten in a plain one, ten in logs.txt with half a line."""
    lines = [made(n, level="ERROR" if n % 10 == 5 else "INFO") + b"\n" for n in range(30)]
    first, second = (
        tmp_path / f"logs-2026092{n}T000000.000000Z.txt{end}" for n, end in ((1, ".zst"), (2, ""))
    )
    first.write_bytes(zstandard.compress(b"".join(lines[:10])))
    second.write_bytes(b"".join(lines[10:20]))
    (tmp_path / "logs.txt").write_bytes(b"".join(lines[20:]) + made(30))
    return tmp_path / "logs.txt"


def test_a_pipe_gets_the_archives_own_bytes_oldest_first(logs: Path) -> None:
    done = find(logs, "event")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"".join(made(n, level=levels(n)) + b"\n" for n in range(30))


def levels(number: int) -> str:
    return "ERROR" if number % 10 == 5 else "INFO"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--level", "err"], [5, 15, 25]),
        (["--level", "ERROR", "--service", "s1"], [5, 15, 25]),
        (["--where", "n>=28"], [28, 29]),
        (["event 1", "--where", "host=h1", "--where", "n!=10"], [1, 13, 16, 19]),
        (["--newest", "2"], [28, 29]),
        (["event 2[0-9]$", "--regex", "--newest", "3"], [27, 28, 29]),
        (["--since", str(NOW + 8), "--to", str(NOW + 11)], [8, 9, 10]),
        (["--where", "n=15", "--context", "1"], [13, 15, 17]),
        (["--where", "n=20", "--context", "2", "--context-all"], [18, 19, 20, 21, 22]),
        (["--where", "n~^1?9$", "--context", "1", "--context-all"], [8, 9, 10, 18, 19, 20]),
    ],
)
@pytest.mark.parametrize("indexed", [False, True])
def test_what_is_found(logs: Path, indexed: bool, args: list[str], expected: list[int]) -> None:
    if indexed:
        find(logs, "--index")
    done = find(logs, *args)
    assert (done.returncode, done.stderr) == (0, b"")
    if "--context" in args and "--context-all" not in args:
        assert {*expected} <= {*numbers(done)}
        assert all(n % 2 == 1 or n % 3 == 0 for n in numbers(done))
    else:
        assert numbers(done) == expected


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (["no such word"], 1, ""),
        (["--count", "--level", "CRITICAL"], 1, ""),
        (["--level", "loud"], 2, "--level loud: must be one of DEBUG"),
        (["--where", "status"], 2, "'status': must be FIELD=VALUE"),
        (["(", "--regex"], 2, "'(': must be a regular expression"),
        (["--since", "noon"], 2, "--since noon: must be 2026-11-24"),
        (["--since", "1h", "--to", "2h"], 2, "--to must be a time after --since"),
        (["--newest", "0"], 2, "--newest 0: must be a whole number from 1"),
        (["--count", "--follow"], 2, "--count cannot be used with --follow"),
        (["event", "--index"], 2, "--index cannot be used with words"),
        (["--log-file", "nowhere/logs.txt"], 2, "neither nowhere/logs.txt nor a rotated file"),
        (["--archive-url", "ftp://x"], 2, "ARCHIVE_URL"),
    ],
)
def test_the_exit_status_tells_found_from_nothing_and_unusable(
    logs: Path, args: list[str], status: int, words: str
) -> None:
    done = find(logs, *args)
    assert done.returncode == status, done
    assert words in done.stderr.decode()
    assert done.stderr.count(b"\n") == bool(words)


def test_a_broken_file_is_named_and_the_others_are_searched(logs: Path) -> None:
    [packed] = logs.parent.glob("*.zst")
    packed.write_bytes(packed.read_bytes()[:-20])
    done = find(logs, "--where", "n>=8")
    assert done.returncode == 0
    assert numbers(done)[-19:] == [*range(11, 30)]
    assert b"cannot read all of logs-20260921T000000.000000Z.txt, leaving" in done.stderr
    assert find(logs, "no such word").returncode == 2


def test_of_a_damaged_file_that_is_indexed_its_damaged_frame_alone_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "CHUNK", 1_000)
    path = tmp_path / "logs-20260921T000000.000000Z.txt"
    path.write_bytes(b"".join(made(n) + b"\n" for n in range(100)))
    packed = path.with_name(f"{path.name}.zst")
    pack(path, packed, threading.Event())
    path.unlink()
    [file] = rotated(tmp_path / "logs.txt")
    index(file)
    damaged = load_index(file)
    assert damaged
    assert len(damaged.blocks) > 5
    data = bytearray(packed.read_bytes())
    data[damaged.blocks[1].frame + 20] ^= 0xFF
    packed.write_bytes(data)
    done = find(tmp_path / "logs.txt", "event")
    begin = damaged.blocks[0].lines
    left_out = range(begin, begin + damaged.blocks[1].lines)
    assert numbers(done) == [n for n in range(100) if n not in left_out]
    assert done.stderr.count(b"\n") == 1


def test_a_terminal_gets_events_as_people_read_them(logs: Path) -> None:
    reader, terminal = pty.openpty()
    command = [*script("find.py"), "--newest", "1"]
    subprocess.run(
        command, env=environment(logs), stdout=terminal, stderr=terminal, check=True, timeout=60
    )
    os.close(terminal)
    with open(reader, "rb", closefd=True) as opened:  # noqa: PTH123
        text = opened.read1(10_000).decode()
    assert "\x1b[32mINFO    \x1b[0m" in text
    assert "event 29" in text


def test_counts_are_a_table_or_json(logs: Path) -> None:
    table = find(logs, "--count", TZ="UTC").stdout.decode()
    assert [line.split() for line in table.splitlines()] == [
        ["hour", "INFO", "ERROR", "all"],
        ["2026-09-21T14:00+00:00", "27", "3", "30"],
        ["all", "27", "3", "30"],
    ]
    done = find(logs, "--count", "--json", "--level", "ERROR", TZ="UTC")
    assert json.loads(done.stdout) == {
        "events": 3,
        "levels": {"ERROR": 3},
        "hours": [{"time": "2026-09-21T14:00+00:00", "events": 3, "levels": {"ERROR": 3}}],
    }


def test_older_files_are_indexed_and_damaged_indexes_made_again(logs: Path) -> None:
    done = find(logs, "--index")
    assert (done.returncode, done.stdout) == (0, b"2 files indexed, 0 already were\n")
    first = index_path(rotated(logs)[0])
    first.write_bytes(first.read_bytes()[:-1])
    assert load_index(rotated(logs)[0]) is None
    assert numbers(find(logs)) == [*range(30)]
    assert find(logs, "--index").stdout == b"1 files indexed, 1 already were\n"
    assert load_index(rotated(logs)[0]) is not None
    assert numbers(find(logs, "event")) == [*range(30)]


def test_an_index_of_another_file_is_not_used(logs: Path) -> None:
    find(logs, "--index")
    [packed] = logs.parent.glob("*.zst")
    packed.write_bytes(zstandard.compress(made(99) + b"\n"))
    assert numbers(find(logs, "--where", "n=99")) == [99]


def test_only_what_the_time_asks_for_is_fetched(tmp_path: Path, logs: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    for file in rotated(logs):
        if file.path() == file.plain:
            pack(file.plain, file.packed(".zst"), threading.Event())
            file.plain.unlink()
        index(file)
        for path in (file.path(), index_path(file)):
            path.rename(store / path.name)
    url = f"file://{store}"
    assert numbers(find(logs, "event", ARCHIVE_URL=url)) == [*range(30)]
    assert numbers(find(logs, ARCHIVE_URL=url)) == [*range(30)]
    broken = next(store.glob("logs-20260921*.zst"))
    broken.write_bytes(b"whoever fetches this fails")
    done = find(logs, "--since", str(NOW + 15), ARCHIVE_URL=url)
    assert (numbers(done), done.stderr) == ([*range(15, 30)], b"")
    assert numbers(find(logs)) == [*range(20, 30)]


def test_an_event_whose_clock_was_ahead_of_its_stored_file_is_found(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    ended = datetime.fromtimestamp(NOW, UTC) - timedelta(minutes=10)
    lines = [made(n) + b"\n" for n in range(10)]
    (store / f"logs-{ended:%Y%m%dT%H%M%S.%fZ}.txt.zst").write_bytes(
        zstandard.compress(b"".join(lines))
    )
    path = tmp_path / "logs.txt"
    assert numbers(find(path, "--since", str(NOW + 5), ARCHIVE_URL=f"file://{store}")) == [
        5,
        6,
        7,
        8,
        9,
    ]


def test_follow_prints_what_arrives_through_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "logs.txt"
    archive = Archive(path, TOPIC, limits=RotationPolicy(bytes=2_000))
    archive.open(ID)
    archive.append([events(0, 0, 30, level="ERROR")])
    command = [*script("find.py"), "--follow", "--level", "ERROR"]
    process = Process(command, tmp_path / "output", environment(path))
    try:
        process.wait_for("event 29")
        for start in range(30, 300, 10):
            archive.append([events(0, start, start + 10, level="ERROR" if start % 20 else "INFO")])
            time.sleep(0.02)
        process.wait_for("event 299")
        process.popen.send_signal(signal.SIGINT)
        assert process.wait() == 0
    finally:
        process.kill()
        archive.close()
    found = [int(n) for n in re.findall(r"event (\d+)", process.output())]
    assert found == [n for n in range(300) if n < 30 or n // 10 % 2]


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Path]:
    """An archive that is written, rotated and packed all the time."""
    path, closing_ = tmp_path / "logs.txt", threading.Event()
    archive = Archive(path, TOPIC, limits=RotationPolicy(bytes=20_000))
    archive.open(ID)
    archive.append([events(0, 0, 1_000)])
    settings = Settings(_env_file=None, log_file=path)

    def write() -> None:
        at = 1_000
        while not closing_.wait(0.005):
            archive.append([events(0, at, at + 50)])
            at += 50

    def keep() -> None:
        with closing(Retention(settings, ArchiveMetrics())) as keeper:
            while not closing_.wait(0.01):
                with suppress(FileNotFoundError, Stopped):
                    keeper.tend()

    threads = [threading.Thread(target=write), threading.Thread(target=keep)]
    for thread in threads:
        thread.start()
    yield path
    closing_.set()
    for thread in threads:
        thread.join()
    archive.close()


def test_each_event_is_found_once_while_files_are_rotated_and_packed(busy: Path) -> None:
    ends = []
    for _ in range(8):
        done = find(busy, "event")
        assert (done.returncode, done.stderr) == (0, b"")
        found = [json.loads(line)["message"] for line in done.stdout.splitlines()]
        assert found == [f"event {n}" for n in range(len(found))]
        ends.append(len(found))
        last = find(busy, f"event {ends[-1] - 1}", "--where", "level=INFO")
        assert json.loads(last.stdout.splitlines()[0])["message"] == f"event {ends[-1] - 1}"
    assert ends == sorted(ends)
    until(lambda: len(rotated(busy)) > 2)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_closed_the_pipe_ends_the_search(logs: Path, unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*script("find.py"), "event"],
        env=environment(logs, PYTHONUNBUFFERED=unbuffered),
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_neighbours_in_a_file_that_cannot_be_read_are_left_out(logs: Path) -> None:
    [packed] = logs.parent.glob("*.zst")
    packed.write_bytes(packed.read_bytes()[:-20])
    done = find(logs, "--where", "n=11", "--context", "2", "--context-all")
    assert numbers(done)[-4:] == [10, 11, 12, 13]
    assert done.stderr.count(b"\n") == 1


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "logs.txt"
    form = made(0).replace(b"event 0", b"event %d").replace(b'"n": 0', b'"n": %d') + b"\n"
    path.write_bytes(b"".join(form % (n, n) for n in range(300_000)))
    return path


def test_the_progress_is_cleared_before_what_is_said(large: Path) -> None:
    reader, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    with open(reader, "rb", closefd=True) as shown:  # noqa: PTH123
        process = subprocess.Popen(
            [*script("find.py"), "--regex", "(no|such) word"],
            env=environment(large),
            stdout=subprocess.DEVNULL,
            stderr=terminal,
        )
        os.close(terminal)
        text = shown.read1(1_000)
        while b"1 of 1 files" not in text:
            text += shown.read1(1_000)
        process.send_signal(signal.SIGINT)
        with suppress(OSError):  # Linux's word for the end of a terminal
            while more := shown.read1(1_000):
                text += more
    assert process.wait(20) == 1
    assert re.search(rb"\r +\rinterrupted after 1 of 1 files\r\n$", text), text


def test_no_process_outlives_a_search_that_is_killed(large: Path) -> None:
    command = [*script("find.py"), "--regex", "(no|such) word"]
    with subprocess.Popen(command, env=environment(large), stdout=subprocess.DEVNULL) as process:
        until(lambda: len(children(process.pid)) > 1)
        workers = children(process.pid)
        process.kill()
    until(lambda: not any(map(is_running, workers)), 60)


# find.py with workers that are slow: each asks to end with its parent once that is dead.
SLOW_TO_ASK = """\
import os, sys, time
from logpipeline import orphans

ask = orphans.end_with_parent
def ask_late(parent):
    while os.getppid() == parent:
        time.sleep(0.01)
    ask(parent)

orphans.end_with_parent = ask_late
import find
sys.exit(find.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("argument", ["no such word", "--index"])
def test_no_process_outlives_a_parent_that_is_killed_right_after_the_fork(
    logs: Path, argument: str
) -> None:
    several = {"logpipeline.find.search.SMALL": 0}
    command, output = [SLOW_TO_ASK, argument], logs.with_name("output")
    process = Forked("-c", command, output, environment(logs), constants=several)
    try:
        until(lambda: len(children(process.pid)) > 1)
        workers = children(process.pid)
    finally:
        process.kill()
    until(lambda: not any(map(is_running, workers)))


def test_ctrl_c_keeps_what_was_found(large: Path) -> None:
    path = large
    process = subprocess.Popen(
        [*script("find.py"), "event"], env=environment(path), stdout=subprocess.PIPE
    )
    assert process.stdout
    with process.stdout as output:
        first = output.readline()
        process.send_signal(signal.SIGINT)
        rest = output.read()
    assert process.wait(20) == 0
    found = [json.loads(line)["n"] for line in (first + rest).splitlines()]
    assert found == [*range(len(found))]
