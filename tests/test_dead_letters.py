"""Dead letters while Kafka, or their topic alone, is unavailable: none is lost or sent twice.

Each consumer is a process whose group expects a poll every SECONDS, instead of every minute, and
which notices sooner that Kafka does not answer.
"""

import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import InvalidRecordError

from config import Settings
from logpipeline.kafka import topics
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.server import free_port
from logpipeline.localstack.stack import variables
from logpipeline.shutdown import Shutdown
from tests.conftest import RunScript
from tests.support.forked import Forked
from tests.support.records import event
from tests.support.servers import MISSED_SOON
from tests.support.topics import read_all, send
from tests.support.waiting import until
from tests.test_consumer import is_stable

SECONDS = 5.0  # above the session's
CONSTANTS = MISSED_SOON | {
    "logpipeline.consumer.subscription.MOST_BETWEEN_POLLS_MS": int(1_000 * SECONDS),
    "logpipeline.consumer.availability.QUIET": 1.5,
}
PATIENCE = 60.0
PROBE = b"probe"
Started = Callable[[Settings], "Held"]


class Held:
    """consumer.py that waits before its dead letters while `hold` says so."""

    def __init__(self, settings: Settings, environment: dict[str, str]) -> None:
        self.port = free_port()
        self._file = settings.log_file.parent / "hold"
        mine = environment | variables(settings)
        mine |= {"METRICS_PORT": str(self.port)}
        output = settings.log_file.parent / "held.output"
        arguments = [str(self._file)]
        self.process = Forked("tests.support.held", arguments, output, mine, constants=CONSTANTS)

    def hold(self) -> None:
        self._file.touch()

    def reached(self) -> bool:
        return self._file.with_name("hold.reached").exists()

    def let_go(self) -> None:
        self._file.unlink()

    def get(self, path: str) -> str:
        """What it answers there, "" if it does not."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return error.read().decode()
        except OSError:
            return ""


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Started]:
    """Starts one, once its topics exist."""
    with ExitStack() as cleanup:

        def started(settings: Settings) -> Held:
            assert topics.ensure(settings, Shutdown(), topics.to_read(settings))
            held = Held(settings, environment)
            cleanup.callback(held.process.kill)
            until(lambda: held.get("/readyz") == "ready\n", PATIENCE, str(held.process))
            return held

        yield started


def lines(settings: Settings) -> list[bytes]:
    """Lines of logs.txt so far, also one that is not whole."""
    path = settings.log_file
    return path.read_bytes().splitlines() if path.exists() else []


def letters(settings: Settings) -> Counter[bytes]:
    """The values of the dead letters, without the probes of `require_keys`."""
    every = read_all(settings.kafka_bootstrap_servers, settings.kafka_dead_letter_topic)
    return Counter(letter.value for letter in every if letter.value != PROBE)


def assert_stops(held: Held) -> None:
    held.process.terminate()
    assert held.process.wait(10) == 0, str(held.process)
    assert "Traceback" not in held.process.output()


@pytest.mark.parametrize("first", [True, False], ids=["not connected yet", "connected"])
@pytest.mark.parametrize("verb", ["kill", "pause"])
def test_kafka_that_leaves_before_the_letters_is_said_and_waited_for(
    start: Started, settings: Settings, own_kafka: Kafka, verb: str, first: bool
) -> None:
    mine = settings.model_copy(update={"kafka_bootstrap_servers": own_kafka.bootstrap})
    held = start(mine)
    earlier = [] if first else [b"earlier", event(0)]
    if earlier:
        send(own_kafka.bootstrap, mine.kafka_topic, earlier, partition=0)
        until(lambda: len(lines(mine)) == 1, PATIENCE, str(held.process))
    held.hold()
    values = [b"broken", event(1), b"also broken"]
    send(own_kafka.bootstrap, mine.kafka_topic, values, partition=0)
    until(held.reached, PATIENCE, str(held.process))
    getattr(own_kafka, verb)()
    held.let_go()
    held.process.wait_for("Kafka unavailable, retrying: Kafka", 30)
    until(lambda: "log_consumer_kafka_up 0.0" in held.get("/metrics"), 30)
    assert held.get("/readyz") == "Kafka does not answer\n"
    assert held.get("/healthz") == "alive\n"
    own_kafka.resume() if verb == "pause" else own_kafka.start()
    own_kafka.wait_ready()
    until(lambda: lines(mine)[-1:] == [event(1)], PATIENCE, str(held.process))
    until(lambda: held.get("/readyz") == "ready\n", PATIENCE, str(held.process))
    assert "log_consumer_kafka_up 1.0" in held.get("/metrics")
    send(own_kafka.bootstrap, mine.kafka_topic, [b"later", event(2)], partition=0)
    until(lambda: lines(mine)[-1:] == [event(2)], PATIENCE, str(held.process))
    assert_stops(held)
    bad = [*["earlier"][first:], "broken", "also broken", "later"]
    assert letters(mine) == Counter(word.encode() for word in bad)
    assert held.process.output().count("Kafka unavailable") == 1
    assert len(lines(mine)) == 3 - first


@pytest.mark.parametrize("first", [True, False], ids=["not connected yet", "connected"])
def test_a_stop_while_letters_wait_for_kafka_takes_less_than_ten_seconds(
    start: Started, settings: Settings, own_kafka: Kafka, first: bool
) -> None:
    mine = settings.model_copy(update={"kafka_bootstrap_servers": own_kafka.bootstrap})
    held = start(mine)
    if not first:
        send(own_kafka.bootstrap, mine.kafka_topic, [b"earlier", event(0)], partition=0)
        until(lambda: len(lines(mine)) == 1, PATIENCE, str(held.process))
    held.hold()
    send(own_kafka.bootstrap, mine.kafka_topic, [b"broken"], partition=0)
    until(held.reached, PATIENCE, str(held.process))
    own_kafka.pause()
    held.let_go()
    held.process.wait_for("Kafka unavailable, retrying: Kafka", 30)
    assert_stops(held)


def require_keys(admin: KafkaAdminClient, settings: Settings, required: bool) -> None:
    """Let the topic refuse letters without a key, as a compacted one does. Kafka answers before it
    does so: a probe tells when."""
    policy = {"cleanup.policy": "compact" if required else "delete"}
    servers, topic = settings.kafka_bootstrap_servers, settings.kafka_dead_letter_topic
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, policy)])
    if required:
        [described] = admin.describe_topics([topic])
        for partition in range(len(described["partitions"])):
            probe = partial(send, servers, topic, [PROBE], partition, key=None)
            until(partial(refused, probe), PATIENCE)


def refused(probe: Callable[[], None]) -> bool:
    try:
        probe()
    except InvalidRecordError:
        return True
    return False


def members(admin: KafkaAdminClient, settings: Settings) -> list[str]:
    found = admin.describe_groups([settings.kafka_group_id])[settings.kafka_group_id]
    return [member["member_id"] for member in found["members"]]


def test_letters_that_kafka_does_not_take_are_said_and_the_group_keeps_the_consumer(
    start: Started, settings: Settings, kafka_admin: KafkaAdminClient
) -> None:
    held = start(settings)
    servers, topic = settings.kafka_bootstrap_servers, settings.kafka_topic
    send(servers, topic, [b"earlier", event(0)], partition=0)
    until(lambda: lines(settings) == [event(0)], PATIENCE, str(held.process))
    [member] = members(kafka_admin, settings)
    require_keys(kafka_admin, settings, True)
    send(servers, topic, [b"broken", event(1)], partition=0, key=None)
    held.process.wait_for("cannot send dead letters, retrying: ", 30)
    said = time.monotonic()
    assert held.get("/readyz") == "dead letters cannot be sent\n"
    assert "log_consumer_dead_letter_up 0.0" in held.get("/metrics")
    assert "log_consumer_kafka_up 1.0" in held.get("/metrics")
    until(lambda: time.monotonic() - said > SECONDS + 2, 60)
    assert members(kafka_admin, settings) == [member]
    assert lines(settings) == [event(0)]
    require_keys(kafka_admin, settings, False)
    until(lambda: lines(settings) == [event(0), event(1)], PATIENCE, str(held.process))
    held.process.wait_for("sending dead letters again")
    until(lambda: held.get("/readyz") == "ready\n", PATIENCE, str(held.process))
    assert members(kafka_admin, settings) == [member]
    assert_stops(held)
    assert letters(settings) == Counter([b"earlier", b"broken"])
    assert held.process.output().count("cannot send dead letters") == 1


def test_partitions_that_move_while_letters_wait_are_stored_once_and_so_are_the_letters(
    start: Started, settings: Settings, kafka_admin: KafkaAdminClient, run_script: RunScript
) -> None:
    held = start(settings)
    servers, topic = settings.kafka_bootstrap_servers, settings.kafka_topic
    require_keys(kafka_admin, settings, True)
    for n in range(settings.kafka_partitions):
        send(servers, topic, [b"broken %d" % n, event(n)], partition=n, key=None)
    held.process.wait_for("cannot send dead letters, retrying: ", 30)
    second = run_script("consumer.py", constants=CONSTANTS)

    shared = partial(is_stable, kafka_admin, settings, 2)
    until(shared, PATIENCE, f"{held.process}\n{second}")
    second.wait_for("cannot send dead letters, retrying: ", PATIENCE)
    assert lines(settings) == []
    require_keys(kafka_admin, settings, False)
    numbers = range(settings.kafka_partitions)
    wanted = Counter(event(n) for n in numbers)
    until(lambda: Counter(lines(settings)) == wanted, PATIENCE, f"{held.process}\n{second}")
    assert_stops(held)
    second.terminate()
    assert second.wait(10) == 0, str(second)
    assert letters(settings) == Counter(b"broken %d" % n for n in numbers)
    assert Counter(lines(settings)) == wanted
