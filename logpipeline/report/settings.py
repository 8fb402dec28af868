"""Settings of reports: those of the archive."""

from logpipeline.archive.settings import LogFileSettings, StoreSettings
from logpipeline.settings import ShownTimesSettings


class ReportSettings(ShownTimesSettings, StoreSettings, LogFileSettings):
    """Of logs.txt, its rotated files, and the store; and the zone of its times."""
