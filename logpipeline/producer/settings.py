"""Settings of producer.py."""

import re
from pathlib import Path

from pydantic import field_validator

from logpipeline.kafka.settings import KafkaSettings
from logpipeline.settings import A_PORT, folder_path, setting


class ProducerSettings(KafkaSettings):
    """How the lines of files become events, the folder of --follow's positions, the metrics."""

    multiline: str = setting(
        "auto",
        "join the lines of one event: auto, off, or a regular expression of its first line",
        "auto, off, or a regular expression",
    )
    state_dir: Path = setting(
        Path(".state"), "folder of the positions of producer.py --follow", "a folder's path"
    )
    follow_unfinished_seconds: int = setting(
        10,
        "seconds after which --follow sends a last line without a newline; 0: never",
        "a whole number from 0 to 86400",
        ge=0,
        le=86_400,
    )
    producer_metrics_port: int = setting(
        0, "port of producer.py's Prometheus metrics; 0: off", A_PORT, ge=0, le=65_535
    )

    @field_validator("state_dir", mode="before")
    @classmethod
    def _folder(cls, value: object) -> object:
        return folder_path(value)

    @field_validator("multiline")
    @classmethod
    def _pattern(cls, value: str) -> str:
        try:
            re.compile(value.encode())
        except (re.error, UnicodeEncodeError) as error:
            raise ValueError("not a regular expression") from error
        if not value:
            raise ValueError("empty")
        return value
