"""Explain: what is understood of each line, and by which format."""

import os
import subprocess
from pathlib import Path

import pytest

from logpipeline.events.explain import explained
from tests.support.forked import completed_text
from tests.support.process import ROOT

LINES = {
    "E0501 10:00:02.000001       1 main.go:7] lost": ("level ERROR", "by klog"),
    "2024-05-01T10:00:00.5Z stderr F ERROR lost": (
        "time 2024-05-01T10:00:00.5Z",
        "by CRI, inside: ",
    ),
    "web-1  | plain text": (
        "level not stated, time not stated",
        "by docker compose logs, inside: no",
    ),
    '{"severity":"ERROR","msg":"lost","ts":1714557600}': (
        "level ERROR, time 2024-05-01T10:00:00Z",
        "by JSON: level=severity, message=msg, time=ts",
    ),
    "level=warn msg=slow": ("level WARNING, time not stated", "by logfmt"),
    "plain text": ("level not stated, time not stated", "by no known format"),
}


@pytest.mark.parametrize("line", LINES)
def test_each_line_has_its_level_time_and_format(line: str) -> None:
    first, second, *_ = explained([line.encode()])
    assert first == f"1: {line}"
    for words in LINES[line]:
        assert words in second


def test_an_event_that_spans_lines_has_their_numbers() -> None:
    shown = list(explained([b"plain\n2024-05-01 10:00:00 ERR", b"OR a\n\tat b\n\nplain\n"]))
    assert [line[:4] for line in shown if line[0] != " "] == ["1: p", "2-4:", "5: p"]


def explain(*names: str) -> subprocess.CompletedProcess[str]:
    return completed_text("logpipeline.events", [*names], ROOT, dict(os.environ))


def test_the_program_explains_a_file(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("ERROR lost\n")
    done = explain(str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "level ERROR" in done.stdout


@pytest.mark.parametrize("arguments", [["nowhere.log"], ["--multiline", "(", "nowhere.log"]])
def test_what_cannot_be_used_is_said_in_one_line(arguments: list[str]) -> None:
    done = explain(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "cannot be read" in done.stderr or "must be auto, off" in done.stderr
