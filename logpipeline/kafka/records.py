"""Records: what Kafka has at given offsets, read at the pace of whoever asks."""

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaError, OffsetOutOfRangeError

from logpipeline.kafka import clients
from logpipeline.kafka.settings import KafkaSettings

POLL_MS = 500
FETCH_BYTES = 256 * 1024  # of a partition: all that poll returns at once
# kafka-python 3.0.12 never gives out the rest of a fetch whose partition was paused in the middle.
WHOLE_FETCHES = 2**31 - 1
PATIENCE = 15.0  # seconds without a record before Kafka is taken to be away


class Records:
    """Reads partitions, each from its first offset up to, not including, its second.

    It is in no consumer group. Raises KafkaError.
    """

    def __init__(
        self, settings: KafkaSettings, spans: Mapping[TopicPartition, tuple[int, int]]
    ) -> None:
        self._ends = {at: end for at, (start, end) in spans.items() if start < end}
        self._consumer = clients.consumer(
            settings,
            auto_offset_reset="none",
            max_poll_records=WHOLE_FETCHES,
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        self._consumer.assign(list(self._ends))
        for at in self._ends:
            self._consumer.seek(at, spans[at][0])
        self.unread = set(self._ends)

    def poll(self, wanted: Iterable[TopicPartition]) -> dict[TopicPartition, list[Any]]:
        """The next records of some of the `wanted` partitions, in their order.

        A partition leaves `unread` when all of it has been read. Raises KafkaError.
        """
        wanted = self.unread.intersection(wanted)
        self._consumer.pause(*self._ends.keys() - wanted)
        self._consumer.resume(*wanted)
        deadline = time.monotonic() + PATIENCE
        while wanted:
            try:
                polled = self._consumer.poll(POLL_MS)
            except OffsetOutOfRangeError as error:
                raise KafkaError(f"records were deleted while they were read: {error}") from None
            done = {at for at in wanted if self._consumer.position(at) >= self._ends[at]}
            self.unread -= done
            if polled or done:
                return {
                    at: [record for record in records if record.offset < self._ends[at]]
                    for at, records in polled.items()
                }
            if time.monotonic() > deadline:
                raise KafkaError(f"no record came for {PATIENCE:.0f} s")
        return {}

    def close(self) -> None:
        with suppress(KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=2_000)
