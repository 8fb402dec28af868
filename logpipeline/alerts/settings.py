"""Settings of alerts.py."""

import re
from pathlib import Path

from pydantic import field_validator

from logpipeline.recent.settings import RedisSettings
from logpipeline.settings import A_PORT, file_path, secret, setting, urls


class AlertsSettings(RedisSettings):
    """The rules, the targets, and the port of the metrics."""

    alerts_metrics_port: int = setting(
        9102, "port of alerts.py's Prometheus metrics; 0: off", A_PORT, ge=0, le=65_535
    )
    alerts_file: Path = setting(
        Path("alerts.toml"), "rules of alerts.py", "a file's path, not a folder"
    )
    alert_urls: str = secret(
        "",
        "Apprise URLs that alerts.py sends notices to, in addition to the log",
        "URLs from https://appriseit.com/services/, separated by commas or spaces",
    )

    @field_validator("alert_urls")
    @classmethod
    def _urls(cls, value: str) -> str:
        if not all(re.match(r"\w[\w+.-]*://\S", url) for url in urls(value)):
            raise ValueError("not URLs")
        return value

    @field_validator("alerts_file", mode="before")
    @classmethod
    def _rules(cls, value: object) -> object:
        return file_path(value)
