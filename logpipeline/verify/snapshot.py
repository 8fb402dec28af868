"""Snapshot: Kafka, Redis and logs.txt at about one moment, beside running consumers.

Each is read before what must be ahead of it: Kafka's commit, Redis, logs.txt, the dead letters and
Kafka's end. What a checkpoint accounts for never changes, so the lines can be read later; what
changes in Redis is read in one atomic step.
"""

import fcntl
import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaConnectionError
from redis import Redis

from logpipeline.archive.checkpoint import Checkpoint, CheckpointError, Topic
from logpipeline.archive.rotated import LOOK_AGAIN, LOOKS, RotatedFile, rotated
from logpipeline.events.event import LEVELS
from logpipeline.events.slices import Place
from logpipeline.kafka import clients, connection
from logpipeline.kafka.commit import Commit
from logpipeline.locks import same_file
from logpipeline.recent import redis_position
from logpipeline.recent.redis_client import check_layout, connect, is_number, known, list_key
from logpipeline.recent.redis_position import RedisPosition
from logpipeline.verify.files import ArchiveFiles, File
from logpipeline.verify.settings import VerifySettings

NAMES = ("", *LEVELS)
REQUEST_MS = 10_000
REDIS_TIMEOUT = 30.0  # seconds; its lists may be long
CATCH_UP = 20.0  # seconds in which Redis has what the archive had
STEP = 0.25  # seconds between checks
WRITING = 2.0  # seconds in which an append in progress ends


@dataclass(frozen=True)
class RedisView:
    """The contents of Redis: its position, level ("" for all) → its newest lines, newest first, and
    their number, and (minute, level) → events."""

    position: RedisPosition
    lists: dict[str, list[bytes]]
    lengths: dict[str, int]
    counts: Counter[tuple[int, str]]

    def behind(self, topic: Topic) -> dict[int, int]:
        """The partitions of which it lacks events: partition → logs.txt's next offset."""
        position = self.position.of_topic(topic.id) or {}
        return {
            partition: known.next
            for partition, known in topic.partitions.items()
            if position.get(partition, Place(0)).precedes(known.place)
        }


@dataclass(frozen=True)
class ArchiveView:
    """logs.txt after its rotated files, with the checkpoint of all; `file` is logs.txt, open, and
    `length` are the bytes of it that the checkpoint accounts for. `extra` are the bytes beyond
    that (below 0: the missing bytes) while nobody is writing."""

    files: ArchiveFiles
    file: BinaryIO
    length: int
    extra: int

    @property
    def checkpoint(self) -> Checkpoint:
        return self.files.checkpoint


@dataclass(frozen=True)
class KafkaView:
    """Topic → id, and each partition's first offset, next offset and group's commit."""

    ids: dict[str, str]
    first: dict[TopicPartition, int]
    end: dict[TopicPartition, int]
    commits: dict[TopicPartition, Commit]


@dataclass(frozen=True)
class Snapshot:
    """`behind` are the partitions of which Redis still lacked events after CATCH_UP seconds:
    partition → logs.txt's next offset then."""

    redis: RedisView
    behind: dict[int, int]
    archive: ArchiveView
    kafka: KafkaView

    @classmethod
    def take(cls, settings: VerifySettings) -> "Snapshot":
        """Raises KafkaError, redis.RedisError, CheckpointError, OSError if one cannot be read."""
        if problem := connection.problem(settings):
            raise KafkaConnectionError(problem)
        with closing(_consumer(settings)) as consumer:
            commits = _commits(consumer, settings.kafka_topic)
            seen_redis, behind = _caught_up(settings)
            archive = _archive(settings)
            names = {settings.kafka_dead_letter_topic, *archive.checkpoint.topics}
            ids, ats = _topics(settings, names)
            topic_id = ids.get(settings.kafka_topic, "")
            commits = {at: commit for at, commit in commits.items() if commit.is_of(topic_id)}
            return cls(
                seen_redis,
                behind,
                archive,
                KafkaView(
                    ids,
                    consumer.beginning_offsets(ats, timeout_ms=REQUEST_MS),
                    consumer.end_offsets(ats, timeout_ms=REQUEST_MS),
                    commits,
                ),
            )


def checkpoint_of(settings: VerifySettings) -> Checkpoint:
    """Raises CheckpointError, also if it does not have the topic; OSError."""
    path = settings.log_file.with_name(settings.log_file.name + ".checkpoint")
    checkpoint = Checkpoint.load(path)
    if checkpoint is None:
        raise CheckpointError(f"{path} is missing: no consumer has written {settings.log_file}")
    if settings.kafka_topic not in checkpoint.topics:
        known = ", ".join(checkpoint.topics)
        raise CheckpointError(f"{path} has no KAFKA_TOPIC={settings.kafka_topic}, but {known}")
    return checkpoint


def _consumer(settings: VerifySettings) -> KafkaConsumer:
    """It never joins the group; it only reads what the group has committed."""
    return clients.consumer(settings, group_id=settings.kafka_group_id)


def _commits(consumer: KafkaConsumer, name: str) -> dict[TopicPartition, Commit]:
    ats = [TopicPartition(name, n) for n in consumer.partitions_for_topic(name) or ()]
    return {
        at: Commit.of(committed)
        for at in ats
        if (committed := consumer.committed(at, metadata=True, timeout_ms=REQUEST_MS))
    }


def _topics(
    settings: VerifySettings, names: set[str]
) -> tuple[dict[str, str], list[TopicPartition]]:
    """The ids and the partitions of those topics that exist."""
    with closing(clients.admin(settings)) as admin:
        topics = [topic for topic in admin.describe_topics(sorted(names)) if topic["topic_id"]]
    ats = [
        TopicPartition(topic["name"], partition["partition_index"])
        for topic in topics
        for partition in topic["partitions"]
    ]
    return {topic["name"]: str(topic["topic_id"]) for topic in topics}, ats


def _caught_up(settings: VerifySettings) -> tuple[RedisView, dict[int, int]]:
    """Redis, once it has what logs.txt has now, and what it lacks after CATCH_UP seconds."""
    topic = checkpoint_of(settings).topics[settings.kafka_topic]
    deadline = time.monotonic() + CATCH_UP
    while True:
        seen = _redis(settings)
        behind = seen.behind(topic)
        if not behind or time.monotonic() > deadline:
            return seen, behind
        time.sleep(STEP)


def _redis(settings: VerifySettings) -> RedisView:
    key = settings.redis_key
    with connect(settings, REDIS_TIMEOUT) as client:
        check_layout(client, key)
        minutes = _minutes(client, f"{key}:counts:")
        with client.pipeline(transaction=True) as together:
            redis_position.ask(together, key)
            for level in NAMES:
                together.lrange(list_key(key, level), 0, settings.redis_max_logs - 1)
            for level in NAMES:
                together.llen(list_key(key, level))
            for minute in minutes:
                together.hmget(f"{key}:counts:{minute}", LEVELS)
            position, *rest = together.execute()
    counts = {
        (minute, level): events
        for minute, values in zip(minutes, rest[2 * len(NAMES) :], strict=True)
        for level, events in known(LEVELS, values).items()
    }
    lists, lengths = (dict(zip(NAMES, rest[n:], strict=False)) for n in (0, len(NAMES)))
    return RedisView(RedisPosition.of(position), lists, lengths, Counter(counts))


def _minutes(client: Redis, prefix: str) -> list[int]:
    """Those that Redis has counts of. Raises redis.RedisError, OSError."""
    names = client.scan_iter(f"{prefix}*", count=1_000)
    found = {name.removeprefix(prefix.encode()) for name in names}
    return sorted(int(name) for name in found if is_number(name))


def _archive(settings: VerifySettings) -> ArchiveView:
    """All files, as of one moment."""
    for _ in range(LOOKS):
        older = rotated(settings.log_file)
        checkpoint = checkpoint_of(settings)
        path = settings.log_file
        if older and older[-1].has_inode(checkpoint.inode):  # a kill in the middle of rotation
            path = older.pop().plain
        file = path.open("rb")
        if same_file(file.fileno(), path) and _same(settings, older, path, checkpoint):
            length = checkpoint.length
            extra = _extra(settings, file, length)
            newest = File(path.name, length, _reopening(file))
            return ArchiveView(ArchiveFiles.of(older, newest, checkpoint), file, length, extra)
        file.close()
        time.sleep(LOOK_AGAIN)
    raise OSError(f"cannot read {settings.log_file}: it was rotated during each try")


def _reopening(file: BinaryIO) -> Callable[[], BinaryIO]:
    """Opens the same file from its start, even if it was renamed."""

    def reopen() -> BinaryIO:
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        return os.fdopen(os.dup(file.fileno()), "rb")

    return reopen


def _same(
    settings: VerifySettings, older: list[RotatedFile], path: Path, checkpoint: Checkpoint
) -> bool:
    """Whether nothing was rotated since then."""
    again = rotated(settings.log_file)
    if path != settings.log_file:
        again.pop()
    return again == older and checkpoint_of(settings).inode == checkpoint.inode


def _extra(settings: VerifySettings, file: BinaryIO, length: int) -> int:
    """See ArchiveView. 0 while somebody holds the lock, or if somebody has written since."""
    lock_file = settings.log_file.with_name(settings.log_file.name + ".lock")
    deadline = time.monotonic() + WRITING
    while os.fstat(file.fileno()).st_size != length:
        lock = os.open(lock_file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return 0
            time.sleep(0.01)
            continue
        else:
            if checkpoint_of(settings).length != length:
                return 0
            return os.fstat(file.fileno()).st_size - length
        finally:
            os.close(lock)
    return 0
