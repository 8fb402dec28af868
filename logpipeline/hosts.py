"""Hosts: server names that are safe from DNS rebinding.

A foreign page can make its own name resolve to 127.0.0.1, and then read what listens there through
its visitor's browser. The Host header still has that name.
"""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_safe(header: str, names: Collection[str]) -> bool:
    """Whether a Host header is an IP address, or one of `names` (in lower case)."""
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in names
    return True
