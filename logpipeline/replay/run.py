"""Run: sends what a selection chooses, block by block, each with its entry in the journal."""

import logging
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import takewhile

from logpipeline.events.event import Partial
from logpipeline.pace import paced
from logpipeline.replay.journal import Journal, ensure, name
from logpipeline.replay.original import Original
from logpipeline.replay.selection import Selection
from logpipeline.replay.settings import ReplaySettings
from logpipeline.replay.transactions import OutgoingRecord, TooLarge, Transactions
from logpipeline.shutdown import Shutdown

log = logging.getLogger(__name__)

A_SECOND = 10  # blocks, at most: who reads the topic waits while one is on its way
MOST_EVENTS = 1_000  # of a block
MOST_BYTES = 8 * 2**20
SAY_EVERY = 10.0  # seconds


class Run:
    """One run of replay.py. `sent` counts what it has sent, as far as Kafka has said so."""

    def __init__(self, settings: ReplaySettings, again: str, stop: Shutdown) -> None:
        self.id = uuid.uuid4().hex
        self.sent = 0
        self._settings = settings
        self._again = again
        self._stop = stop
        self._say_next = time.monotonic() + SAY_EVERY

    def journal(self) -> Journal:
        """As it is now. Raises JournalError, KafkaError, OSError."""
        return Journal(self._settings, self.id, self._again)

    def go(self, selection: Selection, rate: float) -> None:
        """Send what is not sent yet, until the end or a stop; `rate` as `paced` has it.

        After a KafkaError, or the death of the process, it can be called again: what Kafka has is
        what the journal then says. Raises KafkaError, OSError, JournalError, Overtaken, and what
        the selection does.
        """
        settings = self._settings
        ensure(settings)
        # First the connection, then the journal: from here on nobody else adds to it.
        with closing(Transactions(settings, f"{settings.kafka_topic}.replay", self._stop)) as kafka:
            journal = self.journal()
            self.sent = journal.sent
            if not journal.begun():
                kafka.send([self._entry(journal.beginning())])
            most = max(1, min(MOST_EVENTS, int(rate / A_SECOND))) if rate else MOST_EVENTS
            # What reads Kafka has a thread that a generator must not leave behind.
            with closing(selection.of(journal)) as chosen:
                left = takewhile(lambda _: not self._stop, chosen)
                for block in blocks(paced(left, rate, None, self._stop), most):
                    self._send(block, journal, kafka, selection)

    def _send(
        self, block: list[Original], journal: Journal, kafka: Transactions, selection: Selection
    ) -> None:
        again = [record(self._settings.kafka_topic, original) for original in block]
        try:
            kafka.send([*again, *map(self._entry, journal.entries(block))])
        except TooLarge as refused:
            selection.refuse([block[index] for index in refused.indexes], str(refused))
            raise
        self.sent += len(block)
        self._say()

    def _entry(self, value: bytes) -> OutgoingRecord:
        return OutgoingRecord(name(self._settings), None, value)

    def _say(self) -> None:
        if time.monotonic() > self._say_next:
            self._say_next = time.monotonic() + SAY_EVERY
            log.info("%s events sent again", f"{self.sent:,}")


def record(topic: str, original: Original) -> OutgoingRecord:
    """With the bytes and the key as they were."""
    assert not isinstance(original.value, Partial)  # that is no event
    mark = ("replayed", original.mark.encode())
    return OutgoingRecord(topic, original.key, original.value, [mark, *original.headers])


def blocks(originals: Iterable[Original], most: int) -> Iterator[list[Original]]:
    """At most so many together, and about MOST_BYTES."""
    block, size = list[Original](), 0
    for original in originals:
        block.append(original)
        size += len(original.value or b"")  # type: ignore[arg-type]
        if len(block) == most or size >= MOST_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block
