"""Run: sends the originals of a selection, in blocks, each with its entry in the journal."""

import logging
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import takewhile

from logpipeline.events.event import Partial
from logpipeline.kafka.transactions import OutgoingRecord, TooLarge, Transactions
from logpipeline.pace import paced
from logpipeline.replay.journal import Journal, ensure, name
from logpipeline.replay.original import Original
from logpipeline.replay.selection import Selection
from logpipeline.replay.settings import ReplaySettings
from logpipeline.shutdown import Shutdown

log = logging.getLogger(__name__)

A_SECOND = 10  # blocks, at most: readers of the topic wait while one is being sent
MOST_EVENTS = 1_000  # of a block
MOST_BYTES = 8 * 2**20
REPORT_EVERY = 10.0  # seconds


class Run:
    """One run of replay.py. `sent` counts the events that Kafka has acknowledged."""

    def __init__(self, settings: ReplaySettings, again: str, stop: Shutdown) -> None:
        self.id = uuid.uuid4().hex
        self.sent = 0
        self._settings = settings
        self._again = again
        self._stop = stop
        self._report_next = time.monotonic() + REPORT_EVERY

    def journal(self) -> Journal:
        """As it is now. Raises JournalError, KafkaError, OSError."""
        return Journal(self._settings, self.id, self._again)

    def go(self, selection: Selection, rate: float) -> None:
        """Send what is not sent yet, until the end or a request to stop; `rate` is that of `paced`.

        After a KafkaError, or the death of the process, it can be called again: the journal then
        has what Kafka has. Raises KafkaError, OSError, JournalError, Overtaken, and what the
        selection raises.
        """
        settings = self._settings
        ensure(settings)
        # First the connection, then the journal: from here on no other run adds to it.
        with closing(Transactions(settings, f"{settings.kafka_topic}.replay", self._stop)) as kafka:
            journal = self.journal()
            self.sent = journal.sent
            if not journal.begun():
                kafka.send([self._entry(journal.beginning())])
            most = max(1, min(MOST_EVENTS, int(rate / A_SECOND))) if rate else MOST_EVENTS
            # A reader of Kafka has a thread, which the generator must not leave behind.
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
        self._report()

    def _entry(self, value: bytes) -> OutgoingRecord:
        return OutgoingRecord(name(self._settings), None, value)

    def _report(self) -> None:
        if time.monotonic() > self._report_next:
            self._report_next = time.monotonic() + REPORT_EVERY
            log.info("%s events sent again", f"{self.sent:,}")


def record(topic: str, original: Original) -> OutgoingRecord:
    """The record to send, with the original bytes and key."""
    assert not isinstance(original.value, Partial)  # a selection has valid events alone
    mark = ("replayed", original.mark.encode())
    return OutgoingRecord(topic, original.key, original.value, [mark, *original.headers])


def blocks(originals: Iterable[Original], most: int) -> Iterator[list[Original]]:
    """Blocks of at most `most` originals, and about MOST_BYTES."""
    block, size = list[Original](), 0
    for original in originals:
        block.append(original)
        size += len(original.value or b"")  # type: ignore[arg-type]
        if len(block) == most or size >= MOST_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block
