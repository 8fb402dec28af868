"""Settings of verify.py: what names the three that it compares."""

from logpipeline.archive.settings import LogFileSettings
from logpipeline.events.settings import EventSettings
from logpipeline.kafka.settings import DeadLetterSettings, GroupSettings
from logpipeline.recent.settings import RedisSettings


class VerifySettings(
    LogFileSettings, RedisSettings, EventSettings, DeadLetterSettings, GroupSettings
):
    """Kafka, logs.txt and Redis."""
