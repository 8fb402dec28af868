"""Hosts with partitions of their own, each with its own logs.txt: each event is once in one."""

import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import OffsetAndMetadata, TopicPartition
from kafka.admin import KafkaAdminClient, NewPartitions
from redis import Redis as RedisClient

from config import Settings
from logpipeline.archive.checkpoint import Checkpoint
from logpipeline.kafka import topics
from logpipeline.localstack.server import free_port
from logpipeline.shutdown import Shutdown
from tests.conftest import RunScript
from tests.support.process import Process
from tests.support.records import event
from tests.support.topics import committed, send, sending
from tests.support.waiting import until
from verify import main as verify_main

PATIENCE = 60.0
PARTITIONS = 4
# How soon others, added partitions and an outage are noticed.
SOON = {
    "logpipeline.consumer.assignment.LOOK_EVERY": 1.0,
    "logpipeline.consumer.assignment.TWIN_EVERY": 1.0,
    "logpipeline.consumer.availability.QUIET": 1.5,
    "logpipeline.consumer.subscription.METADATA_MS": 1_000,
}
StartHost = Callable[..., Process]
Verify = Callable[..., tuple[int, str]]


@pytest.fixture
def made(settings: Settings) -> Settings:
    """Settings whose topics exist."""
    assert topics.ensure(settings, Shutdown(), topics.to_read(settings))
    return settings


@pytest.fixture
def start(run_script: RunScript, tmp_path: Path) -> StartHost:
    """Starts consumer number `index` of `n`, or a member of the group for n = 0, on that host."""

    def started(index: int, n: int, host: int | None = None, port: int = 0) -> Process:
        path = logs_txt(tmp_path, index if host is None else host)
        path.parent.mkdir(exist_ok=True)
        own = ["--kafka-consumers", str(n), "--kafka-consumer-index", str(index)]
        flags = ["--log-file", str(path), "--metrics-port", str(port), *(own if n else [])]
        return run_script("consumer.py", *flags, constants=SOON)

    return started


def logs_txt(folder: Path, host: int) -> Path:
    return folder / f"host-{host}" / "logs.txt"


def lines(folder: Path, host: int) -> list[bytes]:
    path = logs_txt(folder, host)
    return path.read_bytes().splitlines() if path.exists() else []


def put(settings: Settings, start: int, end: int, partitions: int = PARTITIONS) -> None:
    """Send the events of these numbers, each to the partition of its number."""
    with sending(settings.kafka_bootstrap_servers) as send_to:
        for partition in range(partitions):
            values = [event(n) for n in range(start, end) if n % partitions == partition]
            send_to(settings.kafka_topic, values, partition=partition)


def of(index: int, n: int, start: int, end: int, partitions: int = PARTITIONS) -> Counter[bytes]:
    """What that consumer reads of what `put` has sent."""
    return Counter(event(k) for k in range(start, end) if k % partitions % n == index)


def assert_has(folder: Path, host: int, wanted: Counter[bytes], process: Process) -> None:
    until(
        lambda: len(lines(folder, host)) >= wanted.total(),
        PATIENCE,
        f"{len(lines(folder, host))} lines, not {wanted.total()}: {process}",
    )
    assert Counter(lines(folder, host)) == wanted


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except OSError:
        return False


def stop(*processes: Process) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        assert process.wait(15) == 0, str(process)
        assert "Traceback" not in process.output()


def next_offsets(folder: Path, host: int, settings: Settings) -> dict[int, int]:
    path = logs_txt(folder, host)
    checkpoint = Checkpoint.load(path.with_name("logs.txt.checkpoint"))
    assert checkpoint
    known = checkpoint.topics[settings.kafka_topic].partitions
    return {partition: at.next for partition, at in known.items()}


def test_each_reads_its_own_partitions_whoever_dies_and_comes_back(
    start: StartHost, made: Settings, kafka_admin: KafkaAdminClient, tmp_path: Path
) -> None:
    hosts = [start(0, 2), start(1, 2)]
    put(made, 0, 40)
    for index, process in enumerate(hosts):
        assert_has(tmp_path, index, of(index, 2, 0, 40), process)
    hosts[0].kill()
    put(made, 40, 80)
    assert_has(tmp_path, 1, of(1, 2, 0, 80), hosts[1])
    hosts[1].kill()
    hosts = [start(0, 2), start(1, 2)]
    for index, process in enumerate(hosts):
        assert_has(tmp_path, index, of(index, 2, 0, 80), process)
    put(made, 80, 120)
    for index, process in enumerate(hosts):
        assert_has(tmp_path, index, of(index, 2, 0, 120), process)
    stop(*hosts)
    assert committed(kafka_admin, made) == dict.fromkeys(range(PARTITIONS), 30)
    assert next_offsets(tmp_path, 0, made) == {0: 30, 2: 30}
    assert next_offsets(tmp_path, 1, made) == {1: 30, 3: 30}


def test_partitions_that_are_added_are_read_by_the_one_whose_they_are(
    start: StartHost, made: Settings, kafka_admin: KafkaAdminClient, tmp_path: Path
) -> None:
    """Also by one that had none before."""
    hosts = [start(index, 6) for index in (0, 5)]
    put(made, 0, 40)
    assert_has(tmp_path, 0, of(0, 6, 0, 40), hosts[0])
    kafka_admin.create_partitions({made.kafka_topic: NewPartitions(7)})
    put(made, 0, 70, partitions=7)
    assert_has(tmp_path, 5, of(5, 6, 0, 70, partitions=7), hosts[1])
    assert_has(tmp_path, 0, of(0, 6, 0, 40) + of(0, 6, 0, 70, partitions=7), hosts[0])
    stop(*hosts)


@pytest.mark.parametrize("offset", [0, 30], ids=["behind", "ahead"])
def test_a_tools_commit_makes_a_host_neither_repeat_nor_skip(
    start: StartHost, made: Settings, kafka_admin: KafkaAdminClient, tmp_path: Path, offset: int
) -> None:
    host = start(0, 2)
    put(made, 0, 40)
    assert_has(tmp_path, 0, of(0, 2, 0, 40), host)
    host.kill()
    put(made, 40, 160)
    at = TopicPartition(made.kafka_topic, 0)
    kafka_admin.alter_group_offsets(made.kafka_group_id, {at: OffsetAndMetadata(offset, "", -1)})
    host = start(0, 2)
    assert_has(tmp_path, 0, of(0, 2, 0, 160), host)
    stop(host)


def test_another_number_of_hosts_after_all_have_stopped(
    start: StartHost, made: Settings, tmp_path: Path
) -> None:
    """From two to three and back: a partition continues in its new host's file."""
    sent, found = 0, [Counter[bytes]() for _ in range(3)]
    for n in (2, 3, 2):
        hosts = [start(index, n) for index in range(n)]
        put(made, sent, sent + 40)
        for index, process in enumerate(hosts):
            found[index] += of(index, n, sent, sent + 40)
            assert_has(tmp_path, index, found[index], process)
        sent += 40
        stop(*hosts)


def test_a_host_with_an_empty_disk_continues_where_the_one_before_it_has_committed(
    start: StartHost, made: Settings, kafka_admin: KafkaAdminClient, tmp_path: Path
) -> None:
    host = start(0, 2)
    put(made, 0, 40)
    assert_has(tmp_path, 0, of(0, 2, 0, 40), host)
    until(lambda: committed(kafka_admin, made).get(2) == 10, PATIENCE)
    host.kill()
    put(made, 40, 80)
    successor = start(0, 2, host=9)
    assert_has(tmp_path, 9, of(0, 2, 40, 80), successor)
    stop(successor)
    host = start(0, 2)
    put(made, 80, 120)
    assert_has(tmp_path, 0, of(0, 2, 0, 40) + of(0, 2, 80, 120), host)
    stop(host)


def test_a_group_that_shares_the_partitions_is_waited_for_and_its_commits_are_continued(
    start: StartHost, made: Settings, tmp_path: Path
) -> None:
    member = start(0, 0, host=7)
    put(made, 0, 40)
    assert_has(tmp_path, 7, of(0, 1, 0, 40), member)
    port = free_port()
    host = start(1, 2, port=port)
    host.wait_for(f"KAFKA_GROUP_ID={made.kafka_group_id}: consumers without KAFKA_CONSUMERS share")
    put(made, 40, 80)
    assert_has(tmp_path, 7, of(0, 1, 0, 80), member)
    assert lines(tmp_path, 1) == []
    until(lambda: is_ready(port), PATIENCE, str(host))  # or a rolling update would stand still
    stop(member)
    host.wait_for("reading its own partitions", PATIENCE)
    put(made, 80, 120)
    assert_has(tmp_path, 1, of(1, 2, 80, 120), host)
    stop(host)


def test_a_group_that_joins_later_is_an_error_in_the_log(
    start: StartHost, made: Settings, tmp_path: Path
) -> None:
    host = start(1, 2)
    put(made, 0, 40)
    assert_has(tmp_path, 1, of(1, 2, 0, 40), host)
    member = start(0, 0, host=7)
    put(made, 40, 80)
    assert_has(tmp_path, 1, of(1, 2, 0, 80), host)
    until(lambda: lines(tmp_path, 7), PATIENCE, str(member))
    sent = 80
    deadline = time.monotonic() + PATIENCE
    while "they may store this consumer's events, too" not in host.output():
        assert time.monotonic() < deadline, str(host)
        put(made, sent, sent + 4)
        sent += 4
    assert host.output().count("ERROR") == 1
    stop(host, member)


def test_a_commit_that_kafka_has_forgotten_of_a_quiet_partition_is_made_again(
    made: Settings,
    kafka_admin: KafkaAdminClient,
    environment: dict[str, str],
    run_script: RunScript,
) -> None:
    """It forgets one after a week; here a commit is repeated each second, not each hour."""
    host = run_script(
        "consumer.py",
        env=environment | {"KAFKA_CONSUMERS": "2"},
        constants={"logpipeline.consumer.assignment.COMMIT_EVERY": 1.0},
    )
    put(made, 0, 40)
    until(lambda: committed(kafka_admin, made) == {0: 10, 2: 10}, PATIENCE, str(host))
    ats = [TopicPartition(made.kafka_topic, n) for n in (0, 2)]
    kafka_admin.delete_group_offsets(made.kafka_group_id, ats)
    until(lambda: committed(kafka_admin, made) == {0: 10, 2: 10}, PATIENCE, str(host))
    stop(host)


def test_two_hosts_with_the_same_index_are_an_error_in_the_log(
    start: StartHost, made: Settings, tmp_path: Path
) -> None:
    hosts = [start(0, 2), start(0, 2, host=7)]
    deadline = time.monotonic() + PATIENCE
    sent = 0
    while not any("another consumer reads" in host.output() for host in hosts):
        assert time.monotonic() < deadline, str(hosts[0])
        put(made, sent, sent + 4)
        sent += 4
    outputs = "".join(host.output() for host in hosts)
    assert f"KAFKA_CONSUMER_INDEX=0: another consumer reads {made.kafka_topic}[" in outputs
    stop(*hosts)


@pytest.fixture
def verify(run_script: RunScript, tmp_path: Path) -> Verify:
    """Runs verify.py for these hosts. Returns its exit status and what it prints."""

    def run(*hosts: int) -> tuple[int, str]:
        flags = [flag for host in hosts for flag in ("--archive", str(logs_txt(tmp_path, host)))]
        process = run_script("verify.py", *flags)
        return process.wait(PATIENCE), process.output()

    return run


@pytest.fixture
def three(start: StartHost, made: Settings, tmp_path: Path) -> tuple[Path, Settings]:
    """The folder of three hosts that have stored events and invalid records."""
    hosts = [start(index, 3) for index in range(3)]
    put(made, 0, 120)
    send(made.kafka_bootstrap_servers, made.kafka_topic, [b"broken", event(120)], partition=1)
    for index, process in enumerate(hosts):
        more = Counter([event(120)] if index == 1 else [])
        assert_has(tmp_path, index, of(index, 3, 0, 120) + more, process)
    stop(*hosts)
    return tmp_path, made


def test_the_archives_of_all_hosts_agree_with_kafka_and_redis(
    three: tuple[Path, Settings], verify: Verify
) -> None:
    status, said = verify(0, 1, 2)
    assert status == 0, said
    assert said.count("agrees: ") == 8
    assert "together agrees: 4 partitions, each record in one of 3 files\n" in said
    assert "Redis    agrees: 121 newest events and those of each level" in said


def test_a_redis_that_two_hosts_share_and_that_is_emptied_doubles_nothing(
    start: StartHost, made: Settings, verify: Verify, tmp_path: Path
) -> None:
    hosts = [start(0, 2), start(1, 2)]
    put(made, 0, 40)
    for index, process in enumerate(hosts):
        assert_has(tmp_path, index, of(index, 2, 0, 40), process)
    with RedisClient.from_url(made.redis_url) as redis:
        until(lambda: redis.llen(made.redis_key) == 40, PATIENCE)
        assert Counter(redis.lrange(made.redis_key, 0, -1)) == of(0, 1, 0, 40)
        redis.delete(*redis.scan_iter(f"{made.redis_key}*"))
        put(made, 40, 80)
        wanted = {str(n).encode(): b"20" for n in range(PARTITIONS)}
        until(lambda: redis.hgetall(f"{made.redis_key}:offsets") == wanted, PATIENCE)
        newest = Counter(redis.lrange(made.redis_key, 0, -1))
        assert Counter() < newest <= of(0, 1, 0, 80)
    stop(*hosts)
    status, said = verify(0, 1)
    assert status == 0, said


def test_the_events_of_a_host_that_is_left_out_are_in_none_of_the_files(
    three: tuple[Path, Settings], verify: Verify
) -> None:
    status, said = verify(0, 2)
    assert status == 1
    topic = three[1].kafka_topic
    text = f"together DIFFERS: 31 in none of them: {topic}[1]@0 to 29, {topic}[1]@31"
    assert text in said


def test_a_batch_that_a_second_host_repeats_is_named(
    three: tuple[Path, Settings], run_script: RunScript, verify: Verify
) -> None:
    """A consumer of another group stores all of it again."""
    folder, settings = three
    logs_txt(folder, 8).parent.mkdir()
    flags = ["--kafka-group-id", f"{settings.kafka_group_id}-8", "--redis-key", "another"]
    other = run_script("consumer.py", "--log-file", str(logs_txt(folder, 8)), *flags)
    assert_has(folder, 8, of(0, 1, 0, 121), other)
    stop(other)
    status, said = verify(0, 1, 2, 8)
    assert status == 1
    both = f"in both {logs_txt(folder, 1)} and {logs_txt(folder, 8)}"
    topic = settings.kafka_topic
    assert f"; 31 {both}: {topic}[1]@0 to 29, {topic}[1]@31; " in said


def test_a_damaged_file_among_several_is_named(
    three: tuple[Path, Settings], verify: Verify
) -> None:
    folder, settings = three
    path = logs_txt(folder, 2)
    damaged = path.read_bytes().replace(b'event 2"', b'event X"')
    path.write_bytes(damaged)
    status, said = verify(0, 1, 2)
    assert status == 1
    [line] = [row for row in said.splitlines() if row.startswith(f"{path} ")]
    assert f"DIFFERS: 1 missing: {settings.kafka_topic}[2]@0; 1 unknown to Kafka: line 1" in line


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--archive", "a", "--log-file", "b"], "--archive cannot be used with --log-file"),
        (["--archive", "a", "--archive", "a"], "--archive: each must be another file"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        verify_main(flags)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"verify.py: {message}\n"
