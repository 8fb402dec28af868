"""Settings of reports: where the archive is."""

from logpipeline.archive.settings import LogFileSettings, StoreSettings


class ReportSettings(StoreSettings, LogFileSettings):
    """logs.txt with its rotated files, here and in the store."""
