"""The outbox's promises against real brokers: each event once and in order, whatever they do."""

import gc
import os
import random
import re
import shutil
import uuid
from base64 import urlsafe_b64encode
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import kafka
import pytest
from kafka.admin import KafkaAdminClient
from kafka.errors import InvalidReplicationAssignmentError

from config import Settings
from logpipeline.kafka import batching, outbox
from logpipeline.kafka.batching import Batching, OneByOne
from logpipeline.kafka.outbox import Outbox
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.server import free_port
from logpipeline.shutdown import Shutdown
from tests.support.kills import kills
from tests.support.servers import GROUPS, started
from tests.support.topics import Pair, records
from tests.support.waiting import until

KEYS = 8


@contextmanager
def opened(settings: Settings) -> Iterator[Outbox]:
    stop = Shutdown()
    box = Outbox.when_ready(settings, stop)
    assert box
    with closing(box):
        try:
            yield box
        except BaseException:
            stop.request()  # otherwise it waits for a broker that the test has killed
            raise
    gc.collect()  # the sockets that a broker refused, while their warnings are ignored


def settings_for(settings: Settings, kafka: Kafka) -> Settings:
    return settings.model_copy(update={"kafka_bootstrap_servers": kafka.bootstrap})


def events(first: int, end: int, size: int = 20) -> list[Pair]:
    """Each has its number, and random bytes that no codec makes smaller."""
    return [(b"key %d" % (n % KEYS), b"%d " % n + os.urandom(size)) for n in range(first, end)]


def numbers(settings: Settings) -> dict[bytes, list[int]]:
    """Those in the topic by key, in the order of the one partition that has them."""
    found = defaultdict(list)
    where: dict[bytes, int] = {}
    topic = records(settings.kafka_bootstrap_servers, settings.kafka_topic)
    for partition, pairs in topic.items():
        for key, value in pairs:
            assert where.setdefault(key, partition) == partition
            found[key].append(int(value.split()[0]))
    return found


def in_turn(count: int, without: frozenset[int] = frozenset()) -> dict[bytes, list[int]]:
    return {
        b"key %d" % key: [n for n in range(key, count, KEYS) if n not in without]
        for key in range(KEYS)
    }


@pytest.mark.parametrize("version", [batching.KNOWN, "another"])
def test_each_event_arrives_once_in_order_with_any_version_of_the_library(
    version: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(batching, "KNOWN", version)
    refused: list[int] = []
    chance = random.Random(1)
    sent = 0
    with opened(settings) as box:
        ours = version == kafka.__version__
        assert isinstance(box._batching, Batching if ours else OneByOne)
        while sent < 20_000:
            count = chance.choice((1, 2, 30, 1_000, batching.TOGETHER + 1))
            assert box.send_all(events(sent, sent + count), refused.append)
            sent += count
            assert box.send(*events(sent, sent + 1)[0])
            sent += 1
    assert set(refused) == {0}
    assert (box.delivered, box.undelivered, box.waiting) == (sent, 0, 0)
    assert numbers(settings) == in_turn(sent)
    assert ("slower encoder" in caplog.text) is not ours


def test_bytes_delivered_are_those_of_values_that_kafka_has(
    settings: Settings, kafka_admin: KafkaAdminClient
) -> None:
    shape = {"num_partitions": 2, "configs": {"max.message.bytes": "30000"}}
    kafka_admin.create_topics({settings.kafka_topic: shape}, wait_for_metadata=True)
    with opened(settings) as box:
        good = events(0, 100, 1_000)
        box.send_all([*good, (b"key 0", os.urandom(2**20)), (b"key 1", os.urandom(40_000))])
    assert (box.delivered, box.undelivered) == (100, 2)
    assert box.delivered_bytes == sum(len(value) for _, value in good)
    assert box._bytes == 0


def test_batches_that_are_too_large_for_the_topic_are_split(
    settings: Settings, kafka_admin: KafkaAdminClient
) -> None:
    shape = {"num_partitions": 2, "configs": {"max.message.bytes": "20000"}}
    kafka_admin.create_topics({settings.kafka_topic: shape}, wait_for_metadata=True)
    acknowledged: list[tuple[int, ...]] = []
    with opened(settings) as box:
        for first in range(0, 600, 60):
            pairs = events(first, first + 60, 2_000)
            box.send_all(pairs, partial(lambda *each: acknowledged.append(each), first))
            box.settle()
    assert acknowledged == [(first, 0) for first in range(0, 600, 60)]
    assert (box.delivered, box.undelivered) == (600, 0)
    assert numbers(settings) == in_turn(600)


def test_one_record_that_the_topic_refuses_does_not_stop_the_others(
    settings: Settings, kafka_admin: KafkaAdminClient
) -> None:
    shape = {"num_partitions": 2, "configs": {"max.message.bytes": "20000"}}
    kafka_admin.create_topics({settings.kafka_topic: shape}, wait_for_metadata=True)
    refused: list[int] = []
    with opened(settings) as box:
        for first in range(0, 100, 10):
            pairs = events(first, first + 10, 50)
            if first in {30, 60}:
                pairs[5] = pairs[5][0], os.urandom(30_000)
            box.send_all(pairs, refused.append)
    assert refused == [0, 0, 0, 1, 0, 0, 1, 0, 0, 0]
    assert (box.delivered, box.undelivered) == (98, 2)
    assert numbers(settings) == in_turn(100, frozenset({35, 65}))


def test_a_broker_killed_again_and_again_loses_doubles_and_reorders_nothing(
    own_kafka: Kafka, settings: Settings
) -> None:
    settings = settings_for(settings, own_kafka)
    sent, acknowledged = 0, list[int]()
    with opened(settings) as box:
        for _ in range(kills(3)):
            # There is room for all that is sent until the broker starts again.
            until(lambda: box.settle() < outbox.MOST_EVENTS // 2, 60)
            for _ in range(20):
                box.send_all(events(sent, sent + 500), acknowledged.append)
                sent += 500
            own_kafka.kill()
            for _ in range(9):
                box.send_all(events(sent, sent + 500), acknowledged.append)
                sent += 500
            own_kafka.start()
    assert acknowledged == [0] * (sent // 500)
    assert numbers(settings) == in_turn(sent)
    assert box.outages <= 2 * kills(3)  # a slow start may interrupt the first deliveries


@contextmanager
def joined(first: Kafka, folder: Path, controller: int) -> Iterator[Kafka]:
    """A second broker, without a controller of its own."""
    port = free_port()
    meta = (first.folder / "data" / "meta.properties").read_text()
    meta = re.sub(r"node\.id=1", "node.id=2", meta)
    name = urlsafe_b64encode(uuid.uuid4().bytes).decode()[:22]
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "meta.properties").write_text(
        re.sub(r"directory\.id=.*", f"directory.id={name}", meta)
    )
    more = [
        "process.roles=broker",
        "node.id=2",
        f"controller.quorum.voters=1@127.0.0.1:{controller}",
        f"listeners=PLAINTEXT://127.0.0.1:{port}",
    ]
    second = Kafka(folder, port, GROUPS + "\n".join(more))
    try:
        second.start()
        yield second
    finally:
        second.kill()


def has_topic(admin: KafkaAdminClient, name: str) -> bool:
    """Whether both brokers have taken their share of it."""
    shares = {number: [1 + number % 2] for number in range(4)}
    with suppress(InvalidReplicationAssignmentError):  # the second is not ready yet
        admin.create_topics({name: {"assignments": shares}}, wait_for_metadata=True)
        return True
    return False


def test_of_two_brokers_one_may_be_killed(
    formatted: Path, settings: Settings, tmp_path: Path
) -> None:
    controller, port = free_port(), free_port()
    shutil.copytree(formatted, tmp_path / "first" / "data")
    more = [
        f"controller.quorum.voters=1@127.0.0.1:{controller}",
        f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
    ]
    acknowledged = list[int]()
    with started(Kafka(tmp_path / "first", port, GROUPS + "\n".join(more))) as first:
        settings = settings_for(settings, first)
        with joined(first, tmp_path / "second", controller) as second:
            with closing(KafkaAdminClient(bootstrap_servers=first.bootstrap)) as admin:
                until(partial(has_topic, admin, settings.kafka_topic), 60)
            with opened(settings) as box:
                for begin in range(0, 10_000, 500):
                    box.send_all(events(begin, begin + 500), acknowledged.append)
                until(lambda: not box.settle(), 60)
                leaders = box._producer._metadata._partitions[settings.kafka_topic].values()
                assert {each.leader_id for each in leaders} == {1, 2}
                second.kill()
                for begin in range(10_000, 20_000, 500):
                    box.send_all(events(begin, begin + 500), acknowledged.append)
                second.start()
            assert acknowledged == [0] * 40
            assert numbers(settings) == in_turn(20_000)


def test_added_partitions_are_used_and_keys_keep_their_order(
    settings: Settings, kafka_admin: KafkaAdminClient
) -> None:
    with opened(settings) as box:
        box.send_all(events(0, 1_000))
        until(lambda: not box.settle())
        kafka_admin.create_partitions({settings.kafka_topic: 9})
        metadata = box._producer._metadata
        until(lambda: metadata.request_update() and _partitions(box) == 9)
        box.send_all(events(1_000, 2_000))
    topic = records(settings.kafka_bootstrap_servers, settings.kafka_topic)
    assert len(topic) > settings.kafka_partitions
    for pairs in topic.values():
        of_key = defaultdict(list)
        for key, value in pairs:
            of_key[key].append(int(value.split()[0]))
        assert all(found == sorted(found) for found in of_key.values())
    assert sorted(int(value.split()[0]) for pairs in topic.values() for _, value in pairs) == list(
        range(2_000)
    )


def _partitions(box: Outbox) -> int:
    return len(box._producer.partitions_for(box._settings.kafka_topic))


def test_a_topic_deleted_in_the_middle_is_made_again_and_gets_what_follows(
    settings: Settings, kafka_admin: KafkaAdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "QUIET", 1.0)
    with opened(settings) as box:
        box.send_all(events(0, 1_000))
        until(lambda: not box.settle())
        kafka_admin.delete_topics([settings.kafka_topic])
        until(lambda: settings.kafka_topic not in kafka_admin.list_topics())
        for first in range(1_000, 3_000, 100):
            box.send_all(events(first, first + 100))
    assert (box.delivered, box.undelivered) == (3_000, 0)
    assert {key: found[0] for key, found in numbers(settings).items()} == {
        b"key %d" % key: 1_000 + key for key in range(KEYS)
    }
    assert sum(map(len, numbers(settings).values())) == 2_000


def test_a_new_epoch_of_the_producer_loses_and_doubles_nothing(settings: Settings) -> None:
    """The library asks for one when Kafka has forgotten its producer."""
    with opened(settings) as box:
        manager = box._producer._transaction_manager
        for first in range(0, 5_000, 500):
            box.send_all(events(first, first + 500))
            until(lambda: not box.settle())
            before = manager.producer_id_and_epoch
            manager.bump_producer_id_and_epoch()
            box.send_all(events(first + 5_000, first + 5_500))
            until(lambda: not box.settle())
            assert manager.producer_id_and_epoch != before
    assert (box.delivered, box.undelivered) == (10_000, 0)
    assert sorted(n for found in numbers(settings).values() for n in found) == list(range(10_000))


def test_a_fenced_producer_counts_what_was_refused_and_continues(settings: Settings) -> None:
    refused: list[int] = []
    with opened(settings) as box:
        manager = box._producer._transaction_manager
        box.send_all(events(0, 500), refused.append)
        until(lambda: not box.settle())
        stale = manager.producer_id_and_epoch
        manager.bump_producer_id_and_epoch()
        box.send_all(events(500, 1_000), refused.append)
        until(lambda: not box.settle())
        manager.set_producer_id_and_epoch(stale)  # as if another one had the new epoch
        box.send_all(events(1_000, 1_500), refused.append)
        until(lambda: not box.settle())
        box.send_all(events(1_500, 2_000), refused.append)
    assert refused[0] == refused[1] == refused[3] == 0
    assert refused[2] > 0
    found = sorted(n for keys in numbers(settings).values() for n in keys)
    assert len(set(found)) == len(found) == box.delivered == 2_000 - refused[2]
    assert box.undelivered == refused[2]


def test_a_call_larger_than_all_bounds_is_taken_whole(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST_EVENTS", 100)
    with opened(settings) as box:
        for first in range(0, 3_000, 1_000):
            assert box.send_all(events(first, first + 1_000))
            assert box.waiting <= 1_100
        assert box.send_all([])
    assert numbers(settings) == in_turn(3_000)


def test_a_stop_takes_none_of_a_call_that_has_no_room(
    own_kafka: Kafka, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MOST_EVENTS", 10)
    stop = Shutdown()
    box = Outbox.when_ready(settings_for(settings, own_kafka), stop)
    assert box
    assert box.send_all(events(0, 10))
    until(lambda: not box.settle())
    own_kafka.pause()
    assert box.send_all(events(10, 20))
    stop.request()
    assert not box.send_all(events(20, 30))
    assert box.waiting == 10
    own_kafka.resume()
    box.close()
    assert (box.delivered, box.undelivered) == (20, 0)
