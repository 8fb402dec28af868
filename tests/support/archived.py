"""Archived: what logs.txt has."""

from config import Settings


def lines(settings: Settings) -> list[bytes]:
    """Its whole lines so far."""
    path = settings.log_file
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []
