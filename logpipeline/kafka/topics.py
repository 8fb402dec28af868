"""Topic: waiting for Kafka, and making the topics that are missing."""

import logging
from collections.abc import Mapping
from contextlib import closing

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from config import Settings
from logpipeline.kafka import connection
from logpipeline.outage import Outage
from logpipeline.shutdown import Shutdown

log = logging.getLogger(__name__)

# Room for a dead letter's headers beside the largest record that a default broker takes
# (message.max.bytes, 1,048,588).
DEAD_LETTER_BYTES = 2 * 2**20

Needs = Mapping[str, set[str]]  # topic → operations, by their names in Kafka's ACLs
ALL = {"READ", "WRITE", "DESCRIBE_CONFIGS"}


def to_read(settings: Settings) -> Needs:
    """What a consumer needs."""
    return {
        settings.kafka_topic: {"READ"},
        settings.kafka_dead_letter_topic: {"WRITE", "DESCRIBE_CONFIGS"},
    }


def to_send(settings: Settings) -> Needs:
    """What a producer needs: it may be one that is let do nothing else."""
    return {settings.kafka_topic: {"WRITE"}}


def ensure(settings: Settings, stop: Shutdown, needs: Needs | None = None) -> bool:
    """Wait until Kafka is there and lets us do what is needed (else what a consumer needs), and
    make the topics that are missing.

    It says once what it waits for. Returns False when `stop` was requested first.
    """
    outage = Outage(log)
    for _ in stop.backoff():
        problem = connection.problem(settings) or _make_topics(settings, needs or to_read(settings))
        if not problem:
            outage.resolve("Kafka is there")
            return True
        connection.complain(outage, "waiting", problem)
    return False


def _make_topics(settings: Settings, needs: Needs) -> str:
    """Returns "" when the topics exist and may be used, else what is in the way."""
    try:
        with closing(
            KafkaAdminClient(**connection.access(settings), bootstrap_timeout_ms=5_000)
        ) as admin:
            existing = set(admin.list_topics())
            for name in needs:
                if name not in existing:
                    _make(admin, settings, name)
            for topic in admin.describe_topics(list(needs)):
                # A broker that was not asked, or knows no ACLs, tells of none.
                missing = needs[topic["name"]].difference(topic["authorized_operations"] or ALL)
                if missing:
                    what = f"{' and '.join(sorted(missing))} on topic {topic['name']}"
                    who = connection.principal(settings)
                    return f"Kafka does not let {who} {what}: an ACL is missing"
    except (KafkaError, OSError) as error:
        reason = connection.reason(settings, error)
        return f"the topics {', '.join(needs)} can't be made or found: {reason}"
    return ""


def _make(admin: KafkaAdminClient, settings: Settings, name: str) -> None:
    """Raises KafkaError."""
    options: dict[str, object] = {
        "num_partitions": settings.kafka_partitions,
        "replication_factor": settings.kafka_replication_factor,
    }
    if name == settings.kafka_dead_letter_topic:
        options["configs"] = {"max.message.bytes": str(DEAD_LETTER_BYTES)}
    try:
        admin.create_topics({name: options}, timeout_ms=10_000, wait_for_metadata=True)
        log.info("made topic %s", name)
    except TopicAlreadyExistsError:
        pass  # somebody else was quicker
