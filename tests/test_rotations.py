"""Rotation as loggers do it: each line once, whatever the file is called and whoever renames it."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from config import Settings
from logpipeline import rotation
from logpipeline.events import event
from logpipeline.events.lines import Lines
from logpipeline.kafka.outbox import Outbox
from logpipeline.producer import family, follow, log_files, tail
from logpipeline.producer.descriptors import Descriptors
from logpipeline.producer.follow import Follow
from logpipeline.producer.tail import Tail
from logpipeline.shutdown import Shutdown
from tests.support.process import ROOT
from tests.support.rotations import PACK, PATTERNS, ROTATIONS, Writer

QUIET = 3  # rounds without an event after which all is read


class Reader:
    """Follows logs; each event is acknowledged at once, as by a Kafka without delay."""

    def __init__(self, patterns: Sequence[str], settings: Settings) -> None:
        self.got: list[str] = []
        self.keys: dict[bytes, list[str]] = {}
        self.status = True
        self._patterns = patterns
        self._settings = settings
        self._quiet = 0
        self._steps: Iterator[Callable[[], None]] = iter(())
        self._stop = Shutdown()

    def run(self, *steps: Callable[[], None]) -> list[str]:
        """Start, do a step whenever all is read, and stop. Returns what it has got meanwhile."""
        before = len(self.got)
        self._steps, self._stop, self._quiet = iter(steps), Shutdown(), 0
        source = Follow(self._patterns, None, self._settings, self._stop)
        with closing(source):
            for pairs, acknowledge in source.bursts(cast(Outbox, self)):
                self._quiet = 0
                for key, value in pairs:
                    message = event.parse(value).message
                    self.got.append(message)
                    self.keys.setdefault(key, []).append(message)
                assert acknowledge
                acknowledge(len(pairs))
        self.status = source.complete
        return self.got[before:]

    def settle(self) -> int:
        """Called by Follow in each round."""
        self._quiet += 1
        if self._quiet > QUIET:
            self._quiet = 0
            step = next(self._steps, self._stop.request)
            step()
        return 0


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at everything in each round."""
    monkeypatch.setattr(follow, "POLL", 0.001)
    monkeypatch.setattr(follow, "DISCOVER", 0)
    monkeypatch.setattr(tail, "AGAIN", 0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, state_dir=tmp_path / "state", multiline="off")


def patterns(folder: Path) -> list[str]:
    return [str(folder / pattern) for pattern in PATTERNS]


@pytest.mark.parametrize("grace", [0.0, 5.0])
@pytest.mark.parametrize("name", ROTATIONS)
def test_each_line_comes_once(
    name: str,
    grace: float,
    at_once: None,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(log_files, "GRACE", grace)
    writer = Writer(tmp_path / "logs")
    steps = ROTATIONS[name](writer)
    reader = Reader(patterns(writer.folder), settings)

    def step() -> None:
        next(steps, None)

    step()
    reader.run(step)
    assert difference(writer, reader) == {}, caplog.text
    step()
    reader.run(step)
    assert difference(writer, reader) == {}, caplog.text
    assert reader.run() == []


def difference(writer: Writer, reader: Reader) -> dict[str, int]:
    """The lines that came too often (1) or not at all (-1)."""
    got = Counter(reader.got)
    return {
        line: got[line] - writer.wrote[line]
        for line in got | writer.wrote
        if got[line] != writer.wrote[line]
    }


@pytest.mark.parametrize("name", ROTATIONS)
def test_each_line_comes_once_from_more_files_than_may_be_open(
    name: str, at_once: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Descriptors(3)
    monkeypatch.setattr(Descriptors, "as_many_as_possible", lambda: few)
    settings = Settings(_env_file=None, state_dir=tmp_path / "state", multiline="off")
    writers = [Writer(tmp_path / "logs" / str(number)) for number in range(6)]
    steps = [ROTATIONS[name](writer) for writer in writers]
    reader = Reader([str(tmp_path / "logs" / "*" / each) for each in PATTERNS], settings)

    def step() -> None:
        for each in steps:
            next(each, None)

    step()
    reader.run(step)
    step()
    reader.run(step)
    wrote = sum((writer.wrote for writer in writers), Counter[str]())
    assert Counter(reader.got) == wrote


def test_the_limit_of_descriptors_is_raised(tmp_path: Path) -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 600))\n"
        "from logpipeline.producer.descriptors import Descriptors\n"
        "made = Descriptors.as_many_as_possible()\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], made.most)"
    )
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["600", "450"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "app.log"


@pytest.fixture
def reader(log: Path, settings: Settings, at_once: None) -> Reader:
    return Reader([str(log.parent / "app*.log")], settings)


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_an_unfinished_last_line_is_sent_once_its_writer_seems_to_be_gone(
    reader: Reader, log: Path, settings: Settings
) -> None:
    append(log, "one\nunfinished")
    assert reader.run() == ["one"]
    soon = Reader([str(log)], settings.model_copy(update={"follow_unfinished_seconds": 1}))

    def seconds() -> None:
        time.sleep(1.1)

    assert soon.run(seconds, lambda: None) == ["unfinished"]
    assert soon.run(seconds, lambda: None) == []
    append(log, " after all\ntwo\n")
    assert soon.run() == [" after all", "two"]


def test_it_is_never_sent_if_that_is_asked_for(log: Path, settings: Settings) -> None:
    append(log, "one\nunfinished")
    never = Reader([str(log)], settings.model_copy(update={"follow_unfinished_seconds": 0}))
    assert never.run(lambda: time.sleep(1.1), lambda: append(log, " no more\n")) == [
        "one",
        "unfinished no more",
    ]


def test_states_of_the_earlier_version_are_read(reader: Reader, log: Path) -> None:
    append(log, "".join(f"line {number}\n" for number in range(100)))
    assert len(reader.run()) == 100
    [file] = (log.parent.parent / "state").glob("*.json")
    state = json.loads(file.read_bytes())
    for place in state["places"]:
        for name in ("before", "before_digest", "older"):
            del place[name]
    file.write_text(json.dumps({"places": state["places"], "seen": []}))
    log.rename(log.with_name("app-20240323.log"))
    append(log.with_name("app-20240323.log"), "unread\n")
    assert reader.run() == ["unread"]
    append(log, "new\n")
    assert reader.run() == ["new"]
    assert [*reader.keys] == [os.fsencode(log)]


def test_a_rotated_file_is_read_to_its_end_however_long_kafka_takes(
    reader: Reader, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "GRACE", 0)
    lines = [f"line {number} {'x' * 1_000}" for number in range(2_000)]  # several chunks
    append(log, "".join(f"{line}\n" for line in lines[:1_000]))

    def rotate() -> None:
        append(log, "".join(f"{line}\n" for line in lines[1_000:]))
        log.rename(log.with_name("app.log.1"))
        append(log, "new\n")

    assert reader.run(rotate) == [*lines, "new"]


def test_a_file_that_grows_after_it_was_left_is_read_on(
    reader: Reader, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "GRACE", 0)
    old = log.with_name("app.log.1")
    append(log, "one\n")

    def rotate() -> None:
        log.rename(old)
        append(log, "two\n")

    steps = (rotate, lambda: append(old, "three\n"), lambda: append(log, "four\n"))
    assert reader.run(*steps) == ["one", "two", "three", "four"]
    append(old, "five\n")
    assert reader.run() == ["five"]


@pytest.mark.parametrize("pack", PACK)
def test_a_followed_file_may_be_packed(
    pack: str, reader: Reader, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "RETRY", 0)
    append(log, "")
    data = PACK[pack]("".join(f"line {number}\n" for number in range(1_000)).encode())
    half = len(data) // 2
    fill = [lambda: log.write_bytes(data[:half]), lambda: log.write_bytes(data)]
    assert reader.run(*fill) == [f"line {number}" for number in range(1_000)]  # type: ignore[arg-type]
    assert reader.run() == []
    assert reader.status


def test_a_binary_file_is_refused_once_and_the_others_are_followed(
    reader: Reader, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    binary = log.with_name("app.db.log")
    binary.write_bytes(b"SQLite format 3\0" + bytes(999))
    append(log, "one\n")
    assert reader.run(lambda: append(log, "two\n")) == ["one", "two"]
    assert not reader.status
    refusals = [line for line in caplog.messages if "refused" in line]
    assert refusals == [f"{binary} is refused: it must be text, and is an SQLite database"]


def test_parts_are_read_again_from_the_first_one_after_a_kill(
    log: Path, settings: Settings
) -> None:
    cri = "2024-05-01T10:00:00.5Z {} {} {}\n".format
    append(log, cri("stdout", "F", "before") + cri("stdout", "P", "the beginning, "))
    append(log, cri("stderr", "F", "between"))
    mine = settings.model_copy(update={"multiline": "auto"})
    state = settings.state_dir / "it.json"
    settings.state_dir.mkdir()

    def follow() -> Tail:
        return Tail(log, state, Lines(), multiline="auto")

    def read(following: Tail) -> list[str]:
        got = []
        for _ in range(3):
            for values, file in following.read():
                got += [event.parse(value).message for value in values]
                file.conversion.acknowledge(len(values))
        following.save()
        return got

    assert mine.multiline == "auto"
    following = follow()
    first = read(following)
    following.close()  # as the kernel does after a kill: nothing more is saved
    assert not any("the beginning" in each for each in first)
    append(log, cri("stdout", "F", "the end") + cri("stdout", "F", "after"))
    following = follow()
    again = read(following)
    following.close()
    assert sum("the beginning, the end" in each for each in again) == 1
    assert any("before" in each for each in first)
    assert not any("before" in each for each in again)


def test_a_link_that_leads_nowhere_is_waited_for(
    at_once: None, settings: Settings, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log.symlink_to(log)

    def mend() -> None:
        log.unlink()
        append(log, "one\n")

    assert Reader([str(log)], settings).run(mend) == ["one"]
    assert [line for line in caplog.messages if "cannot be read" in line]


def test_a_log_looks_at_no_other_logs_names(
    tmp_path: Path, settings: Settings, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[tuple[str, str]] = []

    def counted(name: str, log: str) -> bool:
        looked.append((name, log))
        return rotation.is_earlier(name, log)

    monkeypatch.setattr(family, "is_earlier", counted)
    logs = [tmp_path / "logs" / f"{letter}{letter}.log" for letter in "abcdefghijklmnopqrst"]
    logs[0].parent.mkdir()

    def rotate() -> None:
        for path in logs:
            path.rename(path.with_name(f"{path.name}.1"))
            append(path, "two\n")

    for path in logs:
        append(path, "one\n")
    reader = Reader([str(tmp_path / "logs" / "*.log")], settings)
    assert len(reader.run(rotate)) == 40
    assert looked
    assert not [(name, log) for name, log in looked if name[:2] != log[:2]]
