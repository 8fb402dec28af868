"""Handler: sends a Python program's log records to Kafka.

logging.config.dictConfig(
    {
        "version": 1,
        "handlers": {"kafka": {"class": "logpipeline.KafkaLogHandler", "service": "shop"}},
        "root": {"level": "INFO", "handlers": ["kafka"]},
    }
)
"""

import logging
import os
import threading
import weakref
from typing import Any

from logpipeline.events.settings import RedactionSettings
from logpipeline.kafka.outbox import MOST_EVENTS
from logpipeline.kafka.settings import KafkaSettings
from logpipeline.producer.delivery import THREAD, Delivery
from logpipeline.producer.log_record import event_of

CAPACITY = 10_000  # records that wait for Kafka
BLOCK = 0.1  # seconds that a record waits for room
MOST_BLOCK = 3_600.0
REDACTION = RedactionSettings.names()
MOST_SERVICE = 1_000  # characters: it is the key of the records


class KafkaLogHandler(logging.Handler):
    """Sends each record to Kafka from a background thread, which the first record starts.

    An event has a level, message, timestamp and logger, the `service` given here, the record's
    `extra` fields, and the text of its exception and stack; formatters are ignored. If a record is
    too large for Kafka, its longest fields are cut.

    At most `capacity` records wait for Kafka. When the queue is full, one record waits up to
    `block` seconds for room; until there is room again, later records do not wait. Records that
    find no room are dropped and counted, and an event reports their number. Records of
    kafka-python and of the background thread are not sent.

    `settings` are Kafka's settings and those of redaction by name (kafka_topic="app",
    redact="email"); the others come from the environment and .env. Raises SettingsError (a
    ValueError), ValueError or TypeError, with one line that names the argument or setting.
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
        _check_names(settings)
        _check(service, capacity, block)
        self._service = service
        chosen = {name: settings.pop(name) for name in REDACTION & settings.keys()}
        self._redaction = RedactionSettings.checked(**chosen).redaction()
        self._about = KafkaSettings.checked(**settings), service, capacity, block
        self._delivery = Delivery(*self._about)
        super().__init__(level)  # registers it for logging.shutdown
        forked = weakref.WeakMethod(self._forked)
        os.register_at_fork(after_in_child=lambda: (mine := forked()) and mine())

    def handle(self, record: logging.LogRecord) -> Any:
        """Like logging.Handler's, but without its lock, which a waiting record would hold."""
        kept = self.filter(record)
        if kept:
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return kept

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if not _is_of_delivery(record):
                self._delivery.put(event_of(record, self._service, self._redaction))
        except Exception:  # noqa: BLE001 - logging must not break an application
            self.handleError(record)

    def flush(self) -> None:
        """Wait up to 5 seconds until Kafka has answered for all records so far."""
        self._delivery.flush()

    def close(self) -> None:
        """Flush, then refuse further records. Reports on stderr how many Kafka does not have."""
        self._delivery.close()
        super().close()

    def _forked(self) -> None:
        """Start over in a forked child: the parent sends the records that were waiting."""
        self._delivery.forget()
        self._delivery = Delivery(*self._about)


def _check_names(settings: dict[str, Any]) -> None:
    """Raises TypeError."""
    if unknown := settings.keys() - (KafkaSettings.names() | REDACTION):
        raise TypeError(
            f"KafkaLogHandler does not take {', '.join(sorted(unknown))}; it takes level, service, "
            "capacity, block and the settings of Kafka's clients, such as kafka_topic"
        )


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
    """Whether sending this record would log another one, in an endless loop."""
    thread = record.threadName or threading.current_thread().name
    return thread == THREAD or str(record.name).partition(".")[0] == "kafka"
