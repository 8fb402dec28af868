"""producer.py --follow: real files that are written, on real Kafka."""

import json
import os
import random
import signal
import sys
import threading
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from config import Settings
from logpipeline.kafka import topics
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.stack import variables
from logpipeline.shutdown import Shutdown
from tests.conftest import RunScript
from tests.support.drain import watching
from tests.support.kills import kills
from tests.support.process import Process, script
from tests.support.refusal import refusal
from tests.support.rotations import PATTERNS, ROTATIONS, Writer
from tests.support.topics import read_until, records
from tests.support.waiting import until
from tests.test_input import arrived, key_of, messages
from tests.test_producer import SOON, away
from tests.test_tail import copytruncate, numbered, rename, write


@pytest.fixture
def made(settings: Settings) -> Settings:
    """The same settings, once the topics are there."""
    assert topics.ensure(settings, Shutdown(), topics.to_read(settings))
    return settings


def of(settings: Settings, path: Path) -> list[str]:
    """The messages of a log that have arrived, in order."""
    return messages(arrived(settings).get(key_of(path), []))


def test_resumes_at_its_position(run_script: RunScript, made: Settings, tmp_path: Path) -> None:
    log = tmp_path / "shop.log"
    write(log, "before", "")
    run = run_script("producer.py", "--follow", "shop.log")
    until(lambda: of(made, log) == ["before"], 60, "nothing arrives")
    write(log, "while it runs")
    until(lambda: of(made, log) == ["before", "while it runs"])
    run.terminate()
    assert run.wait(10) == 0, run
    assert "sent 2 events in " in run.output()
    assert ", 0 undelivered; 3 lines: 1 blank, 0 cut" in run.output()
    write(log, "while it does not")
    rename(log)
    write(log, "after rotation")
    run = run_script("producer.py", "--follow", str(log))
    expected = ["before", "while it runs", "while it does not", "after rotation"]
    until(lambda: of(made, log) == expected, 60)
    run.signal(signal.SIGINT)
    assert run.wait(10) == 0, run
    assert of(made, log) == expected
    assert list((tmp_path / ".state").glob("shop.log-*.json"))
    [values] = arrived(made).values()
    assert all(json.loads(value)["service"] == "shop" for value in values)


def test_each_rotation_gives_each_line_once(
    run_script: RunScript, made: Settings, tmp_path: Path
) -> None:
    writers = {name: Writer(tmp_path / "logs" / f"{n}") for n, name in enumerate(ROTATIONS)}
    steps = [rotation(writers[name]) for name, rotation in ROTATIONS.items()]
    patterns = [f"logs/*/{pattern}" for pattern in PATTERNS]

    def differences() -> dict[str, tuple[Counter[str], Counter[str]]]:
        """For each rotation the lines that came too often, or not at all."""
        got: dict[str, Counter[str]] = {name: Counter() for name in writers}
        for key, values in arrived(made).items():
            number = Path(os.fsdecode(key)).relative_to(tmp_path / "logs").parts[0]
            got[[*writers][int(number)]].update(messages(values))
        wrong = {name: got[name] - writers[name].wrote for name in writers}
        missing = {name: writers[name].wrote - got[name] for name in writers}
        return {
            name: (wrong[name], missing[name])
            for name in writers
            if got[name] != writers[name].wrote
        }

    def follow() -> Process:
        soon = {"logpipeline.producer.follow.DISCOVER": 0.3}
        return run_script("producer.py", "--follow", *patterns, constants=soon)

    def all_arrived() -> None:
        with suppress(AssertionError):
            until(lambda: not differences(), 60)
        assert not differences(), str(run)

    def step() -> None:
        for each in steps:
            next(each, None)

    step()
    run = follow()
    all_arrived()
    step()
    all_arrived()
    run.terminate()
    assert run.wait(20) == 0, run
    step()
    run = follow()
    all_arrived()
    step()
    all_arrived()
    run.terminate()
    assert run.wait(20) == 0, run


def test_several_files_patterns_and_files_that_come_later(
    run_script: RunScript, made: Settings, tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    one, two, later, named = (tmp_path / "logs" / f"{n}.log" for n in ("one", "two", "new", "x"))
    write(one, "1")
    write(two, "2")
    run = run_script("producer.py", "--follow", "logs/*.log*", str(named))
    run.wait_for(f"waiting for {named} to appear")
    until(lambda: (of(made, one), of(made, two)) == (["1"], ["2"]), 60)
    rename(one, "one.log.1")
    write(one, "1 rotated")
    write(later, "3")
    write(named, "4")
    until(lambda: of(made, later) == ["3"] and of(made, named) == ["4"])
    until(lambda: of(made, one) == ["1", "1 rotated"])
    assert arrived(made).keys() == {key_of(path) for path in (one, two, later, named)}
    run.terminate()
    assert run.wait(10) == 0, run


def test_sigkill_and_rotation_at_any_moment_lose_nothing(
    run_script: RunScript, made: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    lines = numbered("line", 30_000)
    done = threading.Event()
    wanted = kills(6, "SIGKILLS")

    def writer() -> None:
        dice, at = random.Random(1), 0
        while at < len(lines):
            step = dice.randint(1, 400)
            write(log, *lines[at : at + step])
            at += step
            if dice.random() < 0.08:
                old = len(list(tmp_path.glob("app.log.*")))
                name = log.with_name(f"app.log.{old + 1}")
                copytruncate(log, name) if dice.random() < 0.5 else log.rename(name)
            done.wait(0.01 * wanted)
        done.set()

    write(log, "the beginning")
    run = run_script("producer.py", "--follow", "app.log")
    until(lambda: of(made, log) == ["the beginning"], 60)
    run.kill()
    thread = threading.Thread(target=writer)
    thread.start()
    killed, dice = 0, random.Random(2)
    with ExitStack() as cleanup:
        cleanup.callback(thread.join)
        written = cleanup.enter_context(watching(made))
        while not done.is_set() or killed < wanted:
            run = run_script("producer.py", "--follow", "app.log")
            before = written()
            until(lambda n=before: written() > n or done.is_set(), 60)  # type: ignore[misc]
            done.wait(dice.random())
            run.kill()
            killed += 1
    write(log, "the end")
    run = run_script("producer.py", "--follow", "app.log")
    until(lambda: "the end" in of(made, log), 60)
    run.terminate()
    assert run.wait(10) == 0, run
    got = of(made, log)
    assert not set(lines) - set(got)
    assert list(dict.fromkeys(got)) == ["the beginning", *lines, "the end"]
    assert "earlier file is missing" not in run.output()


def test_600_files_are_followed_with_1024_descriptors(
    run_script: RunScript, made: Settings, tmp_path: Path
) -> None:
    logs = [tmp_path / "logs" / f"{number}.log" for number in range(600)]
    logs[0].parent.mkdir()
    for path in logs:
        write(path, "one")

    def come(count: int) -> None:
        read_until(made.kafka_bootstrap_servers, made.kafka_topic, count, 60)

    limit = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1024)); "
    limited = [sys.executable, "-c", f"{limit}os.execv(sys.argv[1], sys.argv[1:])"]
    command = [*limited, *script("producer.py"), "--follow", "logs/*.log"]
    run = Process(command, tmp_path / "600.output", os.environ | variables(made))
    try:
        come(600)
        for path in logs:
            write(path, "two")
            rename(path, f"{path.name}.1")
            write(path, "three")
        come(1_800)
        run.terminate()
        assert run.wait(20) == 0, run
    finally:
        run.kill()
    found = arrived(made)
    assert all(messages(found[key_of(path)]) == ["one", "two", "three"] for path in logs)
    assert "Too many open files" not in run.output()


def test_parts_and_traces_are_one_event_though_the_producer_is_killed_between_them(
    run_script: RunScript, made: Settings, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    cri = "2024-05-01T10:00:00.5Z stdout {} {}".format
    times = kills(1, "SIGKILLS")
    write(log, cri("F", "first"))
    for kill in range(times):
        run = run_script("producer.py", "--follow", "app.log")
        write(log, cri("F", f"before {kill}."), cri("P", f"the beginning {kill}, "))
        until(lambda n=kill: any(f"before {n}." in each for each in of(made, log)), 60)  # type: ignore[misc]
        run.kill()
        write(log, cri("P", f"the middle {kill}, "))
        run = run_script("producer.py", "--follow", "app.log")
        write(log, cri("F", f"the end {kill}."), cri("F", f"after {kill}."))
        until(lambda n=kill: any(f"after {n}." in each for each in of(made, log)), 60)  # type: ignore[misc]
        run.terminate()
        assert run.wait(20) == 0, run
    joined = [each for each in of(made, log) if "the end" in each]
    assert len(joined) == times
    for kill, each in enumerate(joined):
        assert f"the beginning {kill}, the middle {kill}, the end {kill}." in each


def test_lines_that_kafka_never_got_are_sent_again_after_a_kill(
    run_script: RunScript,
    environment: dict[str, str],
    own_kafka: Kafka,
    settings: Settings,
    tmp_path: Path,
) -> None:
    env = away(environment, own_kafka)
    log = tmp_path / "app.log"
    write(log, "one")
    run = run_script("producer.py", "--follow", "app.log", env=env, constants=SOON)
    mine = own_kafka.bootstrap, settings.kafka_topic
    run.wait_for("created topic " + settings.kafka_topic, 60)
    until(lambda: any(records(*mine).values()), 60)
    own_kafka.pause()
    write(log, *numbered("two", 100))
    run.wait_for("Kafka unavailable, retrying: 100 events are waiting", 30)
    run.kill()
    own_kafka.kill()
    own_kafka.start()
    own_kafka.wait_ready()
    run = run_script("producer.py", "--follow", "app.log", env=env)
    until(lambda: any(len(pairs) > 100 for pairs in records(*mine).values()), 60)
    run.terminate()
    assert run.wait(20) == 0, run
    [pairs] = [pairs for pairs in records(*mine).values() if pairs]
    got = messages([value for _, value in pairs])
    assert list(dict.fromkeys(got)) == ["one", *numbered("two", 100)]


def test_two_producers_do_not_follow_one_file(
    run_script: RunScript, made: Settings, tmp_path: Path
) -> None:
    write(tmp_path / "app.log", "x")
    first = run_script("producer.py", "--follow", "app.log")
    until(lambda: of(made, tmp_path / "app.log") == ["x"], 60)
    second = run_script("producer.py", "--follow", "app.log")
    assert second.wait() == 2
    assert len(second.output().splitlines()) == 1
    assert "app.log: another producer follows this file" in second.output()
    assert first.running()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--follow", "."], ".: must be a file; use --input to read a pipe"),
        (["--follow", "x", "--seed", "1"], "--seed cannot be combined with --input or --follow"),
        (["--follow", "x", "--state-dir", "file/in"], "file/in cannot be read: Not a directory"),
        (["--follow", "x", "--state-dir", "file"], "STATE_DIR='file': must be a folder's path"),
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
    (tmp_path / "file").touch()
    assert said in refusal(argv, capsys)


def test_an_unreadable_file_is_reported_once(
    run_script: RunScript, made: Settings, tmp_path: Path
) -> None:
    loop = tmp_path / "loop.log"
    loop.symlink_to(loop)
    write(tmp_path / "good.log", "x")
    run = run_script("producer.py", "--follow", "loop.log", "good.log")
    until(lambda: of(made, tmp_path / "good.log") == ["x"], 60)
    run.wait_for(f"{loop}: cannot be read: ")
    loop.unlink()
    write(loop, "y")
    until(lambda: of(made, loop) == ["y"])
    run.terminate()
    assert run.wait(10) == 0, run
    assert run.output().count("cannot be read") == 1
