"""Readme: the commands that README.md tells people to type."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text("utf-8")


def commands() -> list[str]:
    """Each line of its sh blocks, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line]


def compose_commands() -> list[str]:
    """Those for people with Docker."""
    return [command for command in commands() if command.startswith("docker ")]
