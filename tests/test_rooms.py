"""The rooms of logpipeline/: which of them may import which, and what each consists of."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from tests.support.process import ROOT

PACKAGE = ROOT / "logpipeline"
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST = 300  # lines
ROOT_FILES = ""  # of the package itself
# Room → the rooms below it. The files of the package's root stand below all of them.
BELOW = {
    ROOT_FILES: set(),
    "events": set(),
    "kafka": {"events"},
    "archive": {"events"},
    "recent": {"events", "archive"},
    "producer": {"events", "kafka"},
    "consumer": {"events", "kafka", "archive", "recent"},
    "collector": {"events", "kafka"},
    "alerts": {"events", "recent"},
    "dashboard": {"events", "recent", "alerts", "archive", "find"},
    "verify": {"events", "kafka", "archive", "recent"},
    "replay": {"events", "kafka", "archive"},
    "report": {"events", "archive"},
    "find": {"events", "archive"},
    "localstack": {
        "alerts",
        "archive",
        "collector",
        "consumer",
        "dashboard",
        "events",
        "kafka",
        "producer",
    },
}
FRONT_DOOR = ("__init__.py", "logpipeline.producer.handler")  # imported when it is asked for
# What a room needs of one above it: nothing but a setting's name.
OUTSIDE = {"config", *(path.stem for path in ROOT.glob("*.py")), "tests", "bench", "deploy"}


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ROOT_FILES


@cache
def imported(path: Path) -> list[str]:
    """The modules that a file imports, wherever in it."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += (f"{node.module}.{alias.name}" for alias in node.names)
    return found


def rooms_imported(path: Path) -> set[str]:
    """The rooms, without the file's own."""
    found = set()
    for name in imported(path):
        top, _, rest = name.partition(".")
        if top == "logpipeline" and (path.name, name.rpartition(".")[0]) != FRONT_DOOR:
            first = rest.partition(".")[0]
            found.add(first if (PACKAGE / first).is_dir() else ROOT_FILES)
    return found - {room_of(path)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
class TestModule:
    def test_it_imports_only_what_stands_below_its_room(self, path: Path) -> None:
        assert rooms_imported(path) <= BELOW[room_of(path)] | {ROOT_FILES}

    def test_it_imports_no_script_and_no_config(self, path: Path) -> None:
        assert not {name.partition(".")[0] for name in imported(path)} & OUTSIDE

    def test_it_is_short_and_begins_with_its_caption(self, path: Path) -> None:
        text = path.read_text()
        assert len(text.splitlines()) <= LONGEST
        assert re.match(r'"""\w.*[.:?]("""\n|\n)', text) or text.startswith("#!")


def test_each_room_is_known_and_has_no_circle() -> None:
    assert {room_of(path) for path in MODULES} == BELOW.keys()

    def all_below(room: str, above: tuple[str, ...] = ()) -> set[str]:
        assert room not in above, " → ".join((*above, room))
        return BELOW[room].union(*(all_below(each, (*above, room)) for each in BELOW[room]))

    for room in BELOW:
        all_below(room)


def test_each_class_has_a_name_of_its_own() -> None:
    homes = defaultdict(list)
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(str(path.relative_to(PACKAGE)))
    assert not {name: where for name, where in homes.items() if len(where) > 1}


def test_what_stands_at_the_root_is_what_a_person_runs_and_config() -> None:
    scripts = {path.stem for path in ROOT.glob("*.py")} - {"config"}
    for script in scripts:
        text = (ROOT / f"{script}.py").read_text()
        assert text.startswith("#!/usr/bin/env python3\n")
        assert 'if __name__ == "__main__":' in text
