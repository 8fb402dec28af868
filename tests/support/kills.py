"""Kills: how often tests kill a server or a program."""

import os


def kills(usual: int) -> int:
    """The number in KILLS, as in `KILLS=20 pytest -k killed`, or `usual`."""
    return int(os.environ.get("KILLS", usual))
