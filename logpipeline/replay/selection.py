"""Selection: the originals of a source that are to be sent again."""

import logging
from collections import Counter
from collections.abc import Generator, Iterable

from logpipeline.events.event import InvalidRecord, parse
from logpipeline.replay.journal import Journal
from logpipeline.replay.original import Origin, Original

log = logging.getLogger(__name__)


class Selection:
    """Selects events of up to `most` bytes from `source`, each time that `of` is called, and counts
    the rest of the last time.

    `before` counts what earlier runs have sent, `invalid` counts by reason what would become a dead
    letter again, `refused` holds what is too large for the topic.
    """

    def __init__(self, source: Iterable[Original], most: float) -> None:
        self._source = source
        self._most = most
        self._reported: set[str] = set()
        self.before = 0
        self.invalid: Counter[str] = Counter()
        self.refused: set[tuple[Origin, int]] = set()

    def of(self, journal: Journal) -> Generator[Original, None, None]:
        """The events that `journal` does not have, each once. Raises what the source raises."""
        self.before = 0
        self.invalid.clear()
        for original in self._source:
            try:
                parse(original.value, self._most)
            except InvalidRecord as error:
                self._count(original, error)
                continue
            if journal.by_others(original):
                self.before += 1
            elif (original.origin, original.number) not in self.refused and journal.take(original):
                yield original

    def refuse(self, originals: Iterable[Original], sentence: str) -> None:
        """Leave these out from now on."""
        for original in originals:
            log.error("not delivered: %s: %s", original.mark, sentence)
            self.refused.add((original.origin, original.number))

    def __str__(self) -> str:
        """For the line of totals."""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.invalid.most_common())
        return (
            f"{self.before:,} were sent before, {self.invalid.total():,} are invalid"
            f"{f' ({reasons})' if reasons else ''}, {len(self.refused):,} undelivered"
        )

    def _count(self, original: Original, error: InvalidRecord) -> None:
        self.invalid[error.reason] += 1
        if error.reason not in self._reported:
            self._reported.add(error.reason)
            log.info(
                "invalid record, not sent (the first of its kind, others are counted): %s: %s",
                *(original.mark, error),
            )
