"""Query: what an event must have to be found."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate, compress, repeat
from typing import Any

import msgspec

from logpipeline.archive.grams import Bitmap, Wanted
from logpipeline.archive.index import BIN, Block, Index, Key, bin_of
from logpipeline.events.event import LEVEL_OF, LEVELS, level_of
from logpipeline.events.readable import Readable, readable
from logpipeline.find.condition import Condition
from logpipeline.find.literals import Literal
from logpipeline.find.request import Query as Query
from logpipeline.find.word import BadQuery, Word


class _Columns(msgspec.Struct, gc=False):
    level: str
    message: str
    timestamp: float
    service: Any = None


_decoder = msgspec.json.Decoder(_Columns)


class Matcher:
    """Finds the events of a query, or counts them by bins of so many seconds, BIN at most."""

    def __init__(self, query: Query, bin_seconds: int = BIN) -> None:
        """Raises BadQuery."""
        self.query = query
        self._bin = bin_seconds
        self._words = [Word(word, query.regex) for word in query.words if word]
        self._without = [Word(word) for word in query.without]
        self._conditions = [Condition(text) for text in query.where]
        self._levels = {_level(name) for name in query.levels}
        self._services = {*query.services}
        found = [literal for word in self._words for literal in word.literals]
        found += [literal for each in self._conditions for literal in each.literals]
        self.literal: Literal | None = max(found, key=lambda it: len(it.text), default=None)
        begun = {literal.text for literal in found if literal.whole}
        self._wanted = Wanted([literal.text for literal in found], begun)

    @property
    def is_counted(self) -> bool:
        """Whether the counts of an index are enough to answer it, but for its times."""
        return not self._words and not self._without and not self._conditions

    def match(self, line: bytes) -> Readable | None:
        """The event in a line, if it is one that is wanted."""
        event = readable(line)
        if event is None or not self._has(event.level, event.timestamp, event.service):
            return None
        if not all(condition.holds(event) for condition in self._conditions):
            return None
        if self._without or not self._are_in(event.fields["message"]):
            text = event.text
            if not self._are_in(text):
                return None
            lowered = text.lower()
            if any(word.is_in(text, lowered) for word in self._without):
                return None
        return event

    def _are_in(self, text: str) -> bool:
        """Whether all words are: mostly in the message, which takes a tenth of the whole text."""
        lowered = text.lower()
        return all(word.is_in(text, lowered) for word in self._words)

    def found(self, lines: bytes) -> Iterator[tuple[int, bytes]]:
        """The lines with wanted events, with their positions."""
        sifted, certain = self._sifted(lines)
        if certain and self.is_counted:
            return sifted
        return (each for each in sifted if self.match(each[1]))

    def _sifted(self, lines: bytes) -> tuple[Iterator[tuple[int, bytes]], bool]:
        """The lines whose level, time and service are wanted, with their positions; if not
        `certain`, all of them."""
        split = lines.removesuffix(b"\n").split(b"\n")
        columns = [] if self.is_any and not self.is_counted else _columns(lines)
        certain = len(columns) == len(split)  # else a line is blank, or not an event
        wanted: Iterable[bool] = (self._has(*each) for each in columns) if certain else repeat(True)
        begins = accumulate((len(line) + 1 for line in split), initial=0)
        return compress(zip(begins, split, strict=False), wanted), certain

    def count(self, lines: bytes) -> Counter[Key]:
        """The wanted events by bin, level and service."""
        columns = _columns(lines) if self.is_counted else []
        if columns:
            size = self._bin
            found = ((bin_of(ts, size), lv, sv) for lv, ts, sv in columns if self._has(lv, ts, sv))
        else:
            events = (self.match(line) for _, line in self._sifted(lines)[0])
            found = (self.key(event) for event in events if event)
        return Counter(found)

    def key(self, event: Readable) -> Key:
        return bin_of(event.timestamp, self._bin), event.level, event.service

    @property
    def is_any(self) -> bool:
        """Whether each level, time and service is wanted."""
        query = self.query
        every = query.since == -math.inf and query.to == math.inf
        return every and not self._levels and not self._services

    def _has(self, level: str, timestamp: float, service: str) -> bool:
        return (
            self.query.since <= timestamp < self.query.to
            and (not self._levels or level in self._levels)
            and (not self._services or service in self._services)
        )

    def may_have(self, index: Index, block: Block) -> bool:
        """Whether the block may have such an event, by times and counts."""
        if block.last < self.query.since or block.first >= self.query.to:
            return False
        every = not self._levels and not self._services
        return every or any(self._counts(*key) for key, _ in index.keys(block))

    def may_be_in(self, bitmap: Bitmap | None) -> bool:
        return bitmap is None or self._wanted.may_be_in(bitmap)

    @property
    def asks_bitmaps(self) -> bool:
        return bool(self._wanted)

    def whole(self, index: Index, block: Block) -> Counter[Key] | None:
        """The events of the block by bin, level and service; None: it has to be read."""
        inside = self.query.since <= block.first and block.last < self.query.to
        if not self.is_counted or not inside:
            return None
        begin = bin_of(block.first, self._bin)
        if self._bin < BIN and begin != bin_of(block.last, self._bin):
            return None
        keys: Counter[Key] = Counter()
        for (bin_, level, service), events in index.keys(block):
            if service is None and self._services:
                return None
            if self._counts(bin_, level, service):
                keys[bin_ if self._bin == BIN else begin, level, service or ""] += events
        return keys

    def _counts(self, _bin: int, level: str, service: str | None) -> bool:
        return (not self._levels or level in self._levels) and (
            not self._services or service is None or service in self._services
        )


def _columns(lines: bytes) -> list[tuple[str, float, str]]:
    """Level, timestamp and service of each line; empty if one of them is blank or not an event."""
    try:
        if not lines.isascii():
            lines.decode()  # msgspec does not check fields that it skips
        events = _decoder.decode_lines(lines)
        return [(LEVEL_OF[each.level], each.timestamp, _name(each.service)) for each in events]
    except (msgspec.MsgspecError, ValueError, KeyError, RecursionError):
        return []


def _name(service: Any) -> str:
    """Raises ValueError when it is not written as a name."""
    if isinstance(service, str):
        return service
    if service is None:
        return ""
    raise ValueError


def _level(name: str) -> str:
    level = level_of(name)
    if level is None:
        raise BadQuery(f"--level {name}: must be one of {', '.join(LEVELS)}")
    return level
