"""Kills: how often a test kills a process."""

import os


def number(name: str, default: int) -> int:
    """What the environment variable says: a thorough run kills more often."""
    return int(os.environ.get(name, default))
