"""find.py finds what a person would find who reads every line, and nothing else.

FIND_QUERIES=1000 asks for a thousand.
"""

import os
from collections import Counter
from contextlib import closing
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from logpipeline.archive import indexing, packing
from logpipeline.archive.index import BIN, bin_of
from logpipeline.archive.rotated import RotatedFile
from logpipeline.events.readable import readable
from logpipeline.find import literals, scan
from logpipeline.find.query import Matcher, Query
from logpipeline.find.search import Search
from logpipeline.find.sources import SearchedFiles
from tests.support import haystack

QUERIES = int(os.environ.get("FIND_QUERIES", "200"))
EVENTS = 600


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return haystack.lines(Random(7), EVENTS)


@pytest.fixture
def log_file(tmp_path: Path, lines: list[bytes], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten files of every kind, in blocks that are small."""
    monkeypatch.setattr(packing, "CHUNK", 8_192)
    monkeypatch.setattr(indexing, "BLOCK", 8_192)
    return haystack.archive(tmp_path, lines, 10)


def found(log_file: Path, query: Query, newest: int = 0, processes: int = 1) -> list[bytes]:
    with (
        closing(SearchedFiles(log_file)) as sources,
        Search(sources, Matcher(query), newest=newest, processes=processes) as search,
    ):
        results = list(search.results())
    assert {each.problem for each in results} <= {""}
    if newest:
        results.reverse()
    return [line for each in results for _, line in each.lines]


def counted(log_file: Path, query: Query, seconds: int = BIN) -> Counter[tuple[int, str]]:
    with (
        closing(SearchedFiles(log_file)) as sources,
        Search(sources, Matcher(query, seconds), counts=True, processes=1) as search,
    ):
        totals = sum((each.counts for each in search.results()), Counter())
        totals += search.totals
    by_level: Counter[tuple[int, str]] = Counter()
    for (bin_, level, _), events in totals.items():
        by_level[bin_, level] += events
    return by_level


def test_random_queries_find_what_a_plain_loop_finds(log_file: Path, lines: list[bytes]) -> None:
    empty = 0
    for query in islice(haystack.queries(Random(11), lines), QUERIES):
        expected = haystack.plain_search(lines, query)
        assert found(log_file, query) == expected, query
        empty += not expected
    assert QUERIES * 0.1 < empty < QUERIES * 0.7


def test_queries_of_much_text_find_the_same(
    log_file: Path, lines: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "MUCH", 0)
    for query in islice(haystack.queries(Random(13), lines), 100):
        assert found(log_file, query) == haystack.plain_search(lines, query), query


@pytest.mark.parametrize("text", ["4bf92f", "x12345", "1234567", "a0-00-0b", "000", "no"])
def test_a_word_with_digits_is_found_in_any_case_wherever_it_is(text: str) -> None:
    dice = Random(text)
    [literal] = literals.of_text(text, any_case=True)
    forms = [text, text.upper(), text[:-1], text[1:], text[1:] + text, "\\u0034", "0000 000", ""]
    for most in (5, 400):
        looked = scan.Scan(literal)
        for _ in range(40):
            found = ["".join(dice.choices(forms, k=dice.randrange(3))) for _ in range(most)]
            data = "\n".join(found).encode()
            lines = [data[begin:end].decode() for begin, end in looked.lines(data, plain=True)]
            assert lines == [line for line in found if text in line.lower()]


def test_counts_are_those_of_a_plain_loop(log_file: Path, lines: list[bytes]) -> None:
    for number, query in enumerate(islice(haystack.queries(Random(12), lines), 200)):
        seconds = (BIN, 1, 60, 300)[number % 4]
        if query.words and query.words[0] and Random(str(query)).random() < 0.7:
            query = Query(levels=query.levels, services=query.services, to=query.to)
        events = map(readable, haystack.plain_search(lines, query))
        expected = Counter((bin_of(each.timestamp, seconds), each.level) for each in events if each)
        assert counted(log_file, query, seconds) == expected, query


def test_several_processes_find_the_same_in_the_same_order(
    log_file: Path, lines: list[bytes]
) -> None:
    query = Query(words=("pay",))
    expected = haystack.plain_search(lines, query)
    assert expected
    assert found(log_file, query, processes=3) == expected
    assert found(log_file, query, newest=20, processes=3)[-20:] == expected[-20:]


def test_a_file_whose_only_escape_is_in_no_event_is_indexed(tmp_path: Path) -> None:
    file = RotatedFile("", tmp_path / "logs.txt")
    file.plain.write_bytes(rb"no event \u0041" + b"\n")
    table, bitmaps = indexing.made_of(file, with_bitmaps=True)
    assert (table.odd, len(table.blocks), len(bitmaps)) == (1, 1, 1)


def test_files_that_are_deleted_or_cannot_be_read_are_reported_and_others_searched(
    log_file: Path, lines: list[bytes]
) -> None:
    (log_file.parent / "logs-20260921T150000.000000Z.txt").mkdir()
    with closing(SearchedFiles(log_file)) as sources:
        gone = sources.local()[:5]  # of every kind; the directory is among the others
        for source in gone:
            source.path().unlink()
            (log_file.parent / f"{source.name}.index").unlink(missing_ok=True)
        with Search(sources, Matcher(Query(words=("a",))), processes=1) as search:
            results = list(search.results())
    reported = {search.sources[each.source].name for each in results if each.problem}
    folder = "logs-20260921T150000.000000Z.txt"
    assert {source.name for source in gone} | {folder} >= reported >= {folder}
    found = {line for each in results for _, line in each.lines}
    expected = haystack.plain_search(lines[len(lines) // 2 :], Query(words=("a",)))
    assert {*expected} <= found
