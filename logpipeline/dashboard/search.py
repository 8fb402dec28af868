"""Search: the events that match filters, at a bounded cost for any filters and any events."""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from logpipeline.dashboard.entry import SERVICE, EventEntry
from logpipeline.dashboard.terms import MOST, Terms, parse
from logpipeline.events.event import LEVELS

CHARACTERS = 200  # of the words in a search
WORDS = MOST  # of a search
SECONDS = 0.3  # of CPU time for one search: hostile words in hostile events are slow to find


@dataclass(frozen=True)
class Filters:
    """No `levels`, `service` or `words` means all. Created by `of`, they have bounded lengths."""

    levels: frozenset[str] = frozenset()
    service: str = ""
    words: str = ""

    @classmethod
    def of(
        cls, levels: Iterable[object] = (), service: object = "", words: object = ""
    ) -> "Filters":
        """From whatever a browser may have sent."""
        known = frozenset(level for level in LEVELS if level in levels)
        return cls(known, _text(service, SERVICE), _text(words, CHARACTERS))

    def __bool__(self) -> bool:
        return bool(self.levels or self.service or self.words)

    @property
    def needles(self) -> list[bytes]:
        """The words to search for, each once, case-folded."""
        return _needles(self.terms.words)

    @property
    def terms(self) -> Terms:
        return parse(self.words)


@dataclass(frozen=True)
class Found:
    """The matching entries, newest first; `searched` is how many entries were searched before the
    time was up."""

    entries: list[EventEntry]
    searched: int


def search(entries: Collection[EventEntry], filters: Filters) -> Found:
    """Takes at most SECONDS of CPU time: call it in a thread."""
    found, searched, terms = [], 0, filters.terms
    needles, unwanted = filters.needles, _needles(terms.without)
    if terms.problem or terms.patterns:
        return Found([], 0)
    deadline = time.thread_time() + SECONDS
    for each in entries:
        if filters.words and time.thread_time() > deadline:
            break
        searched += 1
        if (
            (not filters.levels or each.level in filters.levels)
            and (not filters.service or each.service == filters.service)
            and all(word in each.searched for word in needles)
            and not any(word in each.searched for word in unwanted)
            and terms.holds(each.line)
        ):
            found.append(each)
    return Found(sorted(found, key=lambda each: each.timestamp, reverse=True), searched)


def _needles(words: Iterable[str]) -> list[bytes]:
    return [needle(word.casefold()) for word in words]


def needle(word: str) -> bytes:
    return word.encode("utf-8", "surrogatepass")


def _text(value: object, most: int) -> str:
    return value[:most] if isinstance(value, str) else ""
