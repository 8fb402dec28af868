"""Settings of find.py: those of the archive."""

from logpipeline.archive.settings import LogFileSettings, StoreSettings


class FindSettings(StoreSettings, LogFileSettings):
    """Of logs.txt, its rotated files, and the store."""
