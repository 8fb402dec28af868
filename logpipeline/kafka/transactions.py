"""Transactions: records of which Kafka stores all or none."""

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from logpipeline.kafka import clients
from logpipeline.kafka.outbox import BATCHED, RELIABLE
from logpipeline.kafka.settings import KafkaSettings
from logpipeline.shutdown import Shutdown

OPEN_MS = 10_000  # after which Kafka aborts a dead sender's transaction; readers wait until then
PATIENCE = 15.0  # seconds for a commit; beyond OPEN_MS, it has failed
LAST_PATIENCE = 5.0  # seconds, after a request to stop
STEP_MS = 50


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """A record to send to a topic."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)


class TooLarge(Exception):  # noqa: N818 - a verdict about records, not a failure
    """Records are too large for the topic: their indexes, and Kafka's sentence."""

    def __init__(self, indexes: list[int], sentence: str) -> None:
        super().__init__(sentence)
        self.indexes = indexes


class Transactions:
    """The only sender of that name: Kafka refuses an earlier one, dead or alive, and has aborted
    its open transaction.

    After an exception it cannot be used any more. For one thread. Raises KafkaError, OSError.
    """

    def __init__(self, settings: KafkaSettings, name: str, stop: Shutdown) -> None:
        self._stop = stop
        self._producer = clients.producer(
            settings,
            max_block_ms=10_000,
            transactional_id=name,
            transaction_timeout_ms=OPEN_MS,
            **RELIABLE,
            **BATCHED,
        )
        self._manager = self._producer._transaction_manager
        # Otherwise kafka-python, when fenced, takes a new epoch: it would send beside its
        # successor, and report a transaction as committed that Kafka has aborted.
        self._manager._supports_epoch_bump = lambda: False
        try:
            self._producer.init_transactions()
        except KafkaError:
            self.close()
            raise

    def send(self, records: Iterable[OutgoingRecord]) -> None:
        """Return once Kafka has them all. Raises TooLarge; KafkaError: it may have them or not."""
        self._producer.begin_transaction()
        futures, large = [], []
        for index, record in enumerate(records):
            headers = list(record.headers)
            try:
                future = self._producer.send(record.topic, record.value, record.key, headers)
            except MessageSizeTooLargeError as error:
                large.append((index, error))
                continue
            futures.append((index, future))
        if not large:
            try:
                self._commit()
                return
            except KafkaError:
                failed = [(index, future.exception) for index, future in futures]
                large = [pair for pair in failed if isinstance(pair[1], MessageSizeTooLargeError)]
                if not large:
                    raise
        raise TooLarge([index for index, _ in large], str(large[0][1]))

    def close(self) -> None:
        """Disconnect. Kafka aborts what is not committed."""
        with suppress(KafkaError):
            # Fails what is left: close() would wait for it, and leave its thread behind.
            self._producer._sender.force_close()
            self._producer._sender.join(1)
            self._producer.close(timeout=1)

    def _commit(self) -> None:
        """commit_transaction() would wait for ever. Raises KafkaError."""
        result = self._manager.begin_commit()
        self._producer._sender.wakeup()
        deadline = time.monotonic() + PATIENCE
        while not result.wait(STEP_MS):
            if self._stop:
                deadline = min(deadline, time.monotonic() + LAST_PATIENCE)
            if time.monotonic() > deadline:
                raise KafkaTimeoutError("Kafka has not committed the transaction in time")
