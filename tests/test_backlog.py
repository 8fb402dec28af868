"""Backlog: what Redis has not got yet takes bounded memory, whatever size events have."""

import tracemalloc

from logpipeline.events.event import LEVELS
from logpipeline.events.slices import Place
from logpipeline.recent import backlog
from logpipeline.recent.backlog import Backlog
from tests.support.records import events

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
    lists = 1 + len(LEVELS)
    assert kept < backlog.MOST_BYTES + lists * (backlog.LIST_BYTES + len(LARGE))


def test_the_oldest_new_event_of_redis_is_the_one_that_waited() -> None:
    log = Backlog(3)
    log.add(events(0, 0, 10))
    news = log.after({0: Place(0)})
    assert news is not None
    assert list(news.times) == [1_711_234_567.0 + number for number in (7, 8, 9)]


def test_a_list_that_was_cut_has_the_time_of_its_oldest_event() -> None:
    log = Backlog(1_000)
    log.add(events(0, 0, 40, message=LARGE))
    news = log.after({0: Place(0)})
    assert news is not None
    news.cut_lists()
    assert 1 <= len(news.times) == len(news.lists[""]) < 10
    assert news.times[-1] == 1_711_234_567.0 + 39
