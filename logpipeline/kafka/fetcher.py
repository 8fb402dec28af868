"""Fetcher: the records that kafka-python has fetched of a partition, as Columns.

`install` puts subclasses between the library's consumer and its record batches. The library still
handles checksums, transactions, control batches and positions, and batches of the formats before
Kafka 0.11, which no broker since 4.0 accepts.
"""

import logging
import math
import time
from bisect import bisect_left
from collections.abc import Iterator
from functools import partial
from typing import Any

import kafka
from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.record import MemoryRecords, MemoryRecordsBuilder
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch

from logpipeline.events.columns import Columns
from logpipeline.kafka.payload import Payload

log = logging.getLogger(__name__)

KNOWN = "3.0.12"  # the version of kafka-python whose internals are used here
LEAST_MS = 20.0  # wait for records, at least: they end it at once
ROOM = 4 * 2**20  # bytes that one poll unpacks, plus one piece or record


def install(consumer: KafkaConsumer, most: float = math.inf, details: bool = False) -> bool:
    """Let `consumer.poll` return lists of Columns, as in Payload, of about ROOM bytes.

    Returns False and logs a warning for another version of kafka-python: the lists then have its
    own records, which takes longer, and as much memory as a hostile batch demands.
    """
    if kafka.__version__ != KNOWN or not _works():
        log.warning(
            "kafka-python %s does not decode as the supported %s does: using its slower decoder",
            *(kafka.__version__, KNOWN),
        )
        return False
    consumer._fetcher.__class__ = PromptFetcher
    consumer._fetcher.PartitionRecords = partial(Fetched, most=most, details=details)
    return True


class Fetched(Fetcher.PartitionRecords):  # type: ignore[misc]
    """The library's class, but `take` returns Columns.

    To the library's own loop each piece of a batch looks like a record whose value is its Columns.
    """

    def __init__(
        self,
        fetch_offset: int,
        at: TopicPartition,
        records: MemoryRecords,
        most: float = math.inf,
        details: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(fetch_offset, at, _Batches(records, most, details), **options)
        self._details = details
        self.room = math.inf  # bytes that may be unpacked
        self._rest = Columns()

    def take(self, n: int) -> Columns:
        """Up to `n` records of about `room` bytes, and at least one unless there are none. All are
        of one leader epoch.

        An error after the first record is raised by the next call.
        """
        taken = Columns()
        while len(taken) < n and (self.room > 0 or not taken):
            try:
                self._rest = self._rest or self._next_piece()
            except Exception as error:
                if not taken:
                    raise
                self._next_inline_exception = error
                break
            if not self._rest or -1 < taken.epoch != self._rest.epoch:
                break
            part = self._rest.cut(n - len(taken))
            if taken:
                taken.extend(part)
            else:
                taken = part
            self.next_fetch_offset = taken.offsets[-1] + 1
        return taken

    def _next_piece(self) -> Columns:
        """The next piece of a batch, or a record that the library decodes; empty at the end."""
        before = self.bytes_read
        read = super().take(1)
        records = (r.value if isinstance(r.value, Columns) else r for r in read)
        piece = Columns.of(records, self._details)
        piece.epoch = read[0].leader_epoch if read else -1
        self.room -= self.bytes_read - before
        return piece

    def _maybe_skip_record(self, record: Any) -> bool:
        """Called until it keeps a record: a piece may begin before the wanted offset."""
        skip: bool = super()._maybe_skip_record(record)
        if not skip and isinstance(record.value, Columns):
            record.value.cut(bisect_left(record.value.offsets, self.fetch_offset))
        return skip


class PromptFetcher(Fetcher):  # type: ignore[misc]
    """The library's fetcher, which returns Columns, and at once when a response has arrived.

    A broker holds a request for fetch_max_wait_ms (0.5 s) if its partitions have nothing new, and
    gets no other in that time. The library's requests omit partitions whose records it is still
    returning: so a backlog in one of them was read at a tenth of the speed.
    """

    _room: float = ROOM

    def fetch_records(self, *args: Any, timeout_ms: float, **options: Any) -> tuple[Any, bool]:
        """The records of one poll, and whether there was nothing to wait for.

        While a heartbeat is overdue, as with a broker that hangs, the library allows no wait at all
        and would keep a core busy.
        """
        waited = max(timeout_ms, LEAST_MS)
        records, idle = super().fetch_records(*args, timeout_ms=waited, **options)
        if idle and timeout_ms < LEAST_MS:
            time.sleep(LEAST_MS / 1_000)
        return records, idle

    def fetched_records(self, *args: Any, **options: Any) -> Any:
        """The records of one poll, of about ROOM bytes."""
        self._room = ROOM
        if not self._next_partition_records:
            # Otherwise the rest of a partition that was paused meanwhile would wait for ever.
            self._next_partition_records: Fetched | None = None
        return super().fetched_records(*args, **options)

    def _append(self, drained: Any, part: Fetched, max_records: int, update_offsets: bool) -> int:
        """Move records of `part`. Returns their number, or `max_records` to end the poll."""
        part.room = self._room
        state = self._subscriptions.assignment.get(part.topic_partition)
        if state and state.position and part.leader_epoch < 0:
            # A response without records would otherwise delete the epoch of the position, by which
            # client and broker notice lost records.
            part.leader_epoch = state.position.leader_epoch
        count: int = super()._append(drained, part, max_records, update_offsets)
        self._room = part.room
        return count if self._room > 0 else max_records

    def _create_fetch_requests(self) -> dict[Any, Any]:
        """Requests for all partitions, once all earlier records have been returned."""
        if self._completed_fetches or self._next_partition_records:
            return {}
        requests: dict[Any, Any] = super()._create_fetch_requests()
        return requests

    async def _clean_done_fetch_futures(self) -> None:
        """Keep futures of responses that have just arrived: otherwise poll sleeps for 0.1 s."""
        if not self._completed_fetches:
            await super()._clean_done_fetch_futures()


class _Batches:
    """The library's batches; those of the current format are wrapped."""

    def __init__(self, records: MemoryRecords, most: float, details: bool) -> None:
        self._records = records
        self._options = most, details

    def next_batch(self) -> Any:
        batch = self._records.next_batch()
        return _Batch(batch, *self._options) if type(batch) is DefaultRecordBatch else batch


class _Batch:
    """A batch of the library that iterates over its pieces, each as one record."""

    def __init__(self, batch: DefaultRecordBatch, most: float, details: bool) -> None:
        self._batch = batch
        self._options = most, details

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        payload = Payload(self._batch, *self._options)
        before = 0
        for piece in payload:
            size, before = payload.position - before, payload.position
            yield DefaultRecord(size, piece.offsets[-1], -1, 0, None, piece, [])


def _works() -> bool:
    """Whether the library's class and ours decode a small batch alike."""
    builder = MemoryRecordsBuilder(2, 0, 4096)
    for number in range(3):
        builder.append(number, b"key", b"value %d" % number)
    builder.close()
    at = TopicPartition("self-check", 0)
    try:
        theirs = Fetcher.PartitionRecords(1, at, builder.records())
        ours = Fetched(1, at, builder.records())
        return all(
            Columns.of(theirs.take(most)) == Columns.of(ours.take(most))
            and theirs.next_fetch_offset == ours.next_fetch_offset
            for most in (1, 2)
        )
    except Exception:  # noqa: BLE001 - another version may differ in any way
        return False
