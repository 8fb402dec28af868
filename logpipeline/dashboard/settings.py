"""Settings of dashboard.py."""

from typing import Self

from pydantic import model_validator

from logpipeline import hosts
from logpipeline.archive.settings import LogFileSettings, StoreSettings
from logpipeline.recent.settings import RedisSettings
from logpipeline.settings import A_HOST, ShownTimesSettings, secret, setting


class DashboardSettings(ShownTimesSettings, StoreSettings, LogFileSettings, RedisSettings):
    """The page's address and password, and the archive that it searches."""

    dashboard_port: int = setting(
        8080, "port of the web page", "a whole number from 1 to 65535", ge=1, le=65_535
    )
    dashboard_host: str = setting(
        "127.0.0.1",
        "address of the web page",
        "a host name or address",
        pattern=A_HOST,
    )
    dashboard_password: str = secret(
        "",
        "password of the web page; empty for none",
        "8 to 200 characters, or empty",
        pattern=r"^(.{8,200})?$",
    )
    dashboard_open: int = setting(
        0,
        "1: whoever reaches the web page may see it, also beyond this machine without a password",
        "0 or 1",
        ge=0,
        le=1,
    )

    dashboard_published: str = setting(
        "",
        "address at which Docker or a proxy publishes the web page; empty: DASHBOARD_HOST",
        "a host name or address, or empty",
        pattern=r"^\S*$",
    )

    @property
    def is_private(self) -> bool:
        """Whether only this machine reaches the page."""
        return hosts.is_loopback((self.dashboard_published or self.dashboard_host).strip("[]"))

    @model_validator(mode="after")
    def _access_to_the_page(self) -> Self:
        if not (self.is_private or self.dashboard_password or self.dashboard_open):
            demand = "requires DASHBOARD_PASSWORD beyond 127.0.0.1, or DASHBOARD_OPEN=1"
            name = "dashboard_published" if self.dashboard_published else "dashboard_host"
            raise self.refusal(name, demand)
        return self
