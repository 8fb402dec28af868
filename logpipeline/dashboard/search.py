"""Search: the events that filters let through, at a bounded cost whatever is asked of whatever."""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from logpipeline.dashboard.entry import NAME, Entry
from logpipeline.events.event import LEVELS

CHARACTERS = 200  # of what is searched for
WORDS = 8
SERVICE = 10 * NAME + 1  # characters: those that are not shown are written as \\U0001f4dc
SECONDS = 0.3  # of CPU that one search may take: hostile words in hostile events are slow to find


@dataclass(frozen=True)
class Filters:
    """None of `levels`, of `services` or of `words` means all. Made by `of` they are bounded."""

    levels: frozenset[str] = frozenset()
    service: str = ""
    words: str = ""

    @classmethod
    def of(
        cls, levels: Iterable[object] = (), service: object = "", words: object = ""
    ) -> "Filters":
        """From anything that a browser may have sent."""
        known = frozenset(level for level in LEVELS if level in levels)
        return cls(known, _text(service, SERVICE), _text(words, CHARACTERS))

    def __bool__(self) -> bool:
        return bool(self.levels or self.service or self.words)

    @property
    def needles(self) -> list[bytes]:
        """The words to look for, each once, in no letter case."""
        return [needle(word) for word in dict.fromkeys(self.words.casefold().split())][:WORDS]


@dataclass(frozen=True)
class Found:
    """The matching entries, newest first; `looked` at so many, which is all unless time was up."""

    entries: list[Entry]
    looked: int


def search(entries: Collection[Entry], filters: Filters) -> Found:
    """For a thread: it takes SECONDS of CPU at most."""
    found, looked, needles = [], 0, filters.needles
    deadline = time.thread_time() + SECONDS
    for each in entries:
        if needles and time.thread_time() > deadline:
            break
        looked += 1
        if (
            (not filters.levels or each.level in filters.levels)
            and (not filters.service or each.service == filters.service)
            and all(word in each.searched for word in needles)
        ):
            found.append(each)
    return Found(sorted(found, key=lambda each: each.timestamp, reverse=True), looked)


def needle(word: str) -> bytes:
    return word.encode("utf-8", "surrogatepass")


def _text(value: object, most: int) -> str:
    return value[:most] if isinstance(value, str) else ""
