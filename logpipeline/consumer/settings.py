"""Settings of consumer.py beside those of Redis and the archive."""

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
    metrics_port: int = setting(
        9100, "port of consumer.py's Prometheus metrics; 0: off", A_PORT, ge=0, le=65_535
    )
