"""Topic: waiting for Kafka, and making the topics that are missing."""

import logging
from contextlib import closing

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from config import Settings
from pipeline import broker
from pipeline.complaint import Complaint
from pipeline.stop import Stop

log = logging.getLogger(__name__)

# Room for a dead letter's headers beside the largest record that a default broker takes
# (message.max.bytes, 1,048,588).
DEAD_LETTER_BYTES = 2 * 2**20


def ensure(settings: Settings, stop: Stop) -> bool:
    """Wait until Kafka is there, and make the two topics if missing.

    It says once what it waits for. Returns False when `stop` was requested first.
    """
    complaint = Complaint(log)
    for _ in stop.backoff():
        problem = _make_topics(settings)
        if not problem:
            complaint.over("Kafka is there")
            return True
        complaint.say(f"waiting: {problem}")
    return False


def _make_topics(settings: Settings) -> str:
    """Returns "" when both topics exist, else what is in the way."""
    if problem := broker.problem(settings):
        return problem
    shape: dict[str, object] = {
        "num_partitions": settings.kafka_partitions,
        "replication_factor": settings.kafka_replication_factor,
    }
    large = {"configs": {"max.message.bytes": str(DEAD_LETTER_BYTES)}}
    wanted = {settings.kafka_topic: shape, settings.kafka_dead_letter_topic: shape | large}
    try:
        with closing(
            KafkaAdminClient(**broker.access(settings), bootstrap_timeout_ms=5_000)
        ) as admin:
            existing = set(admin.list_topics())
            for name in [name for name in wanted if name not in existing]:
                _make(admin, name, wanted[name])
    except (KafkaError, OSError) as error:
        reason = broker.reason(settings, error)
        return f"the topics {', '.join(wanted)} can't be made or found: {reason}"
    return ""


def _make(admin: KafkaAdminClient, name: str, options: dict[str, object]) -> None:
    """Raises KafkaError."""
    try:
        admin.create_topics({name: options}, timeout_ms=10_000, wait_for_metadata=True)
        log.info("made topic %s", name)
    except TopicAlreadyExistsError:
        pass  # somebody else was quicker
