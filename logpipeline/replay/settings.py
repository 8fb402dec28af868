"""Settings of replay.py: the dead letters and the archive."""

from logpipeline.archive.settings import LogFileSettings
from logpipeline.kafka.settings import DeadLetterSettings, ReaderSettings


class ReplaySettings(LogFileSettings, ReaderSettings, DeadLetterSettings):
    """Those of the sources and of the topic."""
