"""The report reads what is only in the store, too, and each event once."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import zstandard

from logpipeline.archive.store import Store
from logpipeline.report import __main__ as program
from logpipeline.report import events
from logpipeline.report.events import table
from tests.support.seaweed import Seaweed
from tests.test_report import line, report

DAY = datetime(2026, 11, 20, tzinfo=UTC)  # the first of five, each with a file of its own
COUNT = ("--sql", "SELECT count(*), count(DISTINCT message) FROM events")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Five rotated files of ten events each, of a day each, and logs.txt with ten more."""
    for day in range(6):
        begun = DAY + timedelta(days=day)
        events = [
            line((begun + timedelta(hours=1, minutes=n)).timestamp(), message=f"{day}-{n}")
            for n in range(10)
        ]
        ended = f"{begun + timedelta(days=1):%Y%m%dT%H%M%S.%fZ}"
        path = tmp_path / ("logs.txt" if day == 5 else f"logs-{ended}.txt.zst")
        data = b"".join(events)
        path.write_bytes(data if day == 5 else zstandard.compress(data))
    return tmp_path / "logs.txt"


@pytest.fixture
def nas(logs: Path) -> Path:
    """A folder as the store, that has the rotated files and their checkpoints."""
    folder = logs.parent / "nas"
    folder.mkdir()
    for path in rotated(logs):
        (folder / path.name).write_bytes(path.read_bytes())
        (folder / path.name.replace(".zst", ".checkpoint")).write_text("{}")
    return folder


def rotated(logs: Path) -> list[Path]:
    return sorted(logs.parent.glob("logs-*"))


def counted(logs: Path, *args: str, **variables: str) -> tuple[int, int, str]:
    """Events, different ones, and what was said on stderr."""
    done = report(logs, *args, *COUNT, TZ="UTC", **variables)
    assert done.returncode == 0, done.stderr
    events, different = re.findall(r"│ +(\d+) │ +(\d+) │", done.stdout)[0]
    return int(events), int(different), done.stderr


def test_each_event_is_read_once_wherever_it_is(logs: Path, nas: Path) -> None:
    url = f"file://{nas}"
    assert counted(logs, ARCHIVE_URL=url) == (60, 60, "")
    old, packing, *_ = rotated(logs)
    old.unlink()
    packing.with_suffix("").write_bytes(zstandard.decompress(packing.read_bytes()))
    events, different, said = counted(logs, ARCHIVE_URL=url)
    assert (events, different) == (60, 60)
    assert re.fullmatch(rf"fetching 1 files, 0\.0 MB: {url}\n", said)
    assert counted(logs) == (50, 50, "")
    for path in (logs, *rotated(logs)):
        path.unlink()
    assert counted(logs, ARCHIVE_URL=url)[:2] == (50, 50)


def test_one_of_two_is_read_where_a_file_was_sent_plain_and_packed(logs: Path, nas: Path) -> None:
    for path in rotated(logs):
        (nas / path.stem).write_bytes(zstandard.decompress(path.read_bytes()))
        path.unlink()
    assert counted(logs, ARCHIVE_URL=f"file://{nas}")[:2] == (60, 60)


def test_only_files_of_the_time_are_fetched(logs: Path, nas: Path) -> None:
    for path in rotated(logs):
        path.unlink()
    events, different, said = counted(logs, "--day", "2026-11-21", ARCHIVE_URL=f"file://{nas}")
    assert (events, different) == (10, 10)
    assert said.startswith("fetching 3 files, "), "its own, and the two with what came late"
    done = report(logs, "--day", "2026-11-21", ARCHIVE_URL=f"file://{nas}", TZ="UTC")
    assert done.stdout == "report-2026-11-21.html\n"
    page = (logs.parent / "report-2026-11-21.html").read_text("utf-8")
    assert "<b>10</b><span>events" in page
    assert "logs-20261122T000000.000000Z.txt.zst" in page


def test_a_real_store(
    logs: Path, seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    variables = seaweed.variables()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    url = seaweed.place(tmp_path.name)
    for path in rotated(logs):
        Store(url).put(path)
        path.unlink()
    variables["ARCHIVE_URL"] = url
    assert counted(logs, **variables)[:2] == (60, 60)
    variables["AWS_SECRET_ACCESS_KEY"] = "other"
    done = report(logs, **variables)
    assert done.returncode == 1
    assert done.stderr.startswith(f"report: cannot list {url}: SignatureDoesNotMatch: ")
    assert done.stderr.count("\n") == 1


def test_nothing_anywhere(tmp_path: Path) -> None:
    done = report(tmp_path / "logs.txt", ARCHIVE_URL=f"file://{tmp_path}")
    assert done.returncode == 1
    assert done.stderr.endswith(f" nor a rotated file of it exists here or in file://{tmp_path}\n")


def test_a_file_that_is_deleted_while_it_is_read_is_fetched(
    logs: Path, nas: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def deleted_first(*args: object) -> object:
        monkeypatch.setattr(events, "table", table)
        rotated(logs)[0].unlink()
        return table(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(events, "table", deleted_first)
    monkeypatch.setenv("LOG_FILE", str(logs))
    monkeypatch.setenv("ARCHIVE_URL", f"file://{nas}")
    assert program.main(COUNT) == 0
    assert re.search(r"│ +60 │ +60 │", capsys.readouterr().out)
