"""producer.py and its parts against real Kafka, also one that goes away."""

import json
import os
import signal
import subprocess
import sys
import termios
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import count, islice
from pathlib import Path
from types import SimpleNamespace

import pytest
from kafka.admin import KafkaAdminClient

import producer
from config import Settings
from logpipeline import pace
from logpipeline.events import event
from logpipeline.kafka import outbox, topics
from logpipeline.kafka.outbox import Outbox
from logpipeline.localstack.kafka import Kafka
from logpipeline.pace import CATCH_UP, Pace, bursts, paced
from logpipeline.producer.simulator import simulate
from logpipeline.shutdown import Shutdown
from tests.conftest import RunScript
from tests.support.drain import watching
from tests.support.process import ROOT, Process
from tests.support.refusal import refusal
from tests.support.topics import Pair, records
from tests.support.waiting import until

SEED = 5
MEMORY = 80 * 2**20  # bytes that it may take
SOON = {"logpipeline.kafka.outbox.QUIET": 1.5, "logpipeline.kafka.outbox.PROBE": 0.5}


def without_time(value: bytes) -> bytes:
    head, rest = value.split(b'"timestamp":')
    return head + rest.partition(b",")[2]


def assert_each_once_in_order(found: dict[int, list[Pair]], sent: int, rate: float) -> None:
    """That the topic has the first `sent` events of SEED, each service's in one partition."""
    expected, got = defaultdict(list), defaultdict(list)
    for key, value in islice(simulate(SEED, rate), sent):
        expected[key].append(without_time(value))
    partition_of: dict[bytes, int] = {}
    for partition, pairs in found.items():
        for key, value in pairs:
            assert partition_of.setdefault(key, partition) == partition
            got[key].append(without_time(value))
    assert {key: len(values) for key, values in got.items()} == {
        key: len(values) for key, values in expected.items()
    }
    assert got == expected


def sent_by(run: Process) -> int:
    """What its line of totals says."""
    [line] = [line for line in run.output().splitlines() if " undelivered" in line]
    return int(line.split("sent ")[1].split()[0].replace(",", ""))


def away(environment: dict[str, str], kafka: Kafka) -> dict[str, str]:
    return environment | {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap}


@pytest.mark.parametrize(
    "argv",
    [
        ["--rate", "-1"],
        ["--rate", "fast"],
        ["--rate", "nan"],
        ["--rate", "inf"],
        ["--count", "-5"],
        ["--count", "1.5"],
        ["--seed", "-1"],
        ["--malformed", "2"],
        ["--kafka-partitions", "0"],
    ],
)
def test_nonsense_is_refused_in_one_line(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    line = refusal(argv, capsys)
    assert argv[1] in line
    assert "must be" in line


def test_help_ends_with_examples_and_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        producer.main(["--help"])
    assert ended.value.code == 0
    assert "examples:" in capsys.readouterr().out.partition("exit status:")[0]


def test_each_event_arrives_once_in_its_services_order(
    run_script: RunScript, settings: Settings
) -> None:
    run = run_script("producer.py", "--rate", "0", "--count", "20000", "--seed", str(SEED))
    assert run.wait(60) == 0, run
    assert "sent 20,000 events in " in run.output()
    assert ", 0 undelivered" in run.output()
    found = records(settings.kafka_bootstrap_servers, settings.kafka_topic)
    assert len(found) == settings.kafka_partitions
    assert_each_once_in_order(found, 20_000, 0)


def test_rate_is_kept_and_timestamps_are_when_an_event_was_due(
    run_script: RunScript, settings: Settings
) -> None:
    began = time.time()
    run = run_script("producer.py", "--rate", "200", "--count", "600", "--seed", str(SEED))
    assert run.wait(60) == 0, run
    ended = time.time()
    found = records(settings.kafka_bootstrap_servers, settings.kafka_topic)
    assert_each_once_in_order(found, 600, 200)
    times = sorted(event.parse(value).timestamp for pairs in found.values() for _, value in pairs)
    assert len(times) == 600
    assert all(at > began + number / 200 for number, at in enumerate(times))
    assert times[-1] < ended


def test_a_seed_is_printed_and_broken_events_are_sent(
    run_script: RunScript, settings: Settings
) -> None:
    run = run_script("producer.py", "--rate", "0", "--count", "500", "--malformed", "0.5")
    assert run.wait(60) == 0, run
    assert "--seed " in run.output()
    broken = 0
    for pairs in records(settings.kafka_bootstrap_servers, settings.kafka_topic).values():
        for _, value in pairs:
            try:
                json.loads(value)
            except ValueError:
                broken += 1
    assert 150 < broken < 350


def test_a_person_sees_a_bar_on_a_long_count(run_script: RunScript) -> None:
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    with os.fdopen(ours, "rb", buffering=0) as screen:
        run = run_script("producer.py", "--rate", "0", "--count", "5000", stderr=theirs)
        os.close(theirs)
        seen = b""
        while b"undelivered" not in seen:
            seen += screen.read(4096)
        assert run.wait() == 0
    assert b"5.00k/5.00k" in seen


def test_sigterm_delivers_what_was_made(run_script: RunScript, settings: Settings) -> None:
    run = run_script("producer.py", "--rate", "0", "--seed", str(SEED))
    run.wait_for("--seed")
    until(lambda: _end(settings) > 1_000, message="nothing arrives")
    run.terminate()
    assert run.wait(10) == 0, run
    found = records(settings.kafka_bootstrap_servers, settings.kafka_topic)
    assert_each_once_in_order(found, sent_by(run), 0)


def _end(settings: Settings) -> int:
    found = records(settings.kafka_bootstrap_servers, settings.kafka_topic)
    return sum(len(pairs) for pairs in found.values())


def test_what_kafka_refuses_is_counted_and_gives_status_1(
    run_script: RunScript, settings: Settings, kafka_admin: KafkaAdminClient
) -> None:
    tight = {"num_partitions": 2, "configs": {"max.message.bytes": "100"}}
    kafka_admin.create_topics({settings.kafka_topic: tight}, wait_for_metadata=True)
    run = run_script("producer.py", "--rate", "0", "--count", "50")
    assert run.wait(60) == 1, run
    assert "sent 0 events" in run.output()
    assert ", 50 undelivered" in run.output()
    assert run.output().count("not delivered") == 1
    assert "Traceback" not in run.output()


def test_an_oversized_event_is_counted_and_the_others_go(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    sender = Outbox.when_ready(settings, Shutdown())
    assert sender
    limit = 2**20 - 100
    with closing(sender):
        for size in (10, 2**20, limit, 2**21, 10):
            assert sender.send(b"key", os.urandom(size))
    assert (sender.delivered, sender.undelivered) == (3, 2)
    assert sum("not delivered" in line for line in caplog.messages) == 1
    [pairs] = records(settings.kafka_bootstrap_servers, settings.kafka_topic).values()
    assert [len(value) for _, value in pairs] == [10, limit, 10]


def test_acknowledgements_come_in_order_whatever_their_partitions_and_verdicts(
    settings: Settings,
) -> None:
    sender = Outbox.when_ready(settings, Shutdown())
    assert sender
    acknowledged: list[int] = []
    with closing(sender):
        for number in range(1_000):
            size = 2**20 if number % 100 == 50 else 10  # that is refused before the others are sent
            key = str(number).encode()
            assert sender.send(key, bytes(size), partial(acknowledged.append, number))
            assert sender.waiting + len(acknowledged) == number + 1
        assert sender.send(b"key", b"that nobody waits for")
    assert acknowledged == list(range(1_000))
    assert (sender.delivered, sender.undelivered) == (991, 10)


def test_pairs_sent_together_are_acknowledged_once_in_order_with_the_number_refused(
    settings: Settings,
) -> None:
    sender = Outbox.when_ready(settings, Shutdown())
    assert sender
    acknowledged: list[object] = []
    large = bytes(2**20)  # refused before the others are sent
    with closing(sender):
        for value in (b"1", large, b"3"):
            assert sender.send(b"key", value, partial(acknowledged.append, value[:1]))
        pairs = [(b"%d" % number, b"value") for number in range(100)]
        assert sender.send_all(pairs, acknowledged.append)
        assert sender.send_all([*pairs, (b"a", large), (b"b", large)], acknowledged.append)
        assert sender.send_all([], acknowledged.append)
        assert sender.send_all(pairs)
        assert sender.send(b"key", b"4", partial(acknowledged.append, b"4"))
    assert acknowledged == [b"1", b"\0", b"3", 0, 2, 0, b"4"]
    assert (sender.delivered, sender.undelivered) == (303, 3)


def test_what_is_given_up_is_not_acknowledged(own_kafka: Kafka, settings: Settings) -> None:
    stop = Shutdown()
    mine = settings.model_copy(update={"kafka_bootstrap_servers": own_kafka.bootstrap})
    sender = Outbox.when_ready(mine, stop)
    assert sender
    acknowledged: list[int] = []
    assert sender.send(b"key", b"1", lambda: acknowledged.append(1))
    until(lambda: not sender.settle(), 60)
    own_kafka.pause()
    assert sender.send(b"key", b"2", lambda: acknowledged.append(2))
    stop.request()
    sender.close(patience=0.1)
    assert acknowledged == [1]
    assert (sender.delivered, sender.undelivered) == (1, 1)


def test_outbox_is_bounded_in_events_and_bytes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST_EVENTS", 5)
    monkeypatch.setattr(outbox, "MOST_BYTES", 1_000)
    sender = Outbox.when_ready(settings, Shutdown())
    assert sender
    with closing(sender):
        for size in (1, 1, 1, 1, 1, 1, 600, 600, 600, 5_000, 1):
            assert sender.send(b"key", bytes(size))
            assert sender.waiting <= 5
            assert sender._bytes < 1_000 + size
    assert sender.delivered == 11
    assert sender._bytes == 0


def test_kafka_unavailable_at_start_is_reported_once_and_retried(
    run_script: RunScript, environment: dict[str, str], new_kafka: Kafka, settings: Settings
) -> None:
    env = away(environment, new_kafka)
    options = ["--count", "50", "--rate", "0", "--seed", str(SEED)]
    soon = {"logpipeline.shutdown.LONGEST_WAIT": 0.5}
    run = run_script("producer.py", *options, env=env, constants=soon)
    run.wait_for("waiting: Kafka does not answer")
    time.sleep(1)  # it has tried again, after 0.2 and 0.4 s
    new_kafka.start()
    assert run.wait(60) == 0, run
    assert run.output().count("waiting:") == 1
    assert_each_once_in_order(records(new_kafka.bootstrap, settings.kafka_topic), 50, 0)


def test_stopped_while_kafka_was_never_there(
    run_script: RunScript, environment: dict[str, str], tmp_path: Path
) -> None:
    env = environment | {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    run = run_script("producer.py", "--count", "50", env=env)
    run.wait_for("waiting: Kafka does not answer")
    run.terminate()
    assert run.wait(10) == 0, run
    assert "Traceback" not in run.output()


def test_kafka_killed_for_a_while_loses_doubles_and_reorders_nothing(
    run_script: RunScript, environment: dict[str, str], own_kafka: Kafka, settings: Settings
) -> None:
    env = away(environment, own_kafka)
    sent = "150000"
    options = ["--rate", "0", "--count", sent, "--seed", str(SEED)]
    mine = settings.model_copy(update={"kafka_bootstrap_servers": own_kafka.bootstrap})
    assert topics.ensure(mine, Shutdown(), topics.to_send(mine))
    with watching(mine) as written:
        run = run_script("producer.py", *options, env=env, forked=False, constants=SOON)
        while not written():
            time.sleep(0.01)  # it takes a second or more for all
    own_kafka.kill()
    # How many are waiting by then is the machine's speed.
    run.wait_for("Kafka unavailable, retrying: ")
    time.sleep(4)  # in which it tries to connect again and again
    assert _resident(run) < MEMORY
    own_kafka.start()
    assert run.wait(120) == 0, run
    assert run.output().count("Kafka unavailable") == 1
    assert run.output().count("Kafka available again") == 1
    assert_each_once_in_order(records(own_kafka.bootstrap, settings.kafka_topic), int(sent), 0)


def test_memory_is_bounded_in_an_outage_whatever_the_lines(
    run_script: RunScript,
    environment: dict[str, str],
    own_kafka: Kafka,
    settings: Settings,
    tmp_path: Path,
) -> None:
    """Of random characters, which lz4 makes only half as long."""
    env = away(environment, own_kafka)
    path = tmp_path / "app.log"
    with path.open("w") as file:
        file.writelines(f"{os.urandom(5_000).hex()}\n" for _ in range(4_000))
    mine = settings.model_copy(update={"kafka_bootstrap_servers": own_kafka.bootstrap})
    assert topics.ensure(mine, Shutdown(), topics.to_send(mine))
    options = ["--input", str(path), "--rate", "1000"]
    run = run_script("producer.py", *options, env=env, forked=False, constants=SOON)
    until(lambda: _end(mine) > 1)
    own_kafka.pause()
    run.wait_for("Kafka unavailable")
    until_still(run.pid)  # more lines than may wait
    assert _resident(run) < MEMORY
    own_kafka.resume()
    assert run.wait(60) == 0, run
    assert "sent 4,000 events" in run.output()


def until_still(pid: int) -> None:
    """Wait until the process reads no more: all that may wait is waiting."""
    looks = deque[int](maxlen=10)

    def still() -> bool:
        looks.append(_has_read(pid))
        return looks.count(looks[0]) == 10

    until(still, 30)


def _has_read(pid: int) -> int:
    """Bytes from files, pipes and sockets."""
    return int(Path(f"/proc/{pid}/io").read_text().split()[1])


def _resident(run: Process) -> int:
    """Bytes of memory."""
    pages = int(Path(f"/proc/{run.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_a_stop_while_kafka_is_unavailable_reports_undelivered_events(
    run_script: RunScript, environment: dict[str, str], own_kafka: Kafka, settings: Settings
) -> None:
    """Within FLUSH seconds and a few, but not the 7 that it usually is."""
    env = away(environment, own_kafka)
    soon = SOON | {"logpipeline.kafka.outbox.FLUSH": 1.0}
    options = ["--rate", "100", "--seed", str(SEED)]
    run = run_script("producer.py", *options, env=env, constants=soon)
    run.wait_for("created topic")
    time.sleep(0.5)
    own_kafka.pause()
    run.wait_for("Kafka unavailable")
    run.terminate()
    assert run.wait(6) == 1, run
    [totals] = [line for line in run.output().splitlines() if "undelivered" in line]
    assert int(totals.split()[-2].replace(",", "")) > 100
    assert "Traceback" not in run.output()
    assert "Exception" not in run.output()
    assert len(totals) < 120


def test_second_ctrl_c_ends_at_once(
    run_script: RunScript, environment: dict[str, str], own_kafka: Kafka
) -> None:
    run = run_script("producer.py", "--rate", "100", env=away(environment, own_kafka))
    run.wait_for("--seed")
    own_kafka.pause()
    time.sleep(0.5)
    run.signal(signal.SIGINT)
    time.sleep(0.5)
    run.signal(signal.SIGINT)
    assert run.wait(2) == -signal.SIGINT


class Clock(Shutdown):
    """Time that passes only by waiting, or by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.now = 1_000.0
        monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: self.now))

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return bool(self)


def numbers() -> Iterator[int]:
    return count()


@pytest.mark.parametrize("rate", [0.01, 1, 7, 500, 40_000])
def test_pace_does_not_drift(rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    assert len(list(paced(numbers(), rate, 10_001, clock))) == 10_001
    assert clock.now - 1_000 == pytest.approx(10_000 / rate, abs=2 * pace.NAP)


def test_pace_catches_up_after_a_stall_but_not_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stalled_for(seconds: float) -> int:
        """How many events come at once after it."""
        clock = Clock(monkeypatch)
        events = paced(numbers(), 10, None, clock)
        next(events)
        clock.now += seconds
        resumed = clock.now
        return sum(1 for _ in iter(lambda: next(events) and clock.now == resumed, False))

    assert stalled_for(2) == pytest.approx(20, abs=1)
    assert stalled_for(600) == pytest.approx(10 * CATCH_UP, abs=1)


@pytest.mark.parametrize("rate", [1, 7, 500, 40_000])
def test_a_burst_has_all_that_is_due_and_nothing_that_is_not(
    rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    seen = 0
    for burst in bursts(numbers(), Pace(rate, 10_001, clock), 50):
        assert burst == [*range(seen, seen + len(burst))]
        assert 1 <= len(burst) <= 50
        assert burst[-1] / rate <= clock.now - 1_000 + 1e-6
        seen += len(burst)
        clock.now += 0.003  # that sending takes
    assert seen == 10_001


def test_a_burst_without_a_rate_is_as_large_as_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    assert [len(burst) for burst in bursts(numbers(), Pace(0, 1_100, clock), 500)] == [
        500,
        500,
        100,
    ]
    assert list(bursts(iter([1, 2]), Pace(0, None, clock), 500)) == [[1, 2]]


def test_pace_ends_with_its_events_or_its_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    assert list(paced(iter([1, 2]), 0, None, clock)) == [1, 2]
    assert list(paced(numbers(), 0, 0, clock)) == []


def test_a_stop_lets_what_was_taken_go_at_once_but_not_beyond_the_count() -> None:
    """At the pace of --rate the third event would be due in three hours."""
    stop = Shutdown()
    events = paced(iter(range(10)), 0.0001, 5, stop)
    next(events)
    stop.request()
    assert list(events) == [1, 2, 3, 4]


def test_it_imports_nothing_that_it_does_not_use() -> None:
    """The memory of two processes is that of one with its imports, and a little."""
    code = "import sys, producer; print(*{'redis', 'opentelemetry'} & {*sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.stdout.split() == [], run.stderr
