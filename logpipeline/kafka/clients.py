"""Clients of Kafka: every one is made here, so that all connect in the same way.

A client that finds no broker raises after BOOTSTRAP_MS: whoever makes one retries. kafka-python's
own metrics are off, as nothing reads them and they cost time for each record.
"""

from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from logpipeline.kafka import connection
from logpipeline.kafka.settings import KafkaSettings

BOOTSTRAP_MS = 5_000
# A broker is tried again each second: by default kafka-python reads again 38 s after a broker's
# return, and so 11 s.
QUICK = {"reconnect_backoff_max_ms": 1_000, "metrics_enabled": False}


def admin(settings: KafkaSettings) -> KafkaAdminClient:
    """Raises KafkaError, OSError."""
    return KafkaAdminClient(**connection.access(settings), bootstrap_timeout_ms=BOOTSTRAP_MS)


def consumer(settings: KafkaSettings, **options: Any) -> KafkaConsumer:
    """One that commits nothing by itself, and sees of a transaction only what was committed.

    Raises KafkaError, OSError.
    """
    return KafkaConsumer(
        **connection.access(settings),
        enable_auto_commit=False,
        isolation_level="read_committed",
        **QUICK | options,
    )


def producer(settings: KafkaSettings, **options: Any) -> KafkaProducer:
    """Raises KafkaError, OSError."""
    return KafkaProducer(
        **connection.access(settings), bootstrap_timeout_ms=BOOTSTRAP_MS, **QUICK | options
    )
