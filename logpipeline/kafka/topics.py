"""Topics: waiting for Kafka, and creating missing topics."""

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

# Room for a dead letter's headers and the largest record that a broker accepts by default
# (message.max.bytes, 1,048,588).
DEAD_LETTER_BYTES = 2 * 2**20

ALL = {"READ", "WRITE", "DESCRIBE_CONFIGS"}


class Need(NamedTuple):
    """What a program needs of a topic: operations, by their names in Kafka's ACLs, and a maximum
    size of records in bytes (0: the broker's default)."""

    operations: frozenset[str]
    max_message_bytes: int = 0


Needs = Mapping[str, Need]  # by the topic's name


def to_read(settings: DeadLetterSettings) -> Needs:
    """The needs of a consumer."""
    dead_letters = Need(frozenset({"WRITE", "DESCRIBE_CONFIGS"}), DEAD_LETTER_BYTES)
    return {
        settings.kafka_topic: Need(frozenset({"READ"})),
        settings.kafka_dead_letter_topic: dead_letters,
    }


def to_send(settings: KafkaSettings) -> Needs:
    """The needs of a producer, which may have no other rights."""
    return {settings.kafka_topic: Need(frozenset({"WRITE"}))}


def problem(settings: KafkaSettings, needs: Needs, patience: float = connection.ANSWER) -> str:
    """Why the `needs` are not met now, "" when they are. Creates missing topics.

    Each step of connecting may take `patience` seconds.
    """
    return connection.problem(settings, patience) or _create_missing(settings, needs)


def ensure(settings: KafkaSettings, stop: Shutdown, needs: Needs) -> bool:
    """Wait until Kafka answers and allows the `needs`, and create missing topics.

    It logs once what it is waiting for. Returns False when `stop` was requested first.
    """
    outage = Outage(log)
    for _ in stop.backoff():
        why = problem(settings, needs)
        if not why:
            outage.resolve("Kafka available")
            return True
        connection.report_outage(outage, "waiting", why)
    return False


def _create_missing(settings: KafkaSettings, needs: Needs) -> str:
    """Returns the problem, or "" when the topics exist and may be used."""
    try:
        with closing(clients.admin(settings)) as admin:
            existing = set(admin.list_topics())
            for name, need in needs.items():
                if name not in existing:
                    _create(admin, settings, name, need)
            for topic in admin.describe_topics(list(needs)):
                # A broker without ACLs reports no operations.
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
        pass  # another client was faster
