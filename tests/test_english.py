"""English: phrases that stop a reader stay out of the sources and the pages."""

import re
from pathlib import Path

import pytest

from tests.support.process import ROOT

BANNED = re.compile(
    r"allowed (is|are)\b|what is no |\banew\b|goes on|how far|since ever|\bwhom\b", re.IGNORECASE
)
ELSEWHERE = {"node_modules", "__pycache__"}  # and hidden folders, such as .venv


def written(suffix: str) -> list[Path]:
    """Our own files with this suffix, without this one."""
    found = []
    for path in sorted(ROOT.rglob(f"*{suffix}")):
        folders = path.relative_to(ROOT).parts[:-1]
        if path != Path(__file__) and not any(
            name.startswith(".") or name in ELSEWHERE for name in folders
        ):
            found.append(path)
    return found


@pytest.mark.parametrize("suffix", [".py", ".md", ".html", ".toml", ".yml", ".yaml"])
def test_no_banned_phrase_is_in_a_file(suffix: str) -> None:
    files = written(suffix)
    assert files
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if BANNED.search(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "--follow: allowed is it only without --input",
        "Sends what is no event to the dead-letter topic.",
        "It is written anew.",
        "logs.txt goes on",
        "How far has it been read?",
        "Dead letters since ever",
        "Whom alerts are sent to",
    ],
)
def test_each_phrase_is_found(line: str) -> None:
    assert BANNED.search(line)
