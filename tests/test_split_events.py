"""An event whose lines rotation split over two files is one; a header counts for its whole file."""

import json
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from logpipeline.events import joining
from logpipeline.events.lines import Lines
from logpipeline.producer.open_file import OpenFile
from logpipeline.producer.tail import Tail

FIRST = (
    '2024-05-01 10:00:00,500 ERROR root: failed\nTraceback (most recent call last):\n  File "a"\n'
)
SECOND = "    pay()\nValueError: no such order\n"
NEXT = '{"level":"INFO","message":"next","timestamp":1.5}\n'  # JSON waits for no other line
CUT = "2024-05-01T10:00:00.5Z stdout P ERROR one \n", "2024-05-01T10:00:00.6Z stdout F half\n"
AFTER_IT = '2024-05-01T10:00:00.7Z stdout F {"level":"info","msg":"next"}\n'
ROUNDS = 4_000


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, a continuation comes in time."""
    monkeypatch.setattr(joining, "WAIT", 60.0)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "app.log"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state" / "app"


def append(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("a", newline="") as file:
        file.write(text)


def tailed(log: Path, state: Path) -> Tail:
    return Tail(log, state, Lines(), multiline="auto")


def take(tail: Tail, count: int, acknowledges: bool = True) -> list[dict[str, Any]]:
    """The next events: `count` of them, and no more that are there."""
    made: list[tuple[bytes, OpenFile]] = []
    for _ in range(ROUNDS):
        for values, file in tail.read():
            made += [(value, file) for value in values]
        if len(made) >= count > 0:
            break
        time.sleep(0.005)
    if acknowledges:
        for _, file in made:
            file.conversion.acknowledge()
    assert len(made) == count
    return [json.loads(value) for value, _ in made]


def renamed(log: Path, rest: str) -> None:
    log.rename(log.with_name("app.log.1"))
    append(log, rest)


def copied_and_truncated(log: Path, rest: str) -> None:
    shutil.copyfile(log, log.with_name("app.log.1"))
    log.write_text("")
    append(log, rest)


@pytest.mark.parametrize("rotate", [renamed, copied_and_truncated])
@pytest.mark.parametrize("is_running", [True, False])
def test_a_stack_trace_in_two_files_is_one_event(
    log: Path, state: Path, rotate: Callable[[Path, str], None], is_running: bool
) -> None:
    append(log, FIRST)
    with closing(tailed(log, state)) as tail:
        [*tail.read()]
        tail.save()
        if is_running:
            rotate(log, SECOND + NEXT)
            first, second = take(tail, 2)
            tail.save()
    if not is_running:
        rotate(log, SECOND + NEXT)
        with closing(tailed(log, state)) as tail:
            first, second = take(tail, 2)
            tail.save()
    assert first["message"] == (FIRST + SECOND).rstrip("\n")
    assert (first["level"], second["message"]) == ("ERROR", "next")
    with closing(tailed(log, state)) as tail:
        append(log, NEXT)
        assert [each["message"] for each in take(tail, 1)] == ["next"]


def test_parts_of_a_line_in_two_files_are_one_event(log: Path, state: Path) -> None:
    append(log, CUT[0])
    with closing(tailed(log, state)) as tail:
        [*tail.read()]
        renamed(log, CUT[1] + AFTER_IT)
        made, _ = take(tail, 2)
    assert made["message"].endswith("stdout F ERROR one half")
    assert made["level"] == "ERROR"


def test_it_comes_again_whole_if_kafka_has_not_acknowledged_it(log: Path, state: Path) -> None:
    append(log, NEXT + FIRST)
    with closing(tailed(log, state)) as tail:
        take(tail, 1)
        tail.save()
        renamed(log, SECOND + NEXT)
        take(tail, 2, acknowledges=False)
        tail.save()
    with closing(tailed(log, state)) as tail:
        first, second = take(tail, 2)
        tail.save()
    assert first["message"] == (FIRST + SECOND).rstrip("\n")
    assert second["message"] == "next"
    with closing(tailed(log, state)) as tail:
        assert [*tail.read(), *tail.read()] == []


def test_another_event_in_the_new_file_is_another_event(log: Path, state: Path) -> None:
    append(log, FIRST)
    with closing(tailed(log, state)) as tail:
        [*tail.read()]
        renamed(log, NEXT)
        assert [each["message"] for each in take(tail, 2)] == [FIRST.rstrip("\n"), "next"]


def test_an_unfinished_line_is_not_continued_in_the_new_file(log: Path, state: Path) -> None:
    append(log, FIRST + "    half")
    with closing(tailed(log, state)) as tail:
        [*tail.read()]
        renamed(log, NEXT)
        tail._files.being_read[0].finished = True
        messages = [each["message"] for each in take(tail, 2)]
    assert messages == [FIRST + "    half", "next"]


IIS = (
    "#Software: Microsoft Internet Information Services 10.0\r\n"
    "#Version: 1.0\r\n"
    "#Date: 2024-05-01 00:00:00\r\n"
    "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query c-ip sc-status time-taken\r\n"
)
ROW = "2024-05-01 10:00:0{} 10.0.0.1 GET /pay id={} 192.0.2.9 50{} 12\r\n"
OTHER = "#Fields: date time c-ip cs-method cs-uri-stem sc-status\n"


def test_a_header_counts_for_its_file_also_after_a_restart_and_a_rotation(
    log: Path, state: Path
) -> None:
    append(log, IIS + ROW.format(1, 1, 1) + NEXT)
    with closing(tailed(log, state)) as tail:
        take(tail, 6)
        tail.save()
    append(log, ROW.format(2, 2, 2) + NEXT)
    with closing(tailed(log, state)) as tail:
        made, _ = take(tail, 2)
        assert made["timestamp"] == 1714557602
        assert (made["method"], made["path"], made["status"]) == ("GET", "/pay?id=2", 502)
        assert (made["client"], made["duration_ms"], made["s-ip"]) == ("192.0.2.9", 12, "10.0.0.1")
        append(log, ROW.format(3, 3, 3))
        renamed(log, OTHER + "2024-05-01 10:00:04 192.0.2.7 PUT /x 404\n" + NEXT)
        old, _, new, _ = take(tail, 4)
        assert (old["path"], old["status"], old["level"]) == ("/pay?id=3", 503, "ERROR")
        assert (new["path"], new["client"], new["level"]) == ("/x", "192.0.2.7", "WARNING")
