"""consumer.py as a process, against real Kafka and Redis, which go away, and other trouble."""

import json
import random
import resource
import signal
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from kafka import OffsetAndMetadata, TopicPartition
from kafka.admin import KafkaAdminClient, NewPartitions
from kafka.consumer.fetcher import ConsumerRecord
from redis import Redis as RedisClient

from config import Settings
from logpipeline.archive.checkpoint import Checkpoint
from logpipeline.archive.rotated import rotated
from logpipeline.events.event import LEVELS, InvalidRecord, one_line, parse
from logpipeline.kafka import topics
from logpipeline.localstack.kafka import Kafka
from logpipeline.localstack.redis import Redis
from logpipeline.localstack.server import free_port
from logpipeline.shutdown import Shutdown
from tests.conftest import RunScript
from tests.support.archived import lines
from tests.support.forked import Forked
from tests.support.process import Process
from tests.support.records import event, large_event
from tests.support.servers import MISSED_SOON
from tests.support.topics import committed, read_all, send
from tests.support.waiting import until

CAP = 50
PATIENCE = 60.0  # seconds; this machine may be busy with something else
LOOKS_SOON = {"logpipeline.consumer.subscription.METADATA_MS": 1_000}
SAID_SOON = {"logpipeline.consumer.availability.QUIET": 1.5}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With a small cap."""
    return settings.model_copy(update={"redis_max_logs": CAP})


# The first metadata with the topic answers a request of the time before it was subscribed to, and
# kafka-python takes it for the one it still needs.
LATE_METADATA = """
import os
import sys
from kafka.cluster import ClusterMetadata

topic = os.environ["KAFKA_TOPIC"]
update = ClusterMetadata.update_metadata
late = []


def update_late(self, metadata):
    if topic in self._topics and len(late) < 2:
        late.append(metadata)
        metadata.topics = []
    update(self, metadata)


ClusterMetadata.update_metadata = update_late
import consumer
sys.exit(consumer.main())
"""


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"REDIS_MAX_LOGS": str(CAP)}


@pytest.fixture
def made(settings: Settings) -> Settings:
    """Settings whose topics exist."""
    assert topics.ensure(settings, Shutdown(), topics.to_read(settings))
    return settings


@pytest.fixture
def redis(settings: Settings) -> Iterator[RedisClient]:
    with RedisClient.from_url(settings.redis_url) as client:
        yield client


def arrive(settings: Settings, count: int, timeout: float = PATIENCE) -> None:
    seen, found = -1, 0

    def there() -> bool:
        """It reads logs.txt only when that has grown."""
        nonlocal seen, found
        path = settings.log_file
        size = path.stat().st_size if path.exists() else 0
        if size != seen:
            seen, found = size, path.read_bytes().count(b"\n") if size else 0
        return found >= count

    try:
        until(there, timeout)
    except AssertionError:
        outputs = sorted(settings.log_file.parent.glob("*.output"))
        said = "\n".join(f"{path.name}:\n{path.read_text()}" for path in outputs)
        raise AssertionError(f"{len(lines(settings))} lines, not {count}\n{said}") from None


def numbered(start: int, end: int, **fields: object) -> list[bytes]:
    return [event(number, **fields) for number in range(start, end)]


def all_sent(settings: Settings) -> list[ConsumerRecord]:
    """The records of the topic."""
    return read_all(settings.kafka_bootstrap_servers, settings.kafka_topic)


def assert_each_once_in_order(
    settings: Settings, valid: list[ConsumerRecord] | None = None
) -> None:
    """That logs.txt has every event of the topic, as in its partition, and nothing else; the
    topic's `valid` records are read if they are not given."""
    found = lines(settings)
    assert settings.log_file.read_bytes() == b"".join(line + b"\n" for line in found)
    places: dict[bytes, list[int]] = defaultdict(list)
    for place, line in enumerate(found):
        places[line].append(place)
    last: dict[int, int] = defaultdict(lambda: -1)
    for record in filter(is_valid, all_sent(settings)) if valid is None else valid:
        line = one_line(record.value)
        where = f"{record.topic}[{record.partition}]@{record.offset}"
        assert len(places[line]) == 1, f"{where} is at lines {places[line]}"
        assert places[line][0] > last[record.partition], f"{where} is out of order"
        last[record.partition] = places[line].pop()
    assert not any(places.values())


def pause_between_batches(consumer: Process) -> None:
    """SIGSTOP where it does not hold the lock of logs.txt, which would hold up the others too."""
    while True:
        consumer.signal(signal.SIGSTOP)
        locks = [row.split() for row in Path("/proc/locks").read_text().splitlines()]
        if not any(row[1] == "FLOCK" and row[4] == str(consumer.pid) for row in locks):
            return
        consumer.signal(signal.SIGCONT)
        time.sleep(0.01)


def is_stable(admin: KafkaAdminClient, settings: Settings, count: int) -> bool:
    """Whether the group has so many members, each with partitions."""
    group = admin.describe_groups([settings.kafka_group_id])[settings.kafka_group_id]
    shares = [member["member_assignment"] for member in group["members"]]
    with_some = [share for share in shares if share and share["assigned_partitions"]]
    return len(shares) == len(with_some) == count


def hostile(count: int) -> list[bytes | None]:
    """Records of every kind that the design names, of every length and byte."""
    dice = random.Random(9)
    made: list[bytes | None] = []
    for number in range(count):
        good = event(number)
        length = min(900_000, int(2 ** dice.uniform(0, 20)))
        kinds: list[bytes | None] = [
            None,
            b"",
            bytes([number % 256]) * length,
            dice.randbytes(min(length, 4_096)),
            good[: number % len(good)],
            good + bytes([128 + number % 128]),
            good.replace(b"event", bytes([128 + number % 128])),
            good.replace(b"1711", b"NaN, 1711"),
            event(number, level=None),
            event(number, message=number),
            event(number, timestamp=str(number)),
            event(number, level="LOUD" * (1 + length % 50)),
            json.dumps([number]).encode(),
            b"[" * length,
        ]
        made.append(dice.choice(kinds))
    return made


def delete_topic(kafka_admin: KafkaAdminClient, name: str) -> None:
    kafka_admin.delete_topics([name])
    until(lambda: name not in kafka_admin.list_topics(), PATIENCE, f"{name} is still there")


def is_valid(record: ConsumerRecord) -> bool:
    return reason_of(record.value) is None


def reason_of(value: bytes | None) -> str | None:
    try:
        parse(value)
    except InvalidRecord as verdict:
        return verdict.reason
    return None


def test_metadata_that_came_too_early_is_asked_for_again_at_once(
    environment: dict[str, str], made: Settings, tmp_path: Path
) -> None:
    send(made.kafka_bootstrap_servers, made.kafka_topic, numbered(0, 10))
    consumer = Forked("-c", [LATE_METADATA], tmp_path / "consumer.output", environment)
    try:
        arrive(made, 10, 10)  # it would be asked for again after 15 s
    finally:
        consumer.kill()


def test_good_events_arrive_byte_for_byte_among_two_thousand_hostile_records(
    run_script: RunScript, made: Settings, redis: RedisClient, kafka_admin: KafkaAdminClient
) -> None:
    good = numbered(0, 2_000)
    good += [
        event(9_000, message="x" * 900_000),
        event(9_001, message="".join(map(chr, range(1, 0x800)))),
        event(9_002, message="m", level="fatal", extra={"deep": [1, None]}),
        event(9_003) + b"\n",
        b'{"level":"INFO",\n "message":"\\ud800", "timestamp":1}',
    ]
    records = [*good, *hostile(2_000)]
    random.Random(1).shuffle(records)
    consumer = run_script("consumer.py")
    send(made.kafka_bootstrap_servers, made.kafka_topic, records)
    bad = Counter(value for value in records if reason_of(value))
    arrive(made, len(records) - bad.total())
    consumer.terminate()
    assert consumer.wait() == 0, consumer
    assert f"{len(records) - bad.total():,} events to the archive" in consumer.output()
    assert f"{bad.total():,} dead letters" in consumer.output()
    assert "Traceback" not in consumer.output()
    sent = all_sent(made)
    assert_each_once_in_order(made, [record for record in sent if record.value not in bad])
    assert {one_line(value) for value in good} <= {*lines(made)}

    letters = read_all(made.kafka_bootstrap_servers, made.kafka_dead_letter_topic)
    assert Counter(letter.value for letter in letters) == bad
    sources = {(record.partition, record.offset): record for record in sent}
    for letter in letters:
        headers = {name: value.decode() for name, value in letter.headers}
        assert headers["source.topic"] == made.kafka_topic
        at = int(headers["source.partition"]), int(headers["source.offset"])
        assert sources[at].value == letter.value
        assert headers["error"].isprintable()

    newest = redis.lrange(made.redis_key, 0, -1)
    assert len(newest) == len({*newest}) == CAP
    assert {*newest} <= {*lines(made)}
    assert sum(committed(kafka_admin, made).values()) == len(records)


def test_a_dead_letter_topic_for_smaller_records_gets_the_beginning(
    run_script: RunScript, made: Settings, kafka_admin: KafkaAdminClient
) -> None:
    delete_topic(kafka_admin, made.kafka_dead_letter_topic)
    shape = {"num_partitions": 1, "configs": {"max.message.bytes": "600000"}}
    kafka_admin.create_topics({made.kafka_dead_letter_topic: shape}, wait_for_metadata=True)
    noise = random.Random(3).randbytes(900_000)
    consumer = run_script("consumer.py")
    send(made.kafka_bootstrap_servers, made.kafka_topic, [noise, *numbered(0, 3)])
    arrive(made, 3)
    consumer.terminate()
    assert consumer.wait() == 0, consumer
    [letter] = read_all(made.kafka_bootstrap_servers, made.kafka_dead_letter_topic)
    assert noise.startswith(letter.value)
    assert len(letter.value) > 250_000
    assert "cut: the first" in dict(letter.headers)["error"].decode()
    assert letter.key == b"key"


def test_sigterm_under_full_load_ends_in_order_and_nothing_is_done_again(
    run_script: RunScript, made: Settings, redis: RedisClient
) -> None:
    consumer = run_script("consumer.py")
    producer = run_script("producer.py", "--rate", "0", "--count", "150000", "--malformed", "0.001")
    for count in (10_000, 60_000):
        arrive(made, count)
        consumer.terminate()
        assert consumer.wait(10) == 0, consumer
        assert consumer.output().splitlines()[-1].count("events to the archive") == 1
        consumer = run_script("consumer.py")
    assert producer.wait(PATIENCE) == 0, producer
    records = all_sent(made)
    valid = [*filter(is_valid, records)]
    arrive(made, len(valid))
    consumer.terminate()
    assert consumer.wait(10) == 0, consumer
    assert_each_once_in_order(made, valid)
    letters = read_all(made.kafka_bootstrap_servers, made.kafka_dead_letter_topic)
    assert len(letters) == len(records) - len(valid)
    counts: Counter[str] = Counter()
    for key in redis.scan_iter(f"{made.redis_key}:counts:*"):
        for level, number in redis.hgetall(key).items():
            counts[level.decode() if isinstance(level, bytes) else level] += int(number)
    assert counts == Counter(parse(line).level for line in lines(made))


def test_a_killed_consumers_share_is_taken_over_and_a_paused_one_repeats_nothing(
    run_script: RunScript, made: Settings, redis: RedisClient, kafka_admin: KafkaAdminClient
) -> None:
    """The events keep coming until all of it has happened."""
    consumers = [run_script("consumer.py", constants=MISSED_SOON) for _ in range(3)]
    until(lambda: is_stable(kafka_admin, made, len(consumers)), PATIENCE, "a member is missing")
    producer = run_script("producer.py", "--rate", "8000")
    arrive(made, 4_000)
    pause_between_batches(consumers[1])
    consumers[0].kill()
    killed = time.time()
    place, moving = made.log_file.stat().st_size, set()

    def every_partition_moves() -> bool:
        """Whether logs.txt has of each partition what was sent after the kill."""
        nonlocal place
        with made.log_file.open("rb") as log:
            log.seek(place)
            added = log.read()
        place += added.rfind(b"\n") + 1
        for line in added.split(b"\n")[:-1]:
            with suppress(ValueError):  # the first may be the rest of one that was being written
                fields = json.loads(line)
                if fields["timestamp"] > killed:
                    moving.add(fields["service"])
        return len(moving) == 8

    until(every_partition_moves, PATIENCE, "the killed consumer's partitions stand still")
    consumers[1].signal(signal.SIGCONT)
    consumers.append(run_script("consumer.py", constants=MISSED_SOON))
    until(lambda: is_stable(kafka_admin, made, len(consumers) - 1), PATIENCE, "a member is missing")
    arrive(made, len(lines(made)) + 8_000)
    producer.terminate()
    assert producer.wait(PATIENCE) == 0, producer
    sent = all_sent(made)
    arrive(made, len(sent))
    time.sleep(1)
    for consumer in consumers[1:]:
        consumer.terminate()
        assert consumer.wait() == 0, consumer
        assert "Traceback" not in consumer.output()
    assert_each_once_in_order(made, sent)
    newest = redis.lrange(made.redis_key, 0, -1)
    assert len(newest) == len({*newest}) == CAP
    offsets = {int(p): int(n) for p, n in redis.hgetall(f"{made.redis_key}:offsets").items()}
    assert offsets == committed(kafka_admin, made)


def test_kafka_away_at_start_and_later_is_waited_for(
    run_script: RunScript, environment: dict[str, str], new_kafka: Kafka, settings: Settings
) -> None:
    mine = settings.model_copy(update={"kafka_bootstrap_servers": new_kafka.bootstrap})
    env = environment | {"KAFKA_BOOTSTRAP_SERVERS": new_kafka.bootstrap}
    consumer = run_script("consumer.py", env=env, constants=SAID_SOON)
    consumer.wait_for("waiting: Kafka does not answer")
    new_kafka.start()
    consumer.wait_for("Kafka available", PATIENCE)
    send(new_kafka.bootstrap, mine.kafka_topic, numbered(0, 100))
    arrive(mine, 100)
    new_kafka.kill()
    consumer.wait_for("Kafka unavailable", PATIENCE)
    new_kafka.start()
    new_kafka.wait_ready()
    send(new_kafka.bootstrap, mine.kafka_topic, [b"no", *numbered(100, 200)])
    arrive(mine, 200)
    consumer.wait_for("Kafka available again", PATIENCE)
    consumer.terminate()
    assert consumer.wait(10) == 0, consumer
    assert consumer.output().count("Kafka unavailable") == 1
    assert "Traceback" not in consumer.output()
    assert_each_once_in_order(mine)


def test_a_stop_while_nothing_answers_takes_less_than_ten_seconds(
    run_script: RunScript,
    environment: dict[str, str],
    own_kafka: Kafka,
    own_redis: Redis,
    settings: Settings,
) -> None:
    env = environment | {"KAFKA_BOOTSTRAP_SERVERS": own_kafka.bootstrap, "REDIS_URL": own_redis.url}
    consumer = run_script("consumer.py", env=env)
    consumer.wait_for("created topic")
    until(lambda: settings.log_file.exists(), PATIENCE)
    send(own_kafka.bootstrap, settings.kafka_topic, [*numbered(0, 10), b"no"])
    arrive(settings, 10)
    own_redis.pause()
    send(own_kafka.bootstrap, settings.kafka_topic, [*numbered(10, 20), b"no"])
    arrive(settings, 20)
    own_kafka.pause()
    time.sleep(1)
    consumer.terminate()
    assert consumer.wait(10) == 0, consumer
    assert "Traceback" not in consumer.output()


def test_redis_away_holds_up_nothing(
    run_script: RunScript,
    environment: dict[str, str],
    own_redis: Redis,
    made: Settings,
) -> None:
    own_redis.kill()
    consumer = run_script("consumer.py", env=environment | {"REDIS_URL": own_redis.url})
    send(made.kafka_bootstrap_servers, made.kafka_topic, numbered(0, 500), partition=0)
    arrive(made, 500)
    consumer.wait_for("Redis unavailable; archiving continues: ")
    own_redis.start()
    consumer.wait_for("Redis available again", 20)
    with RedisClient.from_url(own_redis.url) as client:
        assert client.lrange(made.redis_key, 0, -1) == lines(made)[: -CAP - 1 : -1]
    consumer.terminate()
    assert consumer.wait(10) == 0, consumer


def test_a_disk_that_fills_up_tears_nothing_and_is_survived(
    run_script: RunScript, made: Settings
) -> None:
    """A limit on the file's size stands in for the disk: write() fails in the middle."""
    consumer = run_script("consumer.py")
    send(made.kafka_bootstrap_servers, made.kafka_topic, numbered(0, 100))
    arrive(made, 100)
    _, hard = resource.prlimit(consumer.pid, resource.RLIMIT_FSIZE)
    limit = made.log_file.stat().st_size + 10_000
    resource.prlimit(consumer.pid, resource.RLIMIT_FSIZE, (limit, hard))
    send(made.kafka_bootstrap_servers, made.kafka_topic, numbered(100, 1_000))
    consumer.wait_for("cannot write, retrying: [Errno 27] File too large")
    time.sleep(2.5)
    assert made.log_file.read_bytes().endswith(b"\n")
    resource.prlimit(consumer.pid, resource.RLIMIT_FSIZE, (hard, hard))
    arrive(made, 1_000)
    consumer.wait_for("logs.txt: writing again")
    consumer.terminate()
    assert consumer.wait(10) == 0, consumer
    assert consumer.output().count("cannot write") == 1
    assert_each_once_in_order(made)


def test_logs_txt_is_rotated_and_packed_while_redis_gets_the_newest_from_all_files(
    run_script: RunScript, environment: dict[str, str], made: Settings, redis: RedisClient
) -> None:
    port = free_port()
    settings = {"LOG_MAX_BYTES": "2000", "LOG_COMPRESS": "gz", "METRICS_PORT": str(port)}
    consumer = run_script(
        "consumer.py",
        env=environment | settings,
        constants={"logpipeline.recent.recent.LOOK_AFTER": 0.5},
    )
    send(made.kafka_bootstrap_servers, made.kafka_topic, numbered(0, 300), partition=0)
    everything = numbered(0, 300)

    def archived() -> list[bytes]:
        found: list[bytes] = []
        for file in rotated(made.log_file):
            with file.open() as content:
                found += content.read().splitlines()
        return found + lines(made)

    until(lambda: made.log_file.exists() and archived() == everything, PATIENCE, str(consumer))
    until(lambda: len([*made.log_file.parent.glob("logs-*.txt.gz")]) == len(rotated(made.log_file)))
    count = len(rotated(made.log_file))
    assert count > 5
    until(lambda: f"log_consumer_rotated_files {count}.0" in metrics(port), PATIENCE)
    assert f"log_consumer_rotations_total {count}.0" in metrics(port)
    consumer.signal(signal.SIGHUP)
    consumer.wait_for("SIGHUP received: looking for moved files")
    assert len(lines(made)) < CAP
    redis.delete(*redis.scan_iter(f"{made.redis_key}*"))
    until(lambda: redis.llen(made.redis_key) == CAP, PATIENCE, str(consumer))
    assert redis.lrange(made.redis_key, 0, -1) == everything[: -CAP - 1 : -1]
    consumer.terminate()
    assert consumer.wait(10) == 0, consumer


def metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
        return text


def test_logs_txt_in_a_folder_that_is_missing_is_one_line_and_waited_for(
    run_script: RunScript, environment: dict[str, str], made: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "archive" / "logs.txt"
    mine = made.model_copy(update={"log_file": path})
    consumer = run_script("consumer.py", "--log-file", str(path))
    consumer.wait_for(f"{path}: cannot write, retrying: [Errno 2] No such file or directory")
    path.parent.mkdir()
    send(made.kafka_bootstrap_servers, made.kafka_topic, numbered(0, 5))
    arrive(mine, 5)
    assert consumer.output().count("cannot write") == 1
    consumer.terminate()
    assert consumer.wait(10) == 0, consumer


def test_a_corrupt_checkpoint_is_said_once_and_its_removal_heals(
    run_script: RunScript, made: Settings, kafka_admin: KafkaAdminClient
) -> None:
    consumer = run_script("consumer.py", constants=MISSED_SOON)
    send(made.kafka_bootstrap_servers, made.kafka_topic, numbered(0, 10))
    until(lambda: sum(committed(kafka_admin, made).values()) == 10, PATIENCE)
    consumer.kill()
    checkpoint = made.log_file.with_name("logs.txt.checkpoint")
    checkpoint.write_bytes(b"{")
    consumer = run_script("consumer.py")
    consumer.wait_for("is not a checkpoint")
    send(made.kafka_bootstrap_servers, made.kafka_topic, numbered(10, 20))
    time.sleep(2.5)
    assert consumer.running()
    assert len(lines(made)) == 10
    assert consumer.output().count("is not a checkpoint") == 1
    checkpoint.unlink()
    arrive(made, 20)
    consumer.terminate()
    assert consumer.wait(10) == 0, consumer
    assert_each_once_in_order(made)


def test_what_kafka_has_deleted_unread_is_counted_as_a_gap(
    run_script: RunScript, made: Settings, kafka_admin: KafkaAdminClient
) -> None:
    consumer = run_script("consumer.py", constants=MISSED_SOON)
    send(made.kafka_bootstrap_servers, made.kafka_topic, numbered(0, 10), partition=1)
    until(lambda: committed(kafka_admin, made).get(1) == 10, PATIENCE)
    consumer.kill()
    send(made.kafka_bootstrap_servers, made.kafka_topic, numbered(10, 40), partition=1)
    kafka_admin.delete_records({TopicPartition(made.kafka_topic, 1): 25})
    consumer = run_script("consumer.py")
    arrive(made, 25)
    assert f"{made.kafka_topic}[1]: Kafka deleted offsets 10 to 24" in consumer.output()
    assert "15 records are lost" in consumer.output()
    consumer.terminate()
    assert consumer.wait(10) == 0, consumer
    assert lines(made) == numbered(0, 10) + numbered(25, 40)


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_a_topic_made_again_is_noticed_and_read_from_its_first_record(
    run_script: RunScript, made: Settings, kafka_admin: KafkaAdminClient, running: bool
) -> None:
    consumer = run_script("consumer.py", constants=MISSED_SOON | LOOKS_SOON)
    send(made.kafka_bootstrap_servers, made.kafka_topic, numbered(0, 20), partition=0)
    until(lambda: committed(kafka_admin, made).get(0) == 20, PATIENCE)
    if not running:
        consumer.kill()
    delete_topic(kafka_admin, made.kafka_topic)
    assert topics.ensure(made, Shutdown(), topics.to_read(made))
    send(made.kafka_bootstrap_servers, made.kafka_topic, numbered(100, 130), partition=0)
    if not running:
        consumer = run_script("consumer.py")
    arrive(made, 50)
    assert lines(made) == numbered(0, 20) + numbered(100, 130)
    assert consumer.output().count("was deleted and created again") == 1
    consumer.terminate()
    assert consumer.wait(10) == 0, consumer


@pytest.mark.parametrize("whose", ["its own", "another host's", "an older version's own"])
def test_a_commit_that_outlives_its_topic_is_not_taken_for_the_new_ones(
    run_script: RunScript, made: Settings, kafka_admin: KafkaAdminClient, whose: str
) -> None:
    at = TopicPartition(made.kafka_topic, 0)
    consumer = run_script("consumer.py")
    send(made.kafka_bootstrap_servers, made.kafka_topic, numbered(0, 20), partition=0)
    until(lambda: committed(kafka_admin, made).get(0) == 20, PATIENCE)
    consumer.terminate()
    assert consumer.wait(10) == 0, consumer
    outlives = kafka_admin.list_group_offsets(made.kafka_group_id)[made.kafka_group_id][at]
    checkpoint = Checkpoint.load(made.log_file.with_name("logs.txt.checkpoint"))
    assert checkpoint
    mark = str(outlives.metadata)
    if whose == "another host's":
        mark = mark.replace(checkpoint.archive, "f00d")
    elif whose == "an older version's own":
        mark = checkpoint.archive
    delete_topic(kafka_admin, made.kafka_topic)
    assert topics.ensure(made, Shutdown(), topics.to_read(made))
    send(made.kafka_bootstrap_servers, made.kafka_topic, numbered(100, 130), partition=0)
    kafka_admin.alter_group_offsets(
        made.kafka_group_id, {at: OffsetAndMetadata(outlives.offset, mark, -1)}
    )
    assert committed(kafka_admin, made).get(0) == 20
    run_script("consumer.py")
    arrive(made, 50)
    assert lines(made) == numbered(0, 20) + numbered(100, 130)


def test_partitions_that_are_added_are_read_too(
    run_script: RunScript, made: Settings, kafka_admin: KafkaAdminClient
) -> None:
    consumer = run_script("consumer.py", constants=LOOKS_SOON)
    send(made.kafka_bootstrap_servers, made.kafka_topic, numbered(0, 10))
    arrive(made, 10)
    kafka_admin.create_partitions({made.kafka_topic: NewPartitions(6)})
    send(made.kafka_bootstrap_servers, made.kafka_topic, numbered(10, 20), partition=5)
    arrive(made, 20)
    consumer.terminate()
    assert consumer.wait(10) == 0, consumer
    assert_each_once_in_order(made)


def test_another_hosts_archive_goes_on_where_the_group_is(
    run_script: RunScript, made: Settings, tmp_path: Path
) -> None:
    elsewhere = made.model_copy(update={"log_file": tmp_path / "elsewhere.txt"})
    counts = [0, 0]
    for turn in range(4):
        mine = (made, elsewhere)[turn % 2]
        consumer = run_script("consumer.py", "--log-file", str(mine.log_file))
        values = numbered(10 * turn, 10 * turn + 10)
        send(made.kafka_bootstrap_servers, made.kafka_topic, values, partition=0)
        counts[turn % 2] += 10
        arrive(mine, counts[turn % 2])
        consumer.terminate()
        assert consumer.wait(10) == 0, consumer
    assert lines(made) == numbered(0, 10) + numbered(20, 30)
    assert lines(elsewhere) == numbered(10, 20) + numbered(30, 40)


@pytest.mark.parametrize(
    "argv", [["--kafka-topic", "a b"], ["--redis-max-logs", "0"], ["--log-file", "/"]]
)
def test_nonsense_is_refused_in_one_line(run_script: RunScript, argv: list[str]) -> None:
    consumer: Process = run_script("consumer.py", *argv)
    assert consumer.wait() == 2
    assert consumer.output().count("\n") == 1
    assert "must be" in consumer.output()


def test_the_largest_events_while_redis_is_away_take_no_more_memory_than_is_said(
    run_script: RunScript, environment: dict[str, str], own_redis: Redis, made: Settings
) -> None:
    """300 MB of them in all levels, and as many invalid records; then Redis gets the newest."""
    most, large = 300 * 10**6, b"x" * 10**6
    env = environment | {"REDIS_URL": own_redis.url, "REDIS_MAX_LOGS": "1000"}
    consumer = run_script("consumer.py", env=env, forked=False)
    send(made.kafka_bootstrap_servers, made.kafka_topic, numbered(0, 1), partition=0)
    arrive(made, 1)
    own_redis.kill()
    count, size = 1, made.log_file.stat().st_size
    for _ in range(6):
        good = [large_event(count + n, large, level=LEVELS[n % 5]) for n in range(1, 100, 2)]
        values = [value for each in good for value in (large, each)]
        send(made.kafka_bootstrap_servers, made.kafka_topic, values, partition=0)
        count += len(good)
        size += sum(len(each) + 1 for each in good)
        until(lambda: made.log_file.stat().st_size >= size, PATIENCE, str(consumer))  # noqa: B023
    found = lines(made)
    assert len(found) == count
    assert peak(consumer.pid) < most, f"{peak(consumer.pid):,} bytes"
    own_redis.start()
    consumer.wait_for("Redis available again, with the newest events")
    with RedisClient.from_url(own_redis.url) as client:
        newest = client.lrange(made.redis_key, 0, -1)
        assert newest == found[: -len(newest) - 1 : -1]
        assert 4 * 2**20 <= sum(map(len, newest)) <= 64 * 2**20
        assert client.info("memory")["used_memory_peak"] < 400 * 2**20
    assert peak(consumer.pid) < most, f"{peak(consumer.pid):,} bytes"
    consumer.terminate()
    assert consumer.wait(10) == 0, consumer


def peak(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])
