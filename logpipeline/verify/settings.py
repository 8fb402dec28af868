"""Settings of verify.py: those of Kafka, logs.txt and Redis, which it compares."""

from logpipeline.archive.settings import LogFileSettings
from logpipeline.kafka.settings import DeadLetterSettings, GroupSettings, ReaderSettings
from logpipeline.recent.settings import RedisSettings


class VerifySettings(
    LogFileSettings, RedisSettings, ReaderSettings, DeadLetterSettings, GroupSettings
):
    """Kafka, logs.txt and Redis."""
