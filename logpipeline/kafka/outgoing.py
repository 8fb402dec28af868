"""OutgoingBatch: one of kafka-python's batches that takes many records at once.

The library still sets producer id and sequence, sends, retries and splits it. Unlike the library's
it has one future for all of its records, and is encoded and compressed when it is full, by the
thread that fills it, or when it is sent.
"""

import threading
import time
from functools import cached_property

from kafka.codec import lz4_encode
from kafka.producer.future import FutureRecordMetadata
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.structs import TopicPartition

from logpipeline.kafka.encoding import encode

FORMAT = 2


class RecordColumns(DefaultRecordBatchBuilder):  # type: ignore[misc]
    """The library's builder, but of many records at once."""

    def __init__(self, compression: int, most: int) -> None:
        super().__init__(FORMAT, compression, False, -1, -1, -1, most)
        self._fields: list[bytes] = []
        self._times: list[tuple[int, int]] = []
        self._first_timestamp: int | None = None
        self._max_timestamp: int | None = None
        self._estimate = self.header_size_in_bytes()
        self._sealing = threading.Lock()
        self._compressed: bool | None = None  # unknown until sealed

    def add(self, fields: list[bytes], size: int, milliseconds: int) -> None:
        """Add records of `size` bytes, with their time; `fields` are each key and value in turn."""
        if self._first_timestamp is None:
            self._first_timestamp = milliseconds
        self._fields += fields
        self._times.append((milliseconds - self._first_timestamp, len(fields) // 2))
        self._max_timestamp = max(self._max_timestamp or 0, milliseconds)
        self._num_records += len(fields) // 2
        self._last_offset = self._num_records - 1
        self._estimate += size

    def seal(self) -> None:
        """Encode and compress the records. From any thread."""
        with self._sealing:
            if self._compressed is None:
                records = encode(self._fields, self._times)
                self._fields.clear()
                if self._compression_type != self.CODEC_LZ4:
                    self._buffer += records
                    self._compressed = self._maybe_compress()
                    return
                packed = lz4_encode(records)  # without the library's two copies
                self._compressed = len(packed) < len(records)
                self._buffer += packed if self._compressed else records

    def build(self) -> bytearray:
        """The batch."""
        self.seal()
        self.write_header(self._compressed)
        buffer: bytearray = self._buffer
        return buffer

    def size(self) -> int:
        """Bytes of the batch, at most."""
        return self._estimate if self._compressed is None else len(self._buffer)


class OutgoingRecords(MemoryRecordsBuilder):  # type: ignore[misc]
    """The library's records, with RecordColumns."""

    def __init__(self, compression: int, most: int) -> None:
        super().__init__(FORMAT, compression, most)
        self._builder: RecordColumns | None = RecordColumns(compression, most)
        self._full = False

    def room(self) -> int:
        """Bytes that fit; 0 for a closed or full batch."""
        if self._builder is None or self._full:
            return 0
        return int(self._batch_size - self._builder.size())

    def add(self, fields: list[bytes], size: int) -> None:
        """Add records of `size` bytes to a batch that is open, each key and value in turn."""
        assert self._builder
        self._builder.add(fields, size, int(time.time() * 1000))
        self._next_offset += len(fields) // 2

    def fill_up(self) -> RecordColumns | None:
        """Take no more records. Returns what can be sealed."""
        self._full = True
        return self._builder

    def is_full(self) -> bool:
        """Whether it should be sent at once."""
        return self._full or bool(super().is_full())


class OutgoingBatch(ProducerBatch):  # type: ignore[misc]
    """Many records on their way to one partition."""

    def __init__(self, at: TopicPartition, compression: int, most: int) -> None:
        super().__init__(at, OutgoingRecords(compression, most))
        del self._record_futures

    @cached_property
    def _record_futures(self) -> list[FutureRecordMetadata]:
        """The library needs them to split a batch."""
        [whole] = self.records.records()
        return [
            FutureRecordMetadata(self.produce_future, place, -1, None, -1, len(record.value), -1)
            for place, record in enumerate(whole)
        ]

    @property
    def split(self) -> list[FutureRecordMetadata] | None:
        """A future for each record, after the library has split the batch."""
        return vars(self).get("_record_futures")
