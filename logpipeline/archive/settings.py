"""Settings of the archive: logs.txt, its rotated files, and the store that they are sent to."""

from pathlib import Path
from typing import Literal

from pydantic import ByteSize, field_validator

from logpipeline.files import own_target
from logpipeline.moment import SECONDS
from logpipeline.settings import A_SIZE, RoomSettings, file_path, secret, setting, size

A_NUMBER = "a whole number from 0 to 100000"
MOST_BYTES = 2**60
PERIODS = {"minute": "1m", "hour": "1h", "day": "1d"}
A_STORE = (
    r"^(s3://([^\s/?#@:]+:[^\s/?#@:]+@)?[^\s/?#@:]+(/[^\s?#]*)?"
    r"|(gs|az)://[^\s?#@:]+|file:///[^\s?#]+)?$"
)


class LogFileSettings(RoomSettings):
    """For programs that read the archive."""

    log_file: Path = setting(
        Path("logs.txt"), "file that gets every event", "a file's path, not a folder"
    )

    @field_validator("log_file", mode="before")
    @classmethod
    def _log_file(cls, value: object) -> object:
        return file_path(value)

    @field_validator("log_file")
    @classmethod
    def _target(cls, value: Path) -> Path:
        """Follow a link that the setting names, once, here: no program follows one later."""
        try:
            return own_target(value)
        except OSError as error:
            raise ValueError(error.strerror) from error


class RotationSettings(LogFileSettings):
    """For programs that write the archive."""

    log_max_bytes: ByteSize = setting(
        0, "size at which logs.txt is rotated; 0: never", A_SIZE, ge=0, le=MOST_BYTES
    )
    log_rotate_every: str = setting(
        "",
        "how often logs.txt is rotated, at full minutes, hours, days (UTC); empty: never",
        "minute, hour, day, or such as 90s, 15m, 6h, 7d",
        pattern=r"^$|^0*[1-9]\d{0,6}[smhd]$",
    )
    log_compress: Literal["zst", "gz", "none"] = setting(
        "zst", "how rotated files are packed", "zst, gz or none"
    )
    log_keep_files: int = setting(0, "rotated files to keep; 0: all", A_NUMBER, ge=0, le=100_000)
    log_keep_days: int = setting(
        0, "days that rotated files are kept; 0: for ever", A_NUMBER, ge=0, le=100_000
    )
    log_keep_bytes: ByteSize = setting(
        0, "bytes of rotated files to keep; 0: all", A_SIZE, ge=0, le=MOST_BYTES
    )
    log_min_free_bytes: ByteSize = setting(
        0, "bytes left on the disk at which logs.txt waits", A_SIZE, ge=0, le=MOST_BYTES
    )

    @field_validator("log_max_bytes", "log_keep_bytes", "log_min_free_bytes", mode="before")
    @classmethod
    def _size(cls, value: object) -> object:
        return size(value)

    @field_validator("log_rotate_every", mode="before")
    @classmethod
    def _period(cls, value: object) -> object:
        text = str(value).strip().lower()
        return PERIODS.get(text, text)

    @property
    def log_rotate_seconds(self) -> int:
        """LOG_ROTATE_EVERY in seconds, 0 for never."""
        every = self.log_rotate_every
        return int(every[:-1]) * SECONDS[every[-1]] if every else 0


class StoreSettings(RoomSettings):
    """For programs that send rotated files to the store, or read them from it."""

    archive_url: str = secret(
        "",
        "store that rotated files are sent to before any is deleted; empty: none",
        "s3://bucket/prefix, s3://KEY:SECRET@bucket/prefix (%2F for a / of the secret), "
        "gs://bucket/prefix, az://container/prefix or file:///folder",
        pattern=A_STORE,
    )
    aws_endpoint_url: str = setting(
        "",
        "S3 server of ARCHIVE_URL; empty: Amazon's",
        "http://host, https://host or with :port",
        pattern=r"^(https?://[\w.-]+(:\d{1,4}|:[1-5]\d{4}|:6[0-4]\d{3})?/?)?$",
    )
    aws_region: str = setting(
        "us-east-1", "region of ARCHIVE_URL's bucket", "a name", pattern=r"^[\w-]+$"
    )
