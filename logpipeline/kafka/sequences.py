"""Sequences: the numbers of a producer's records, which Kafka finds repeated ones by."""

from typing import Any

from kafka import errors
from kafka.producer.transaction_manager import TransactionManager

# Kafka has then appended nothing.
REFUSED = (
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
    errors.InvalidRecordError,
    errors.InvalidTimestampError,
    errors.TopicAuthorizationFailedError,
)


class Sequences(TransactionManager):  # type: ignore[misc]
    """The library's class, but a batch that Kafka refuses fails alone: with the library's, all
    that follow fail too, for good, because the refused numbers are missing."""

    def classify_batch_error(self, error: Any, batch: Any, log_start_offset: int = -1) -> Any:
        """Called with each batch that failed, of which a partition has one in flight. After a
        retry it is unknown whether an earlier attempt has used the numbers."""
        refused = isinstance(error, REFUSED) and not batch.in_retry()
        if refused and self.producer_id_and_epoch.match(batch):
            self.set_sequence_number(batch.topic_partition, batch.base_sequence)
            return self.ERROR_CLASS_RETRIABLE  # which means to fail the batch and nothing else
        return super().classify_batch_error(error, batch, log_start_offset)
