"""Kills: how often tests kill a server or a program."""

import os


def kills(usual: int, variable: str = "KILLS") -> int:
    """The number in KILLS, as in `KILLS=20 pytest -k killed`, or `usual`. SIGKILLS is that of the
    shippers' own processes."""
    return int(os.environ.get(variable, usual))
