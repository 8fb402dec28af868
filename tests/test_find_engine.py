"""The engine of the page's search: bounded, newest first, ended with the search."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import zstandard

from logpipeline.find.engine import Request
from logpipeline.find.live import answers
from logpipeline.find.query import Query
from tests.support.records import event
from tests.support.waiting import until


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
