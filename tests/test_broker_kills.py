"""A broker that is killed under every kind of load at once: `KILLS=20` kills it twenty times.

Each event must be there once, and those of a key in order.
"""

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition

from config import Settings
from logpipeline.kafka.outbox import Outbox
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.stack import variables
from logpipeline.shutdown import Shutdown
from tests import test_handler, test_replay
from tests.conftest import RunScript
from tests.support.kills import kills
from tests.support.process import Process
from tests.support.topics import records, sockets_left
from tests.support.waiting import until
from tests.test_follow import of
from tests.test_input import arrived, key_of, messages
from tests.test_outbox import events, in_turn, numbers
from tests.test_producer import SEED, assert_each_once_in_order, sent_by
from tests.test_tail import numbered, write

KILLS = kills(2)
RATE = 2_000  # events/s of producer.py
REPLAYED = 50  # events/s of replay.py
CYCLE = 60  # seconds that may pass between two kills
PATIENCE = 90.0  # seconds until all send again
# It yields once it sends, and again once it sends no more: so that none runs on while another's
# events are read and checked.
Load = Generator[Settings, None, None]


@dataclass(frozen=True)
class Place:
    """Where the loads of a test are."""

    kafka: Kafka
    settings: Settings
    run_script: RunScript
    folder: Path

    def settings_of(self, kind: str) -> Settings:
        """With the broker that is killed, and topics of this load alone."""
        topic = f"{self.settings.kafka_topic}-{kind}"
        mine = {
            "kafka_bootstrap_servers": self.kafka.bootstrap,
            "kafka_topic": topic,
            "kafka_dead_letter_topic": f"{topic}.dead-letter",
        }
        return self.settings.model_copy(update=mine)

    def run(self, settings: Settings, name: str, *argv: str) -> Process:
        return self.run_script(name, *argv, env=os.environ | variables(settings))


def stop(run: Process, status: int = 0) -> None:
    assert run.running(), run.output()
    run.terminate()
    assert run.wait(60) == status, run.output()


def simulator(place: Place) -> Load:
    mine = place.settings_of("simulator")
    run = place.run(mine, "producer.py", "--rate", str(RATE), "--seed", str(SEED))
    yield mine
    stop(run)
    yield mine
    found = records(mine.kafka_bootstrap_servers, mine.kafka_topic)
    assert_each_once_in_order(found, sent_by(run), RATE)


def input_of_a_file(place: Place) -> Load:
    mine, log = place.settings_of("input"), place.folder / "input.log"
    lines = numbered("line", RATE * CYCLE * (KILLS + 1))
    write(log, *lines)
    run = place.run(mine, "producer.py", "--input", str(log), "--rate", str(RATE))
    yield mine
    stop(run, 1)  # before the end of the file
    yield mine
    assert messages(arrived(mine)[key_of(log)]) == lines[: sent_by(run)]


def follow(place: Place) -> Load:
    mine, log = place.settings_of("follow"), place.folder / "followed.log"
    run = place.run(mine, "producer.py", "--follow", str(log))
    with repeating(lambda number: write(log, f"line {number}"), 0.002) as wrote:
        yield mine
    write(log, "the end")
    yield mine
    until(lambda: of(mine, log)[-1:] == ["the end"], PATIENCE, run.output())
    stop(run)
    assert of(mine, log) == [*numbered("line", wrote()), "the end"]


def handler(place: Place) -> Load:
    mine = place.settings_of("handler")
    logger = logging.Logger("under load", logging.INFO)
    test_handler.attach(logger, test_handler.handler(mine))
    with closing(logger.handlers[0]):
        with repeating(lambda number: logger.info("%d", number), 0.01) as logged:
            yield mine
        test_handler.flush(logger)
    yield mine
    got = test_handler.arrived(mine.kafka_bootstrap_servers, mine.kafka_topic)
    assert [each["message"] for each in got] == [str(number) for number in range(logged())]


def bulk(place: Place) -> Load:
    refused: list[int] = []

    def send(box: Outbox, number: int) -> None:
        assert box.send_all(events(500 * number, 500 * number + 500), refused.append)

    yield from outbox(place.settings_of("bulk"), send, 500)
    assert {*refused} == {0}


def one_by_one(place: Place) -> Load:
    def send(box: Outbox, number: int) -> None:
        [pair] = events(number, number + 1)
        assert box.send(*pair)

    yield from outbox(place.settings_of("one-by-one"), send, 1)


def outbox(settings: Settings, send: Callable[[Outbox, int], None], together: int) -> Load:
    """An outbox that gets so many events together by `send`."""
    stop = Shutdown()
    box = Outbox.when_ready(settings, stop)
    assert box
    with closing(box):
        try:
            with repeating(partial(send, box), together / RATE) as calls:
                yield settings
        except BaseException:
            stop.request()  # otherwise it waits for Kafka
            raise
    yield settings
    assert (box.delivered, box.undelivered) == (calls() * together, 0)
    assert numbers(settings) == in_turn(calls() * together)


def replay(place: Place) -> Load:
    mine, letters = place.settings_of("replay"), REPLAYED * CYCLE * (KILLS + 1)
    test_replay.put_letters(mine, test_replay.events(letters))
    run = place.run(mine, "replay.py", "--since", "1h", "--rate", str(REPLAYED))
    yield mine
    stop(run, 1)
    yield mine
    rest = place.run(mine, "replay.py", "--since", "1h", "--rate", "0")
    assert rest.wait(120) == 0, rest.output()
    test_replay.assert_has(mine, test_replay.bodies(letters))


@contextmanager
def repeating(act: Callable[[int], object], pause: float) -> Iterator[Callable[[], int]]:
    """Call `act` with 0, 1, 2 … in a thread. Gives what returns the number of calls."""
    done, calls = threading.Event(), 0

    def work() -> None:
        nonlocal calls
        while not done.is_set():
            act(calls)
            calls += 1
            done.wait(pause)

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            yield lambda: calls
        finally:
            done.set()
    working.result()


def wait_for_more(settings: list[Settings]) -> None:
    """Until each of these topics has more records than now."""
    with (
        sockets_left(),
        closing(KafkaConsumer(bootstrap_servers=settings[0].kafka_bootstrap_servers)) as consumer,
    ):

        def count(topic: str) -> int:
            partitions = consumer.partitions_for_topic(topic) or ()
            ats = [TopicPartition(topic, partition) for partition in partitions]
            return sum(consumer.end_offsets(ats).values())

        for each in settings:
            topic = each.kafka_topic
            before = count(topic)
            until(lambda: count(topic) > before, PATIENCE, f"{topic} gets nothing")  # noqa: B023


LOADS = [simulator, input_of_a_file, follow, handler, bulk, one_by_one, replay]


def test_a_broker_killed_again_and_again_loses_doubles_and_reorders_nothing(
    own_kafka: Kafka,
    settings: Settings,
    run_script: RunScript,
    tmp_path: Path,
) -> None:
    place, dice = Place(own_kafka, settings, run_script, tmp_path), random.Random(1)
    with ExitStack() as running:
        loads = [load(place) for load in LOADS]
        for load in loads:
            running.callback(load.close)
        started = [*map(next, loads)]
        for _ in range(KILLS):
            wait_for_more(started)
            own_kafka.kill()
            time.sleep(dice.uniform(0, 3))
            own_kafka.start()
            own_kafka.wait_ready()
        wait_for_more(started)
        for load in loads:
            next(load)
        for load in loads:
            assert not [*load]
