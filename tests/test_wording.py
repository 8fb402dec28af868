"""Wording: the phrases that a technical writer would change stay out of sources and pages."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.process import ROOT

# Each is in two parts, so that this file is not found.
PHRASES = [
    "".join(parts)
    for parts in (
        (r"allowed ", r"(is|are)\b"),
        (r"what is ", r"no\b"),
        (r"\bane", r"w\b"),
        (r"\bgoes ", r"on\b"),
        (r"\bhow ", r"far\b"),
        (r"\bsince ", r"ever\b"),
        (r"\bwho", r"m\b"),
    )
]


def written() -> list[str]:
    """The sources and pages that git tracks."""
    git = [
        "git",
        "-c",
        "safe.directory=*",
        "ls-files",
        "*.py",
        "*.md",
        "*.toml",
        "*.html",
        "*.y*ml",
    ]
    return subprocess.check_output(git, cwd=ROOT, text=True).split()


@pytest.mark.parametrize("name", written())
def test_no_phrase_stops_the_reader(name: str) -> None:
    text = Path(ROOT / name).read_text()
    found = re.search("|".join(PHRASES), text, re.IGNORECASE)
    line = text.count("\n", 0, found.start()) + 1 if found else 0
    assert not found, f"{name}:{line}: {found[0]!r}"
