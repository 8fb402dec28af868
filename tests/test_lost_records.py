"""Kafka loses its last records and reuses their offsets: both generations are archived, once.

A lone broker's partition is put back to an older copy, as after a power cut or from a backup; of
three brokers one becomes the leader that lacks what the others had (unclean leader election).
"""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError
from redis import Redis as RedisClient

from config import Settings
from logpipeline.kafka import topics
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.server import free_port
from logpipeline.localstack.stack import variables
from logpipeline.shutdown import Shutdown
from tests.conftest import RunScript
from tests.support.archived import lines
from tests.support.brokers import Broker
from tests.support.process import Process
from tests.support.records import event
from tests.support.servers import MISSED_SOON
from tests.support.topics import read_all, send, sockets_left
from tests.support.waiting import until

PATIENCE = 90.0  # seconds; this machine may be busy with something else
CAP = 40
BAD = 5, 25, 45, 125  # numbers of records that are invalid


def records(start: int, end: int) -> list[bytes]:
    """Events by their number, and invalid records."""
    return [b"invalid %d" % n if n in BAD else event(n, level="ERROR") for n in range(start, end)]


def archived(start: int, end: int) -> list[bytes]:
    return [value for value in records(start, end) if not value.startswith(b"invalid")]


def arrive(settings: Settings, expected: list[bytes], consumer: Process) -> None:
    """Wait until logs.txt has these lines."""
    try:
        until(lambda: len(lines(settings)) >= len(expected), PATIENCE)
    except AssertionError:
        raise AssertionError(f"{len(lines(settings))} lines: {consumer}") from None
    assert lines(settings) == expected


def verdict(settings: Settings, run_script: RunScript) -> str:
    """What verify.py prints, when all agree."""
    verify = run_script("verify.py", env=os.environ | variables(settings))
    assert verify.wait(PATIENCE) == 0, verify
    return verify.output()


def assert_two_generations(settings: Settings, consumer: Process, run_script: RunScript) -> None:
    """That records 0 to 49 were sent, those from 20 on were lost, and 100 to 199 sent after it:
    and that everything knows it."""
    everything = archived(0, 50) + archived(100, 200)
    arrive(settings, everything, consumer)
    said = verdict(settings, run_script)
    assert f"{len(everything)} events, each once and in its partition's order" in said
    assert "28 of them are no longer in Kafka, which has lost 30 records" in said

    letters = read_all(settings.kafka_bootstrap_servers, settings.kafka_dead_letter_topic)
    assert [letter.value for letter in letters] == [b"invalid %d" % number for number in BAD]
    headers = [dict(letter.headers) for letter in letters]
    assert [int(of["source.offset"]) for of in headers] == [5, 25, 45, 45]
    epochs = [int(of["source.leader_epoch"]) for of in headers]
    assert epochs == sorted(epochs)
    assert epochs[-1] > epochs[-2]

    with RedisClient.from_url(settings.redis_url) as redis:
        assert redis.lrange(settings.redis_key, 0, -1) == everything[: -CAP - 1 : -1]
        assert redis.hgetall(f"{settings.redis_key}:offsets") == {b"0": b"120"}
    text = consumer.output()
    assert text.count("Kafka has lost the records of offsets 20 to 49") == 1, text
    assert "cannot write" not in text
    assert "Traceback" not in text


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With one partition."""
    return settings.model_copy(update={"kafka_partitions": 1, "redis_max_logs": CAP})


def test_partitions_put_back_to_an_older_copy(
    run_script: RunScript,
    environment: dict[str, str],
    settings: Settings,
    own_kafka: Kafka,
    tmp_path: Path,
) -> None:
    """Each of a topic and a consumer of its own, which meanwhile is stopped, paused or runs."""
    all_settings = {
        meanwhile: settings_of(meanwhile, settings, own_kafka)
        for meanwhile in ("stopped", "paused", "running")
    }
    folders = [
        own_kafka.folder / "data" / f"{mine.kafka_topic}-0" for mine in all_settings.values()
    ]

    def send_all(values: list[bytes]) -> None:
        for mine in all_settings.values():
            send(own_kafka.bootstrap, mine.kafka_topic, values)

    def start(meanwhile: str) -> Process:
        env = environment | variables(all_settings[meanwhile])
        return run_script("consumer.py", env=env, constants=MISSED_SOON)

    for mine in all_settings.values():
        assert topics.ensure(mine, Shutdown(), topics.to_read(mine))
    send_all(records(0, 20))
    own_kafka.stop()
    for folder in folders:
        shutil.copytree(folder, tmp_path / "copy" / folder.name)
    own_kafka.start()
    own_kafka.wait_ready()
    consumers = {meanwhile: start(meanwhile) for meanwhile in all_settings}
    send_all(records(20, 50))
    for meanwhile, mine in all_settings.items():
        arrive(mine, archived(0, 50), consumers[meanwhile])

    consumers["stopped"].terminate()
    assert consumers["stopped"].wait() == 0, consumers["stopped"]
    consumers["paused"].signal(signal.SIGSTOP)
    own_kafka.kill()
    for folder in folders:
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "copy" / folder.name, folder)
    own_kafka.start()
    own_kafka.wait_ready()
    for mine in all_settings.values():
        until(lambda: leader(mine) == 1, PATIENCE)  # noqa: B023
    send_all(records(100, 200))
    consumers["stopped"] = start("stopped")
    consumers["paused"].signal(signal.SIGCONT)
    for meanwhile, mine in all_settings.items():
        assert_two_generations(mine, consumers[meanwhile], run_script)

    for consumer in consumers.values():
        consumer.kill()  # and nothing is done again, or otherwise, by the next one
    consumers = {meanwhile: start(meanwhile) for meanwhile in all_settings}
    send_all([event(200)])
    for meanwhile, mine in all_settings.items():
        everything = [*archived(0, 50), *archived(100, 200), event(200)]
        arrive(mine, everything, consumers[meanwhile])
        assert "has lost" not in consumers[meanwhile].output()


def settings_of(meanwhile: str, settings: Settings, kafka: Kafka) -> Settings:
    """With names of its own."""
    name = f"{settings.kafka_topic}-{meanwhile}"
    mine = {"kafka_topic": name, "kafka_dead_letter_topic": f"{name}.dead-letter"}
    mine |= {"kafka_group_id": name, "redis_key": name}
    log_file = settings.log_file.parent / meanwhile / "logs.txt"
    log_file.parent.mkdir()
    more = {"kafka_bootstrap_servers": kafka.bootstrap, "log_file": log_file}
    return settings.model_copy(update=mine | more)


@pytest.fixture
def brokers(tmp_path: Path, formatted: Path) -> Iterator[list[Broker]]:
    """Three brokers that form a cluster, which start at the same time."""
    controller = free_port()
    three = [Broker(tmp_path / f"broker-{n}", n, controller, formatted) for n in (1, 2, 3)]
    with ExitStack() as cleanup:
        for broker in three:
            cleanup.callback(broker.kill)
            broker.start()
        for broker in three:
            broker.wait_ready()
        yield three


def test_an_unclean_leader_election_among_three_brokers(
    run_script: RunScript,
    environment: dict[str, str],
    settings: Settings,
    brokers: list[Broker],
) -> None:
    """The third broker is away when records 20 to 49 are sent, and then leads alone."""
    first, second, third = brokers
    mine = settings.model_copy(update={"kafka_bootstrap_servers": first.bootstrap})
    create(mine, [3, 2])
    consumer = run_script("consumer.py", env=environment | variables(mine))
    send(first.bootstrap, mine.kafka_topic, records(0, 20))
    arrive(mine, archived(0, 20), consumer)
    third.kill()
    until(lambda: leader(mine) == 2, PATIENCE, "the second broker does not lead")
    send(first.bootstrap, mine.kafka_topic, records(20, 50))
    arrive(mine, archived(0, 50), consumer)

    second.kill()
    third.start()
    until(lambda: leader(mine) == 3, PATIENCE, "the third broker does not lead")
    send(first.bootstrap, mine.kafka_topic, records(100, 200))
    second.start()
    second.wait_ready()
    assert_two_generations(mine, consumer, run_script)


def create(settings: Settings, replicas: list[int]) -> None:
    """Make the topic with one partition on these brokers; the consumer's others are on the first,
    as is the group's, which does not depend on any of them."""
    servers = settings.kafka_bootstrap_servers
    shape = {"assignments": {0: replicas}}
    others = {"assignments": {0: [1]}, "configs": {"max.message.bytes": str(2**21)}}
    groups = {"assignments": {n: [1] for n in range(4)}, "configs": {"cleanup.policy": "compact"}}
    with sockets_left(), closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
        admin.create_topics(
            {
                settings.kafka_topic: shape,
                settings.kafka_dead_letter_topic: others,
                "__consumer_offsets": groups,
            },
            wait_for_metadata=True,
        )


def leader(settings: Settings) -> int:
    """The broker that leads the partition; -1 for none, or if one that is away was asked."""
    servers, found = settings.kafka_bootstrap_servers, -1
    with (
        sockets_left(),
        suppress(KafkaError),
        closing(KafkaAdminClient(bootstrap_servers=servers)) as admin,
    ):
        [topic] = admin.describe_topics([settings.kafka_topic])
        found = topic["partitions"][0]["leader_id"]
    return int(found)
