"""Topic: waiting for Kafka, and making the topics that are missing."""

import logging
from collections.abc import Mapping
from contextlib import closing
from typing import NamedTuple

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from logpipeline.kafka import clients, connection
from logpipeline.kafka.settings import DeadLetterSettings, KafkaSettings
from logpipeline.outage import Outage
from logpipeline.shutdown import Shutdown

log = logging.getLogger(__name__)

# Room for a dead letter's headers beside the largest record that a default broker takes
# (message.max.bytes, 1,048,588).
DEAD_LETTER_BYTES = 2 * 2**20

ALL = {"READ", "WRITE", "DESCRIBE_CONFIGS"}


class Need(NamedTuple):
    """What is needed of a topic: operations, by their names in Kafka's ACLs, and room for records
    of so many bytes (0: the broker's default)."""

    operations: frozenset[str]
    max_message_bytes: int = 0


Needs = Mapping[str, Need]  # by the topic's name


def to_read(settings: DeadLetterSettings) -> Needs:
    """What a consumer needs."""
    dead_letters = Need(frozenset({"WRITE", "DESCRIBE_CONFIGS"}), DEAD_LETTER_BYTES)
    return {
        settings.kafka_topic: Need(frozenset({"READ"})),
        settings.kafka_dead_letter_topic: dead_letters,
    }


def to_send(settings: KafkaSettings) -> Needs:
    """What a producer needs: it may have no other rights."""
    return {settings.kafka_topic: Need(frozenset({"WRITE"}))}


def ensure(settings: KafkaSettings, stop: Shutdown, needs: Needs) -> bool:
    """Wait until Kafka answers and allows what is needed, and create the topics that are missing.

    It logs once what it waits for. Returns False when `stop` was requested first.
    """
    outage = Outage(log)
    for _ in stop.backoff():
        problem = connection.problem(settings) or _create_missing(settings, needs)
        if not problem:
            outage.resolve("Kafka is there")
            return True
        connection.complain(outage, "waiting", problem)
    return False


def _create_missing(settings: KafkaSettings, needs: Needs) -> str:
    """Returns "" when the topics exist and may be used, else what is in the way."""
    try:
        with closing(clients.admin(settings)) as admin:
            existing = set(admin.list_topics())
            for name, need in needs.items():
                if name not in existing:
                    _create(admin, settings, name, need)
            for topic in admin.describe_topics(list(needs)):
                # A broker that was not asked, or knows no ACLs, tells of none.
                missing = needs[topic["name"]].operations.difference(
                    topic["authorized_operations"] or ALL
                )
                if missing:
                    what = f"{' and '.join(sorted(missing))} on topic {topic['name']}"
                    who = connection.principal(settings)
                    return f"Kafka does not let {who} {what}: an ACL is missing"
    except (KafkaError, OSError) as error:
        reason = connection.reason(settings, error)
        return f"the topics {', '.join(needs)} cannot be created or found: {reason}"
    return ""


def _create(admin: KafkaAdminClient, settings: KafkaSettings, name: str, need: Need) -> None:
    """Raises KafkaError."""
    options: dict[str, object] = {
        "num_partitions": settings.kafka_partitions,
        "replication_factor": settings.kafka_replication_factor,
    }
    if need.max_message_bytes:
        options["configs"] = {"max.message.bytes": str(need.max_message_bytes)}
    try:
        admin.create_topics({name: options}, timeout_ms=10_000, wait_for_metadata=True)
        log.info("created topic %s", name)
    except TopicAlreadyExistsError:
        pass  # somebody else was quicker
