"""Backlog: what Redis has not got yet takes bounded memory, whatever size events have."""

import tracemalloc

import pytest

from logpipeline.events.slices import read
from logpipeline.recent import backlog
from logpipeline.recent.backlog import Backlog
from tests.support.records import Record, events

LARGE = "x" * 2**20


def test_large_events_of_an_outage_take_bounded_memory() -> None:
    log = Backlog(1_000)
    tracemalloc.start()
    try:
        for number in range(200):
            log.add(events(0, number, number + 1, message=LARGE))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 3 * backlog.MOST_BYTES


def test_invalid_records_of_an_outage_take_no_memory() -> None:
    log = Backlog(1_000)
    tracemalloc.start()
    try:
        for number in range(6_000):
            value = b"x" * (2**20 if number < 200 else 1)
            log.add(read(0, number, [Record(number, value)]))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < backlog.MOST_BYTES
    news = log.after({0: 0})
    assert news is not None
    assert news.spans == {0: [0, 6_000]}


def test_lists_that_would_have_a_hole_are_not_given_but_what_is_counted_is() -> None:
    log = Backlog(1_000)
    for number in range(40):
        log.add(events(0, number, number + 1, message=LARGE))
    assert log.after({0: 0}) is None
    assert log.counts({0: 0}).total() == 40
    assert log.ends() == {0: 40}
    later = log.after({0: 39})
    assert later is not None
    assert [len(line) > 2**20 for line in later.lists[""]] == [True]


@pytest.mark.parametrize("holed", ["first", "second"])
def test_a_hole_stays_when_backlogs_follow_each_other(holed: str) -> None:
    log, later = Backlog(1_000), Backlog(1_000)
    for number in range(40):
        message = LARGE if (holed == "first") == (number < 20) else "small"
        (log if number < 20 else later).add(events(0, number, number + 1, message=message))
    log.extend(later)
    for number in range(40, 80):
        log.add(events(0, number, number + 1, message=LARGE))
    assert log.after({0: 0}) is None
    assert log.counts({0: 0}).total() == 80


def test_the_oldest_new_event_of_redis_is_the_one_that_waited() -> None:
    log = Backlog(3)
    log.add(events(0, 0, 10))
    news = log.after({0: 0})
    assert news is not None
    assert list(news.times) == [1_711_234_567.0 + number for number in (7, 8, 9)]
