"""Handler: a Python program's log records → events in Kafka.

LOGGING = {
    "version": 1,
    "handlers": {"kafka": {"class": "logpipeline.KafkaLogHandler", "service": "shop"}},
    "root": {"level": "INFO", "handlers": ["kafka"]},
}
logging.config.dictConfig(LOGGING)
"""

import logging
import os
import threading
import weakref
from typing import Any

from logpipeline.kafka.outbox import MOST_EVENTS
from logpipeline.kafka.settings import KafkaSettings
from logpipeline.producer.delivery import THREAD, Delivery
from logpipeline.producer.log_record import event_of

CAPACITY = 10_000  # records that wait for Kafka
BLOCK = 0.1  # seconds that a record waits for room
MOST_BLOCK = 3_600.0
MOST_SERVICE = 1_000  # characters: it is the key of the records


class KafkaLogHandler(logging.Handler):
    """Sends each record to Kafka from a thread of its own, which the first record starts.

    An event has level, message, timestamp, logger, the `service` given here, the record's
    `extra=` fields, and the texts of its exception and stack; a formatter changes nothing. Of a
    record that is too large for Kafka the longest fields are cut. At most `capacity` records wait
    for Kafka. One more waits `block` seconds for room, and those after it not at all until there
    is room again; what finds none is dropped, counted and told of. Records of kafka-python and of
    the delivery itself are not sent.

    `settings` are Settings by name (kafka_topic="app"); the others come from the environment.
    Raises pydantic.ValidationError, TypeError, ValueError for what can't be used.
    """

    def __init__(
        self,
        level: int | str = logging.NOTSET,
        *,
        service: str = "",
        capacity: int = CAPACITY,
        block: float = BLOCK,
        **settings: Any,
    ) -> None:
        if unknown := settings.keys() - KafkaSettings.names():
            raise TypeError(f"{', '.join(sorted(unknown))}: must be the names of Kafka's settings")
        _check(service, capacity, block)
        self._service = service
        self._about = KafkaSettings(**settings), service, capacity, block
        self._delivery = Delivery(*self._about)
        super().__init__(level)  # from here on logging.shutdown knows it
        forked = weakref.WeakMethod(self._forked)
        os.register_at_fork(after_in_child=lambda: (mine := forked()) and mine())

    def handle(self, record: logging.LogRecord) -> Any:
        """As of logging.Handler, but without its lock, which one waiting record would hold."""
        kept = self.filter(record)
        if kept:
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return kept

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if not _is_of_delivery(record):
                self._delivery.put(event_of(record, self._service))
        except Exception:  # noqa: BLE001 - an application must not fail by its logging
            self.handleError(record)

    def flush(self) -> None:
        """Wait until Kafka has all records so far, 5 seconds at most."""
        self._delivery.flush()

    def close(self) -> None:
        """Flush, and take no more records. What Kafka does not have is told on stderr."""
        self._delivery.close()
        super().close()

    def _forked(self) -> None:
        """In a child, start afresh: what was waiting is the parent's to send."""
        self._delivery.forget()
        self._delivery = Delivery(*self._about)


def _check(service: str, capacity: int, block: float) -> None:
    """Raises TypeError, ValueError."""
    if not isinstance(service, str):
        raise TypeError(f"service must be a string, not {service!r}")
    if len(service) > MOST_SERVICE:
        raise ValueError(f"service must have at most {MOST_SERVICE} characters")
    if type(capacity) is not int or type(block) not in (int, float):
        raise TypeError(f"capacity and block must be numbers, not {capacity!r} and {block!r}")
    if not 1 <= capacity <= MOST_EVENTS:
        raise ValueError(f"capacity must be from 1 to {MOST_EVENTS}, not {capacity}")
    if not 0 <= block <= MOST_BLOCK:
        raise ValueError(f"block must be from 0 to {MOST_BLOCK:.0f} seconds, not {block}")


def _is_of_delivery(record: logging.LogRecord) -> bool:
    """Whether sending it would make the next one, without end."""
    thread = record.threadName or threading.current_thread().name
    return thread == THREAD or str(record.name).partition(".")[0] == "kafka"
