"""Terms: what is typed into the page's search box, and that Redis and the archive agree on it."""

import pytest

from logpipeline.dashboard.archive_search import query_of
from logpipeline.dashboard.entry import entry
from logpipeline.dashboard.query import PageQuery
from logpipeline.dashboard.search import Filters, search
from logpipeline.dashboard.terms import MOST, Terms, parse, term
from logpipeline.find.query import Matcher
from tests.support.holding import event

LINES = [
    event("ERROR", "Card declined by the bank", service="pay", trace_id="a1", http={"status": 502}),
    event("INFO", "card accepted, declined before", service="pay", trace_id="b2", took=7),
    event("INFO", 'user "Zoë \\ Q" logged in', service="auth", host="web-1", took=12.5),
    event("fatal", "no space: /dev/sda1", service="disk", host="web 2"),
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("card declined", [0, 1]),
        ('"card declined"', [0]),
        ("card -accepted", [0]),
        ('card -"declined before"', [0]),
        ("trace_id:a1", [0]),
        ("-trace_id:a1", [1, 2, 3]),
        ("http.status>=500", [0]),
        ("took>7", [2]),
        ("took<=7", [1]),
        ("level:error", [0]),
        ("level:CRITICAL", [3]),
        ("-service:pay", [2, 3]),
        ('host:"web 2"', [3]),
        ("ZOË", [2]),
        ("/dev/sda1", [3]),
        ("http://nowhere", []),
        ("", [0, 1, 2, 3]),
    ],
)
def test_redis_and_the_archive_find_the_same(text: str, found: list[int]) -> None:
    filters = Filters.of(words=text)
    entries = [entry(str(number), line) for number, line in enumerate(LINES)]
    held = {int(each.id) for each in search(entries, filters).entries}
    matcher = Matcher(query_of(filters, 0.0))
    archived = {number for number, line in enumerate(LINES) if matcher.match(line)}
    assert held == archived == {*found}


def test_a_pattern_is_for_the_archive_beside_words() -> None:
    query = query_of(Filters.of(words="card /by.the (bank|shop)/"), 0.0)
    assert [bool(Matcher(query).match(line)) for line in LINES] == [True, False, False, False]
    assert parse("/(/").problem
    assert search([entry("1", LINES[0])], Filters.of(words="/card/")).entries == []


@pytest.mark.parametrize("value", ["a1", "two words", 'a "quote"', "back\\slash", "-", "é:x"])
def test_a_clicked_value_finds_its_events_alone(value: str) -> None:
    line, other = event(trace_id=value), event(trace_id="other")
    for minus, wanted in ((False, [line]), (True, [other])):
        filters = Filters.of(words=term("trace_id", value, minus))
        entries = [entry("1", line), entry("2", other)]
        assert [each.line for each in search(entries, filters).entries] == wanted


@pytest.mark.parametrize("text", ["-", '"', '-"', "//", ":", "a:", "\0", "/" * 200, '"\\' * 50])
def test_whatever_is_typed_is_taken(text: str) -> None:
    assert isinstance(parse(text), Terms)
    search([entry("1", LINES[0])], Filters.of(words=text))


def test_some_terms_are_searched_and_the_others_counted() -> None:
    assert parse(" ".join(map(str, range(MOST + 3)))).more == 3


@pytest.mark.parametrize(
    "text",
    ["?in=day", "?in=period&from=100&to=200", "?in=all&zone=utc", "?event=1.5-abc&q=-x"],
)
def test_an_address_keeps_the_search(text: str) -> None:
    assert str(PageQuery.parse(text)) == str(PageQuery.parse(str(PageQuery.parse(text))))
    assert len(str(PageQuery.parse(text))) == len(text)


@pytest.mark.parametrize("text", ["?in=x", "?in=period", "?in=period&from=9&to=1&x=%ff"])
def test_an_address_that_makes_no_sense_shows_the_newest(text: str) -> None:
    assert PageQuery.parse(text).source == "newest"
