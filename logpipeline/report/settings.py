"""Settings of reports: those of the archive."""

from logpipeline.archive.settings import LogFileSettings, StoreSettings


class ReportSettings(StoreSettings, LogFileSettings):
    """Of logs.txt, its rotated files, and the store."""
