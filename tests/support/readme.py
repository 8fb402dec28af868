"""Readme: what README.md and the pages of docs/ tell people to type."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text("utf-8") for page in PAGES)


def commands() -> list[str]:
    """Each line of the sh blocks, in order and once."""
    lines = [line for block in _blocks("sh") for line in block.splitlines() if line]
    return list(dict.fromkeys(lines))


def compose_commands() -> list[str]:
    """Those for people with Docker."""
    return [command for command in commands() if command.startswith("docker ")]


def recipe(word: str) -> str:
    """The first line with `word` that the console blocks show for typing."""
    lines = [line for block in _blocks("console") for line in block.splitlines()]
    return next(line[2:] for line in lines if line.startswith("$ ") and word in line)


def programs() -> list[str]:
    """The python blocks."""
    return _blocks("python")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
