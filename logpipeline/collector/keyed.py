"""Keyed: the thread that sends what has a key, by transactions."""

import logging
import socket
import time

from kafka.errors import KafkaError

from logpipeline.collector.exchange import Pair
from logpipeline.collector.keys import Keys
from logpipeline.collector.sending import Means, Outcome, Parcel, Sending
from logpipeline.kafka import connection, topics
from logpipeline.kafka.transactions import OutgoingRecord, TooLarge, Transactions
from logpipeline.outage import Outage

log = logging.getLogger(__name__)

IDLE = 0.5  # seconds between two looks at `stop`
MOST = 20_000  # events of a transaction, but for a single batch


class Keyed(Sending):
    """Stores each batch with the digests of its keys in one transaction, so that a repeated one is
    recognised: also after a SIGKILL, by what Kafka has.

    All batches that wait share a transaction. One whose outcome is not known ends with its
    sender; the next sender of that name, and the topic of the keys, show what became of it.
    """

    name = "keyed"

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        self._keys = Keys(self._settings)
        self._held: list[Parcel] = []  # of the transaction in hand, not settled
        self._outage = Outage(log)

    def _run(self) -> None:
        while not self.stop:
            try:
                if not topics.ensure(self._settings, self.stop, topics.to_send(self._settings)):
                    return
                self._keys.create()
                sender = Transactions(self._settings, self._name(), self.stop)
            except (KafkaError, OSError) as error:
                self._complain(error)
                self.stop.wait(1)
                continue
            try:
                self._keys.read()
                self.away = ""
                self._outage.resolve("Kafka available again for requests with a key")
                self._send_all(sender)
            except TooLarge as error:  # the topic takes less than others do
                self._refuse(error)
            except (KafkaError, OSError) as error:
                self._complain(error)
            finally:
                sender.close()

    def _name(self) -> str:
        """Of the sender: the next one at this port ends the transaction of an earlier one."""
        place = f"{socket.gethostname()}.{self._settings.collector_port}"
        return f"{self._settings.kafka_topic}.collector.{place}"

    def _complain(self, error: Exception) -> None:
        self.away = "Kafka does not answer"
        reason = connection.reason(self._settings, error)
        self._outage.report(f"requests with a key wait for Kafka: {reason}")

    def _send_all(self, sender: Transactions) -> None:
        """Raises TooLarge, KafkaError."""
        while not self.stop or self._queue:
            if not self._held:
                self._gather()
            records, digests = self._records()
            if records:
                sender.send(records)
                self._keys.add(digests, time.time())
            for parcel in self._held:
                self._settle(parcel, self._outcome(parcel))
            self._held = []
            self._report()

    def _gather(self) -> None:
        """All batches that wait, up to MOST events."""
        parcel, count = self._take(IDLE), 0
        while parcel:
            self._held.append(parcel)
            count += len(parcel.pairs)
            parcel = self._queue.popleft() if self._queue and count < MOST else None

    def _records(self) -> tuple[list[OutgoingRecord], list[bytes]]:
        """What Kafka does not have of the batches in hand, and the digests that stand for it."""
        records: list[OutgoingRecord] = []
        fresh: dict[bytes, None] = {}
        self._of: list[Parcel] = []  # the parcel of each record
        for parcel in self._held:
            for key, value in self._unsent(parcel, fresh):
                records.append(OutgoingRecord(self._settings.kafka_topic, key, value))
                self._of.append(parcel)
        if fresh:
            records.append(OutgoingRecord(self._keys.topic, None, b"".join(fresh)))
        return records, list(fresh)

    def _unsent(self, parcel: Parcel, fresh: dict[bytes, None]) -> list[Pair]:
        if parcel.once:
            key, events = parcel.once
            if any(digest in self._keys or digest in fresh for digest in (key, events)):
                return []
            fresh |= {key: None, events: None}
            return list(parcel.pairs)
        unsent = []
        for pair, digest in zip(parcel.pairs, parcel.ids, strict=True):
            if digest and (digest in self._keys or digest in fresh):
                continue
            if digest:
                fresh[digest] = None
            unsent.append(pair)
        return unsent

    def _outcome(self, parcel: Parcel) -> Outcome:
        """Of a parcel whose transaction is committed."""
        if parcel.once and parcel.once[1] not in self._keys:
            return Outcome.CONFLICT
        return Outcome.STORED

    def _refuse(self, error: TooLarge) -> None:
        """Refuse the batches of records that are too large; the others are sent again."""
        log.error("a batch with a key was refused: %s", error)
        refused = {id(self._of[index]) for index in error.indexes if index < len(self._of)}
        for parcel in self._held:
            if id(parcel) in refused or len(refused) == 0:
                self._settle(parcel, Outcome.REFUSED)
        self._held = [each for each in self._held if id(each) not in refused and refused]
