"""--context shows the neighbours that a person would find who reads every line."""

from collections.abc import Sequence
from contextlib import closing
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from logpipeline.archive import indexing, packing
from logpipeline.find import context, reader
from logpipeline.find.context import LinePlace, Neighbours
from logpipeline.find.query import Matcher, Query
from logpipeline.find.search import Search
from logpipeline.find.sources import SearchedFiles
from tests.support import haystack

EVENTS, QUERIES = 400, 60


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return haystack.lines(Random(21), EVENTS)


@pytest.fixture
def log_file(tmp_path: Path, lines: list[bytes], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of every kind, in blocks and chunks of a few lines."""
    for module, name in ((packing, "CHUNK"), (indexing, "BLOCK"), (reader, "STEP")):
        monkeypatch.setattr(module, name, 2_000)
    monkeypatch.setattr(context, "OPEN", 2)
    return haystack.archive(tmp_path, lines, 10)


def groups(log_file: Path, query: Query, most: int, every: bool) -> list[bytes]:
    with (
        closing(SearchedFiles(log_file)) as sources,
        Search(sources, Matcher(query), processes=1) as search,
    ):
        shown: list[list[bytes]] = []
        with closing(Neighbours(search, most, every)) as near:
            for found in search.results():
                for position, line in found.lines:
                    shown += near.add(LinePlace(found.source, position), line)
            shown += near.rest()
    return [line for group in shown for line in group]


def plainly(lines: Sequence[bytes], query: Query, most: int, every: bool) -> list[bytes]:
    kept = set()
    for at, line in enumerate(lines):
        if not haystack.matches(line, query):
            continue
        mine = frozenset() if every else marks(line)
        for side in range(at - 1, -1, -1), range(at + 1, len(lines)):
            near = (n for n in side if not mine or mine & marks(lines[n]))
            kept |= {at, *islice(near, most)}
    return [lines[n] for n in sorted(kept)]


@cache
def marks(line: bytes) -> frozenset[tuple[str, str]]:
    event = haystack.decoded(line)
    named = ((name, event.get(name)) for name in ("service", "host"))
    texts = {(name, haystack.text_of(value)) for name, value in named if value not in (None, "")}
    return frozenset(texts)


@pytest.mark.parametrize("every", [True, False])
def test_neighbours_are_those_of_a_plain_loop(
    log_file: Path, lines: list[bytes], every: bool
) -> None:
    shown = 0
    for number, query in enumerate(islice(haystack.queries(Random(31), lines), QUERIES)):
        most = number % 4 + 1
        expected = plainly(lines, query, most, every)
        assert groups(log_file, query, most, every) == expected, (query, most)
        shown += bool(expected)
    assert shown > QUERIES / 4
