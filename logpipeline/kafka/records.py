"""Records: those at given offsets, read at the caller's pace."""

import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from contextlib import suppress

from kafka import TopicPartition
from kafka.errors import KafkaError, OffsetOutOfRangeError

from logpipeline.events.columns import Columns
from logpipeline.kafka import clients, fetcher
from logpipeline.kafka.settings import ReaderSettings

POLL_MS = 500
FETCH_BYTES = 256 * 1024  # of a partition, returned by one poll
MOST_RECORDS = 10_000  # returned by one poll
# Other versions of kafka-python may never return the rest of a fetch whose partition was paused
# during it.
WHOLE_FETCHES = 2**31 - 1
PATIENCE = 15.0  # seconds without a record until Kafka counts as unavailable


class Records:
    """Reads partitions, each from its first offset up to, not including, its second.

    It joins no consumer group, and reads the same records as consumer.py; with `details` also times
    and headers. Raises KafkaError.
    """

    def __init__(
        self,
        settings: ReaderSettings,
        spans: Mapping[TopicPartition, tuple[int, int]],
        details: bool = False,
    ) -> None:
        self._ends = {at: end for at, (start, end) in spans.items() if start < end}
        self._consumer = clients.consumer(
            settings,
            auto_offset_reset="none",
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        known = fetcher.install(self._consumer, settings.event_max_bytes, details)
        self._details = details
        self._most = MOST_RECORDS if known else WHOLE_FETCHES
        self._consumer.assign(list(self._ends))
        for at in self._ends:
            self._consumer.seek(at, spans[at][0])
        self.unread = set(self._ends)

    def poll(self, wanted: Iterable[TopicPartition]) -> dict[TopicPartition, Columns]:
        """The next records of some of the `wanted` partitions, in their order.

        A partition leaves `unread` when all of it has been read. Raises KafkaError.
        """
        wanted = self.unread.intersection(wanted)
        self._consumer.pause(*self._ends.keys() - wanted)
        self._consumer.resume(*wanted)
        deadline = time.monotonic() + PATIENCE
        while wanted:
            try:
                polled = self._consumer.poll(POLL_MS, self._most)
            except OffsetOutOfRangeError as error:
                raise KafkaError(f"records were deleted while being read: {error}") from None
            done = {at for at in wanted if self._consumer.position(at) >= self._ends[at]}
            self.unread -= done
            if polled or done:
                return {at: self._before_end(at, parts) for at, parts in polled.items()}
            if time.monotonic() > deadline:
                raise KafkaError(f"no record arrived for {PATIENCE:.0f} s")
        return {}

    def _before_end(self, at: TopicPartition, parts: Iterable[Columns]) -> Columns:
        records = Columns.of(parts, self._details)
        return records.part(0, bisect_left(records.offsets, self._ends[at]))

    def close(self) -> None:
        with suppress(KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=2_000)
