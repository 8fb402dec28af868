"""Settings of consumer.py beside those of Redis and the archive."""

from typing import Self

from pydantic import model_validator

from logpipeline.kafka.settings import DeadLetterSettings, GroupSettings, ReaderSettings
from logpipeline.settings import A_PORT, setting


class ConsumerSettings(ReaderSettings, DeadLetterSettings, GroupSettings):
    """Its share of Kafka, and the port of its metrics."""

    kafka_client_rack: str = setting(
        "",
        "rack of consumer.py: it reads from the replica there; empty: from leaders",
        "a name without blanks, or empty",
        pattern=r"^\S*$",
    )
    kafka_consumers: int = setting(
        0,
        "consumers that have partitions of their own; 0: the group shares them",
        "a whole number from 0 to 10000",
        ge=0,
        le=10_000,
    )
    kafka_consumer_index: int = setting(
        0,
        "number of this one among KAFKA_CONSUMERS, from 0; partition p is read by p mod n",
        "a whole number from 0 to 9999",
        ge=0,
        le=9_999,
    )
    metrics_port: int = setting(
        9100, "port of consumer.py's Prometheus metrics; 0: off", A_PORT, ge=0, le=65_535
    )

    @model_validator(mode="after")
    def _one_of_the_consumers(self) -> Self:
        consumers, index = self.kafka_consumers, self.kafka_consumer_index
        if index and not consumers:
            raise self.refusal("kafka_consumer_index", "requires KAFKA_CONSUMERS above 0")
        if consumers and index >= consumers:
            raise self.refusal("kafka_consumer_index", f"must be below KAFKA_CONSUMERS={consumers}")
        return self
