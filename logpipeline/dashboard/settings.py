"""Settings of dashboard.py."""

from logpipeline.recent.settings import RedisSettings
from logpipeline.settings import A_HOST, secret, setting


class DashboardSettings(RedisSettings):
    """The page's address and password."""

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
