"""The report: what it reads, counts and shows, and the recipes that README gives."""

import gzip
import json
import math
import os
import re
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb
import pytest
import zstandard

from config import Settings
from logpipeline.report.events import table
from logpipeline.report.page import ceiling
from logpipeline.report.sources import NoLogs, files, gathered
from logpipeline.report.trends import Trends, trends
from tests.support.forked import completed_text
from tests.support.process import ROOT

NOON = datetime(2026, 11, 23, 12).timestamp()  # local time, as people ask for it
HOSTILE = "</td><script>alert(1)</script> \u202e\x1b[31m & 'x'"


def line(at: float, level: str = "INFO", service: str = "web", message: str = "m") -> bytes:
    fields = {"level": level, "message": message, "timestamp": at, "service": service}
    return json.dumps(fields).encode() + b"\n"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A logs.txt with two rotated files, and what else is beside it. 60 events from noon on, one
    a minute: 20 in each; each tenth is an ERROR."""
    folder = tmp_path / "it's [here]*"
    folder.mkdir()
    lines = [
        line(NOON + 60 * i, "err" if i % 10 == 5 else "INFO", f"s{i // 20}", f"order {i} of 7")
        for i in range(60)
    ]
    (folder / "logs-20261123T110000Z.txt.gz").write_bytes(gzip.compress(b"".join(lines[:20])))
    plain, packed = tmp_path / "plain.json", tmp_path / "packed"
    plain.write_bytes(b"".join(lines[20:40]))
    with duckdb.connect() as database:
        database.execute(f"COPY (FROM '{plain}') TO '{packed}' (FORMAT json, COMPRESSION zstd)")
    packed.rename(folder / "logs-20261123T113000Z.txt.zst")
    (folder / "logs.txt").write_bytes(b"".join(lines[40:]))
    (folder / "logs.txt.checkpoint").write_text('{"level":"ERROR"}')
    (folder / "logs.txt.lock").touch()
    (folder / "logsother.txt").write_bytes(line(NOON))
    return folder / "logs.txt"


def day(path: Path) -> Trends:
    span = NOON - 12 * 3600, NOON + 12 * 3600
    with gathered(path, None, *span) as paths:
        return trends(paths, *span)


def report(log_file: Path, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    names = {name.upper() for name in Settings.model_fields}
    environment = {k: v for k, v in os.environ.items() if k not in names}
    environment |= {"LOG_FILE": str(log_file), **variables}
    return completed_text("logpipeline.report", [*args], log_file.parent, environment)


def test_rotated_and_packed_files_are_read(logs: Path) -> None:
    assert [path.name for path in files(logs)] == [
        "logs-20261123T110000Z.txt.gz",
        "logs-20261123T113000Z.txt.zst",
        "logs.txt",
    ]
    found = day(logs)
    assert sum(count.events for count in found.counts) == 60
    assert {count.service for count in found.counts} == {"s0", "s1", "s2"}
    assert [(m.shape, m.level, m.events) for m in found.messages] == [
        ("order # of #", "ERROR", 2)
    ] * 3
    assert (found.start, found.end, found.step) == (NOON, NOON + 59 * 60, 60)
    assert found.unreadable == 0


def test_files_from_before_are_left_alone(logs: Path) -> None:
    old = next(logs.parent.glob("*.gz"))
    os.utime(old, (NOON, NOON))
    with gathered(logs, None, NOON + 1, math.inf) as paths:
        assert old not in paths
    with gathered(logs, None, NOON, math.inf) as paths:
        assert old in paths


def test_only_the_time_that_was_asked_for_counts(logs: Path) -> None:
    found = trends(files(logs), NOON + 600, NOON + 1200)
    assert sum(count.events for count in found.counts) == 10
    assert found.start == NOON + 600


BAD = [
    *(b"no event", b"", b"[1]", b"\xff\xfe", b"{", b'{"level":"ERROR"}', b'"text"', b"null"),
    b'{"level":"nope","message":"m","timestamp":1}',
    b'{"level":"ERROR","message":"m","timestamp":"yesterday"}',
    b'{"level":"ERROR","message":"m","timestamp":1e300}',
    b'{"level":{"a":1},"message":[],"timestamp":{}}',
    b"\x00\x00\x00",
    b"[" * 100_000,
]


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_a_bad_line_does_not_stop_it(bad: bytes, logs: Path) -> None:
    good = logs.read_bytes().splitlines(keepends=True)
    torn = line(NOON)[:-20]
    logs.write_bytes(b"".join(good[:10]) + bad + b"\n" + b"".join(good[10:]) + torn)
    found = day(logs)
    assert sum(count.events for count in found.counts) == 60
    assert found.unreadable in {1, 2}  # an empty line is none


def test_levels_are_understood_as_everywhere(logs: Path) -> None:
    logs.write_bytes(b"".join(line(NOON, level) for level in ("warn", "Fatal", "TRACE", "error")))
    counted = [c.level for c in day(logs).counts if c.service == "web"]
    assert sorted(counted) == ["CRITICAL", "DEBUG", "ERROR", "WARNING"]


def test_the_page_has_the_day_and_needs_nothing_from_outside(logs: Path) -> None:
    logs.write_bytes(logs.read_bytes() + line(NOON, "ERROR", HOSTILE, HOSTILE) + b"no event\n")
    done = report(logs, "--day", "2026-11-23")
    assert (done.returncode, done.stdout, done.stderr) == (0, "report-2026-11-23.html\n", "")
    page = (logs.parent / "report-2026-11-23.html").read_text("utf-8")
    assert "logs.txt on Monday, 23 November 2026" in page
    assert "Nov 23, 12:00 to Nov 23, 12:59" in page
    assert "<b>61</b><span>events" in page
    assert "<b>7</b><span>ERROR or CRITICAL" in page
    assert "1 invalid lines were left out" in page
    assert "order # of #" in page
    assert "&lt;/td&gt;&lt;script&gt;" in page
    assert not re.search(r"<script|\x1b|\u202e|https?:|src=|href=|url\(|@import", page)


def test_a_day_without_events_leaves_the_pages_that_there_are(logs: Path) -> None:
    assert report(logs, "--day", "2026-11-23").returncode == 0
    pages = {path: path.read_bytes() for path in logs.parent.glob("*.html")}
    assert [path.name for path in pages] == ["report-2026-11-23.html"]
    for args in (["--day", "2020-01-01"], ["--day", "2020-01-01", "--output", str(*pages)]):
        done = report(logs, *args)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("report: no events on 2020-01-01")
    assert {path: path.read_bytes() for path in logs.parent.glob("*.html")} == pages


def test_24_hours_without_events_leave_the_page_that_there_is(logs: Path) -> None:
    logs.write_bytes(line(time.time() - 25 * 3600, message="old"))
    assert report(logs).stderr == "report: no events in the last 24 hours\n"
    page = logs.parent / "report.html"
    assert not page.exists()
    page.write_text("of yesterday")
    done = report(logs)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("24 hours; report.html is left as it was\n")
    assert page.read_text() == "of yesterday"


def test_the_last_24_hours_are_the_default(logs: Path) -> None:
    now = time.time()
    logs.write_bytes(line(now - 25 * 3600, message="old") + line(now - 60, "ERROR", "web", "new"))
    assert report(logs, "--output", "other.html").stdout == "other.html\n"
    page = (logs.parent / "other.html").read_text("utf-8")
    assert "<b>1</b><span>events" in page
    assert "the last 24 hours" in page


def test_the_page_is_written_through_no_link_of_somebody_else(logs: Path) -> None:
    logs.write_bytes(line(time.time()))
    page, victim = logs.parent / "report.html", logs.parent / "victim"
    victim.write_text("precious")
    page.symlink_to(victim)
    os.lchown(page, 12_345, -1)
    done = report(logs)
    assert done.returncode == 1
    assert "report.html cannot be written: it is a symbolic link of another user" in done.stderr
    assert victim.read_text() == "precious"
    os.lchown(page, os.getuid(), -1)
    assert report(logs).returncode == 0
    assert page.is_symlink()
    assert "<html" in victim.read_text("utf-8")
    assert report(logs, "--output", "/dev/full").returncode == 1


ANSWERS = {
    "local": ("Nov 23, 12:00 to Nov 23, 12:59, times in JST (+0900)", "12:00:00+09"),
    "UTC": ("Nov 23, 03:00 to Nov 23, 03:59, times in UTC (+0000)", "03:00:00+00"),
}


@pytest.mark.parametrize("zone", ANSWERS)
def test_times_are_local_or_utc_and_say_so(zone: str, tmp_path: Path) -> None:
    begin = datetime(2026, 11, 23, 12, tzinfo=timezone(timedelta(hours=9))).timestamp()
    logs = tmp_path / "logs.txt"
    logs.write_bytes(b"".join(line(begin + 60 * minute) for minute in range(60)))
    variables = {"TZ": "Asia/Tokyo", "TIME_ZONE": zone}
    assert report(logs, "--day", "2026-11-23", **variables).returncode == 0
    on_the_page, in_sql = ANSWERS[zone]
    assert on_the_page in (tmp_path / "report-2026-11-23.html").read_text("utf-8")
    answer = report(logs, "--csv", "--sql", "SELECT min(time) FROM events", **variables)
    assert in_sql in answer.stdout


def test_no_logs(tmp_path: Path) -> None:
    with pytest.raises(NoLogs), gathered(tmp_path / "logs.txt", None, 0, math.inf):
        pass
    done = report(tmp_path / "logs.txt")
    assert done.returncode == 1
    assert re.fullmatch(
        r"report: neither .*logs.txt nor a rotated file of it exists here\n", done.stderr
    )


@pytest.mark.parametrize(
    ("args", "status", "words"),
    [
        (["--day", "monday"], 2, "'monday': must be a day such as 2026-11-23"),
        (["--sql", "SELECT nothing FROM events"], 1, "nothing"),
        (["--output", "no/such/folder.html"], 1, "no/such/folder.html"),
    ],
)
def test_a_mistake_is_said_without_a_traceback(
    args: list[str], status: int, words: str, logs: Path
) -> None:
    logs.write_bytes(line(time.time()))
    done = report(logs, *args)
    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_packed_file_that_is_broken_is_named(logs: Path) -> None:
    broken = next(logs.parent.glob("*.gz"))
    broken.write_bytes(broken.read_bytes()[:100])
    logs.write_bytes(line(time.time()))
    done = report(logs)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


LONG = b"x" * (40 * 2**20)
UNREADABLE = {
    "logs-20261123T100000.000000Z.txt.zst": zstandard.compress(LONG),
    "logs-20261123T100001.000000Z.txt.gz": gzip.compress(LONG, 1),
    "logs-20261123T100002.000000Z.txt": LONG,
    "logs-20261123T100003.000000Z.txt.zst": b"not packed",
    "logs-20261123T100004.000000Z.txt.gz": b"",
    "logs-20261123T100005.000000Z.txt.gz": gzip.compress(line(NOON) * 100)[:-5],
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_can_not_be_read_is_said_and_the_others_are_read(name: str, logs: Path) -> None:
    (logs.parent / name).write_bytes(UNREADABLE[name])
    done = report(logs, "--day", "2026-11-23")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (
        1,
        "report-2026-11-23.html\n",
        1,
    )
    assert f"{name}, leaving it out: " in done.stderr
    page = (logs.parent / "report-2026-11-23.html").read_text("utf-8")
    assert "<b>60</b><span>events" in page
    assert f"{name} cannot be read" in page
    asked = report(logs, "--sql", "SELECT count(*) AS c FROM events")
    assert asked.returncode == 1
    assert re.search(r"│ +60 │", asked.stdout)


def test_an_answer_has_nothing_that_a_terminal_obeys(logs: Path) -> None:
    logs.write_bytes(line(NOON, "ERROR", "s\x9b31m", "a\x1b[31m\u202eb\r\0"))
    done = report(logs, "--sql", "SELECT message, service FROM events WHERE level = 'ERROR'")
    assert re.search(r"[^\n -~─-╿]", done.stdout) is None, ascii(done.stdout)
    assert "\\u202eb" in done.stdout


def test_long_names_and_messages_are_cut_on_the_page(logs: Path) -> None:
    names = [str(number) + "<\x01>" * 53_333 for number in range(12)]
    lines = [line(NOON + i, "ERROR", name, name) for i, name in enumerate(names * 4)]
    logs.write_bytes(b"".join(lines))
    found = day(logs)
    assert max(len(count.service or "") for count in found.counts) == 101
    assert report(logs, "--day", "2026-11-23").returncode == 0
    page = (logs.parent / "report-2026-11-23.html").read_text("utf-8")
    assert len(page) < 2_000_000
    assert page.count("&lt;\\x01&gt;") > 12
    assert "…</th>" in page


def test_of_ten_thousand_services_the_largest_are_shown(logs: Path) -> None:
    counts = {f"s{number:04}": 1 + number // 1_000 for number in range(10_000)}
    lines = [line(NOON + i, "INFO", name) for name, events in counts.items() for i in range(events)]
    failing = [line(NOON, "ERROR", f"failing-{n}") for n in range(3)]
    logs.write_bytes(b"".join([*lines, *failing]))
    for packed in files(logs)[:-1]:
        packed.unlink()
    found = day(logs)
    named = {count.service for count in found.counts} - {None}
    assert sum(count.events for count in found.counts) == sum(counts.values()) + 3
    assert found.services == 10_003
    assert {f"failing-{n}" for n in range(3)} < named
    assert len(named) == 24
    assert report(logs, "--day", "2026-11-23").returncode == 0
    page = (logs.parent / "report-2026-11-23.html").read_text("utf-8")
    assert "<b>10,003</b><span>services" in page
    assert "and 9,991 more with fewer events" in page
    assert "failing-2" in page
    assert len(page) < 200_000


def test_memory_is_bounded_whatever_the_files_unpack_to(logs: Path) -> None:
    event = line(NOON, "ERROR", "web", "x" * 1_000)
    packer = zstandard.ZstdCompressor().compressobj()
    packed = [packer.compress(event * 1_000) for _ in range(500)]  # half a gigabyte
    for older in files(logs)[:-1]:
        older.unlink()
    (logs.parent / "logs-20261123T113001Z.txt.zst").write_bytes(b"".join([*packed, packer.flush()]))
    code = (
        "import logpipeline.report.__main__ as report, re, sys; report.main(sys.argv[1:]);"
        "print(re.search('VmHWM:[^0-9]*([0-9]+)', open('/proc/self/status').read())[1])"
    )
    command = [sys.executable, "-c", code, "--day", "2026-11-23"]
    environment = os.environ | {"LOG_FILE": str(logs), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=logs.parent, env=environment, capture_output=True, text=True)
    assert int(done.stdout.split()[-1]) < 400_000  # KiB
    assert "<b>500,020</b><span>events" in (logs.parent / "report-2026-11-23.html").read_text(
        "utf-8"
    )


PER_HOUR = """SELECT date_trunc('hour', time) AS hour, service, count(*) AS errors FROM events
WHERE level IN ('ERROR', 'CRITICAL') GROUP BY ALL ORDER BY ALL"""
TOP = """SELECT count(*) AS events, service, shape FROM events
WHERE level IN ('ERROR', 'CRITICAL') GROUP BY ALL ORDER BY events DESC, service LIMIT 10"""
BEFORE_AND_AFTER = """SELECT shape, count(*) FILTER (time < t) AS before,
count(*) FILTER (time >= t) AS after FROM events, (SELECT TIMESTAMPTZ '2026-11-23 12:30' AS t)
WHERE time BETWEEN t - INTERVAL 1 HOUR AND t + INTERVAL 1 HOUR AND level <> 'DEBUG'
GROUP BY ALL ORDER BY after - before DESC LIMIT 10"""


class TestRecipes:
    """What README shows."""

    @staticmethod
    def rows(logs: Path, sql: str) -> list[tuple[object, ...]]:
        with table(files(logs)) as database:
            return database.sql(sql).fetchall()

    def test_errors_per_service_and_hour(self, logs: Path) -> None:
        answer = report(logs, "--sql", PER_HOUR).stdout
        assert len(re.findall(r"2026-11-23 12:00:00\S+ +│ s[012] +│ +2 │", answer)) == 3

    def test_top_messages(self, logs: Path) -> None:
        assert self.rows(logs, TOP) == [(2, f"s{i}", "order # of #") for i in range(3)]

    def test_before_and_after_a_time(self, logs: Path) -> None:
        assert self.rows(logs, BEFORE_AND_AFTER) == [("order # of #", 30, 30)]


def test_a_large_axis_and_headings_are_whole(logs: Path) -> None:
    assert report(logs, "--day", "2026-11-23").returncode == 0
    page = (logs.parent / "report-2026-11-23.html").read_text("utf-8")
    left, _, width, _ = map(int, re.findall(r'viewBox="([^"]+)"', page)[0].split())
    assert left <= -84
    assert width + left >= 960
    assert "<th></th>" not in page
    assert "<th><" not in page


def test_an_axis_ends_at_a_round_number() -> None:
    assert [ceiling(n) for n in (0, 1, 4, 5, 9, 33, 100, 101, 750)] == [
        *(4, 4, 4, 8, 12, 40, 120, 120, 800),
    ]
