"""The engine of the page's search: bounded, newest first, ended with the search."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing, closing, suppress
from pathlib import Path
from typing import Any

import pytest
import zstandard

from logpipeline.archive import indexing, packing
from logpipeline.archive.index import BIN
from logpipeline.archive.rotated import RotatedFile
from logpipeline.find.engine import BINS, Request, bin_for
from logpipeline.find.live import answers
from logpipeline.find.query import Matcher, Query
from logpipeline.find.search import Search
from logpipeline.find.sources import SearchedFiles
from tests.support.records import event
from tests.support.waiting import until

NOW = 1_790_000_000.0


def archive(folder: Path, count: int) -> Path:
    path = folder / "logs.txt"
    path.write_bytes(b"".join(event(n, n=n) + b"\n" for n in range(count)))
    return path


def commands() -> Iterator[bytes]:
    """The command lines of all processes."""
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield each.read_bytes()


async def all_of(request: Request, path: Path) -> list[Any]:
    return [answer async for answer in answers(request, path)]


def test_the_newest_come_first_then_a_histogram_and_what_was_left_out(tmp_path: Path) -> None:
    path = archive(tmp_path, 300)
    found = asyncio.run(all_of(Request(Query(words=("event 1",)), most=5), path))
    *events, histogram, done = found
    assert [each["record"] for each in events] == [
        event(n, n=n).decode() for n in range(199, 194, -1)
    ]
    assert sum(count for _, _, count in histogram["counts"]) == 111
    assert "there are more" in done["left_out"]


def test_the_histogram_of_an_hour_has_sixty_bars_and_reads_few_blocks_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "CHUNK", 1_000)
    begin = 1_790_000_400  # a full minute
    stamp = "20260921T160000.000000Z"
    file = RotatedFile(stamp, tmp_path / f"logs-{stamp}.txt")
    lines = [event(n, timestamp=begin + n, level="INFO") + b"\n" for n in range(3_600)]
    file.plain.write_bytes(b"".join(lines))
    packing.pack(file.plain, file.packed(".zst"), threading.Event())
    indexing.index(file)
    query = Query(since=begin, to=begin + 3_600)
    *_, histogram, _ = asyncio.run(all_of(Request(query, most=1), tmp_path / "logs.txt"))
    minutes = range(begin // 60, begin // 60 + 60)
    assert histogram == {"bin": 60, "counts": [[minute, "INFO", 60] for minute in minutes]}
    with (
        closing(SearchedFiles(tmp_path / "logs.txt")) as sources,
        Search(sources, Matcher(query, 60), counts=True, processes=1) as search,
    ):
        read = sum(found.size for found in search.results())
    assert 0 < read < file.plain.stat().st_size / 2


def test_a_bin_is_as_long_as_the_time_that_is_asked_for_needs() -> None:
    def seconds(span: float) -> int:
        return bin_for(Query(since=NOW - span), NOW)

    assert [seconds(span) for span in (1, 60, 300, 900, 3_600, 6 * 3_600)] == [1, 1, 5, 15, 60, 900]
    assert bin_for(Query(), NOW) == BIN
    assert bin_for(Query(to=NOW), NOW) == BIN
    assert all(BIN % each == 0 for each in BINS)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    path = archive(tmp_path, 300)
    packed = tmp_path / "logs-20260921T000000.000000Z.txt.zst"
    packed.write_bytes(zstandard.compress(path.read_bytes())[:-20])
    *_, done = asyncio.run(all_of(Request(Query(words=("event 299",))), path))
    assert "a part of logs-20260921T000000.000000Z.txt: " in done["left_out"]


def test_a_query_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    path = archive(tmp_path, 3)
    [done] = asyncio.run(all_of(Request(Query(words=("(",), regex=True)), path))
    assert "must be a regular expression" in done["error"]


def test_the_end_of_the_time_is_said(tmp_path: Path) -> None:
    path = archive(tmp_path, 3)
    *_, done = asyncio.run(all_of(Request(Query(), seconds=0.0), path))
    assert "the time was up" in done["left_out"]


def test_a_search_that_is_closed_ends_its_process(tmp_path: Path) -> None:
    path = archive(tmp_path, 100_000)

    async def first() -> None:
        async with aclosing(answers(Request(Query(), most=100_000), path)) as found:
            async for answer in found:
                assert answer["record"]
                return

    asyncio.run(first())
    command = f"logpipeline.find.engine\0--log-file\0{path}".encode()
    until(lambda: not any(command in each for each in commands()))
