"""Settings of producer.py."""

from pathlib import Path

from pydantic import field_validator

from logpipeline.kafka.settings import KafkaSettings
from logpipeline.settings import A_PORT, folder_path, setting


class ProducerSettings(KafkaSettings):
    """The folder of --follow's positions, and the port of the metrics."""

    state_dir: Path = setting(
        Path(".state"), "folder of the positions of producer.py --follow", "a folder's path"
    )
    producer_metrics_port: int = setting(
        0, "port of producer.py's Prometheus metrics; 0: off", A_PORT, ge=0, le=65_535
    )

    @field_validator("state_dir", mode="before")
    @classmethod
    def _folder(cls, value: object) -> object:
        return folder_path(value)
