"""Whole events by SQL, and as Parquet that two engines read back; indexes that lie are noticed."""

import csv
import json
import re
from pathlib import Path
from random import Random

import duckdb
import polars
from msgspec.structs import replace

from logpipeline.archive.index import index_path, load_index, save_index
from logpipeline.archive.indexing import index
from logpipeline.archive.rotated import rotated
from logpipeline.verify.findings import Findings
from logpipeline.verify.indexes import audit_indexes
from tests.support import haystack
from tests.test_report import report

LONE = b'{"level":"INFO","message":"a \\ud800 b","timestamp":1790000000.5}'


def made(tmp_path: Path) -> tuple[Path, list[bytes]]:
    lines = [*haystack.lines(Random(3), 200), LONE]
    return haystack.archive(tmp_path, lines, 5), lines


def test_parquet_has_each_records_own_bytes_for_two_engines(tmp_path: Path) -> None:
    log_file, lines = made(tmp_path)
    done = report(log_file, "--export", str(tmp_path / "out"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"201 events in {tmp_path / 'out'}\n"
    files = f"{tmp_path}/out/**/*.parquet"
    by_duckdb = duckdb.read_parquet(files).project("record").fetchall()
    by_polars = polars.read_parquet(files)
    assert sorted(record.encode() for (record,) in by_duckdb) == sorted(lines)
    assert sorted(each.encode() for each in by_polars["record"]) == sorted(lines)
    assert {*by_polars["level"]} <= {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}
    days = {path.name for path in (tmp_path / "out").iterdir()}
    assert days == {"day=2026-09-21"}
    again = report(log_file, "--export", str(tmp_path / "out"))
    assert again.returncode == 1
    assert "must be a new or an empty folder" in again.stderr


def test_only_the_time_that_was_asked_for_is_exported(tmp_path: Path) -> None:
    log_file, lines = made(tmp_path)
    middle = haystack.NOW + 1_800
    report(log_file, "--export", str(tmp_path / "out"), "--to", str(middle))
    found = polars.read_parquet(f"{tmp_path}/out/**/*.parquet")
    assert len(found) == sum(float(json.loads(line)["timestamp"]) < middle for line in lines)


def test_sql_has_the_whole_event(tmp_path: Path) -> None:
    log_file, lines = made(tmp_path)
    sql = "SELECT trace_id, status, event->>'$.http.path' AS p, record FROM events ORDER BY record"
    done = report(log_file, "--csv", "--sql", sql)
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(done.stdout.splitlines(keepends=True)))
    assert [row["record"].encode() for row in rows] == sorted({*lines} - {LONE})
    for row in rows:
        event = json.loads(row["record"])
        assert row["trace_id"] == event.get("trace_id", "")
        assert row["p"] == event.get("http", {}).get("path", "")


def test_options_that_contradict_are_one_line(tmp_path: Path) -> None:
    log_file, _ = made(tmp_path)
    for args, words in (
        (["--csv"], "--csv requires --sql"),
        (["--since", "2h"], "--since and --to require --sql or --export"),
        (["--sql", "x", "--export", "y"], "--sql cannot be used with --export"),
    ):
        done = report(log_file, *args)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert words in done.stderr


def test_verify_compares_indexes_with_their_files(tmp_path: Path) -> None:
    log_file, _ = made(tmp_path)
    for file in rotated(log_file):
        index(file, small=0)
    findings = Findings()
    audit_indexes(log_file, findings)
    assert not findings.counts
    assert not findings.notes
    wrong, torn, *_ = rotated(log_file)
    known = load_index(wrong)
    assert known
    first, *others = known.blocks
    first = replace(first, first=first.first + 1)
    table = replace(known.table, blocks=[first, *others])
    bitmaps = index_path(wrong).read_bytes()[-known.table.rest :]
    save_index(index_path(wrong), table, [bitmaps], None)
    index_path(torn).write_bytes(index_path(torn).read_bytes()[:-1])
    audit_indexes(log_file, findings)
    assert findings.counts == {"index differs from its file": 1}
    assert re.search("1 indexes cannot be used, .*: run find.py --index", findings.notes[0])
