"""Handler: a Python program's log records → events in Kafka.

LOGGING = {
    "version": 1,
    "handlers": {"kafka": {"class": "pipeline.handler.KafkaLogHandler", "service": "shop"}},
    "root": {"level": "INFO", "handlers": ["kafka"]},
}
logging.config.dictConfig(LOGGING)
"""

import logging
import os
import socket
import sys
import threading
import time
import weakref
from multiprocessing import parent_process
from multiprocessing.util import Finalize
from queue import Empty, SimpleQueue
from typing import Any

import msgspec

from config import NAMES, Settings
from pipeline import loggers
from pipeline.lines import MOST, cut
from pipeline.outbox import MOST_EVENTS, Outbox
from pipeline.stop import Stop

CAPACITY = 10_000  # records that wait for Kafka
BLOCK = 0.1  # seconds that a record waits for room
EXIT = 5.0  # seconds that a flush, and so a program's end, waits for Kafka
JOIN = 2.0  # seconds more that the end waits for the thread
STEP = 0.02  # seconds between looks at what Kafka has taken
TELL = 5.0  # seconds between events that tell of dropped records
OWN = {"pipeline.outbox", "pipeline.topic"}  # to send what delivery itself logs would never end
STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


class KafkaLogHandler(logging.Handler):
    """Sends each record to Kafka from a thread of its own, which the first record starts.

    An event has level, message, timestamp, logger, the `service` given here, the record's
    `extra=` fields, and the texts of its exception and stack; a formatter changes nothing. At
    most `capacity` records wait for Kafka. One more waits `block` seconds for room, and those
    after it not at all until there is room again; what finds none is dropped, counted and told
    of. Records of kafka-python and of the delivery itself are not sent.

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
        super().__init__(level)
        if unknown := settings.keys() - NAMES:
            raise TypeError(f"{', '.join(sorted(unknown))}: allowed are the names of settings")
        if not 1 <= capacity <= MOST_EVENTS:
            raise ValueError(f"capacity={capacity}: allowed is 1 to {MOST_EVENTS}")
        self._service = service
        self._about = Settings(**settings), service, capacity, block
        self._delivery = Delivery(*self._about)
        forked = weakref.WeakMethod(self._forked)
        os.register_at_fork(after_in_child=lambda: (mine := forked()) and mine())

    def handle(self, record: logging.LogRecord) -> Any:
        """As of logging.Handler, but without its lock, which one waiting record would hold."""
        kept = self.filter(record)
        if kept:
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return kept

    def emit(self, record: logging.LogRecord) -> None:
        if record.name in OWN or record.name.partition(".")[0] == "kafka":
            return
        try:
            self._delivery.put(self._event(record))
        except Exception:  # noqa: BLE001 - an application must not fail by its logging
            self.handleError(record)

    def flush(self) -> None:
        """Wait until Kafka has all records, EXIT seconds at most."""
        self._delivery.flush()

    def close(self) -> None:
        """Flush, and take no more records. What Kafka does not have is told on stderr."""
        self._delivery.close()
        super().close()

    def _forked(self) -> None:
        """In a child, begin anew: what was waiting is the parent's to send."""
        self._delivery.forget()
        self._delivery = Delivery(*self._about)

    def _event(self, record: logging.LogRecord) -> bytes:
        message = _message(record)
        fields: dict[str, Any] = {
            "level": _level(record.levelno),
            "message": message,
            "timestamp": record.created,
            "logger": record.name,
        }
        if self._service:
            fields["service"] = self._service
        base = dict(fields)
        if record.exc_info and record.exc_info[0]:
            fields["exception"] = logging.Formatter().formatException(record.exc_info)
        elif record.exc_text:
            fields["exception"] = record.exc_text
        if record.stack_info:
            fields["stack"] = record.stack_info
        for name, value in vars(record).items():
            if name not in STANDARD:
                fields[f"original_{name}" if name in loggers.OURS else name] = value
        made = _json(fields)
        if len(made) <= MOST:
            return made
        size = len(message.encode("utf-8", "replace"))
        return cut(message, size, lambda text: _json(base | {"message": msgspec.Raw(text)}))


class Delivery:
    """The records of one process on their way. `put`, `flush` and `close` are for any thread."""

    def __init__(self, settings: Settings, service: str, capacity: int, block: float) -> None:
        self._settings = settings
        self._capacity = capacity
        self._block = block
        self._key = (service or f"{socket.gethostname()}:{os.getpid()}").encode()
        self._room = threading.Semaphore(capacity)
        self._crowded = False  # nothing waits for room any more
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._accepted = self._settled = 0
        self._dropped = self._told = 0
        self._stop = Stop()
        self._thread: threading.Thread | None = None
        self._outbox: Outbox | None = None
        self._gave_up = False

    def put(self, value: bytes) -> None:
        """Take an event. Waits for room for `block` seconds, or drops it."""
        if self._stop or not self._has_room():
            self._drop()
            return
        with self._lock:
            if self._thread is None:
                self._start()
            self._accepted += 1
            self._queue.put(value)

    def _has_room(self) -> bool:
        taken = self._room.acquire(blocking=False)
        if not taken and not self._crowded:
            taken = self._room.acquire(timeout=self._block)
        self._crowded = not taken
        return taken

    def flush(self) -> None:
        deadline = time.monotonic() + EXIT
        while self._settled < self._accepted and not self._gave_up:
            if time.monotonic() > deadline:
                self._gave_up = True
            time.sleep(STEP)

    def close(self) -> None:
        self.flush()
        self._stop.request()
        if self._thread is None:
            return
        self._queue.put(None)
        self._thread.join(JOIN)
        self._thread = None
        missing = self._accepted - self._settled
        if missing or self._dropped:
            _say(f"{missing} records were not delivered, {self._dropped} were dropped")

    def forget(self) -> None:
        if self._outbox:
            self._outbox.forget()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="KafkaLogHandler", daemon=True)
        self._thread.start()
        if parent_process():  # children of multiprocessing end without logging.shutdown
            Finalize(None, self.close, exitpriority=0)

    def _drop(self) -> None:
        with self._lock:
            self._dropped += 1
            first = self._dropped == 1
        if first:
            _say(f"dropping records: {self._capacity} are waiting for Kafka")

    def _run(self) -> None:
        self._outbox = outbox = Outbox.when_ready(self._settings, self._stop)
        if outbox is None:
            return
        told = 0.0
        while True:
            waiting = outbox.settle()
            self._settle(outbox)
            untold = self._dropped > self._told
            if untold and time.monotonic() - told > TELL:
                told = time.monotonic()
                self._tell(outbox)
            try:
                value = self._queue.get(timeout=STEP if waiting or untold else None)
            except Empty:
                continue
            if value is None or not outbox.send(self._key, value):
                break
        self._tell(outbox)
        outbox.close(patience=STEP)
        self._settle(outbox)

    def _settle(self, outbox: Outbox) -> None:
        done = outbox.settled - self._settled
        if done:
            self._settled = outbox.settled
            self._room.release(done)

    def _tell(self, outbox: Outbox) -> None:
        """Send an event that tells of what was dropped, when there is room for it."""
        dropped = self._dropped - self._told
        if dropped and self._room.acquire(blocking=False):
            self._told += dropped
            message = f"dropped {dropped} records: {self._capacity} were waiting for Kafka"
            fields = {"level": "WARNING", "message": message, "timestamp": time.time()}
            outbox.send(self._key, _json(fields | {"logger": __name__}))
            with self._lock:
                self._accepted += 1


def _level(number: int) -> str:
    return ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")[min(max(number // 10, 1), 5) - 1]


def _message(record: logging.LogRecord) -> str:
    """A record's text; where the arguments don't fit the message, both."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg} {record.args}"


def _json(fields: dict[str, Any]) -> bytes:
    """An object; a value that JSON has nothing for becomes text."""
    try:
        return msgspec.json.encode(fields, enc_hook=str)
    except Exception:  # noqa: BLE001 - whatever the value of some field raises
        return msgspec.json.encode({name: _raw(value) for name, value in fields.items()})


def _raw(value: Any) -> msgspec.Raw:
    if isinstance(value, str):
        return msgspec.Raw(loggers.encoded(value))
    try:
        return msgspec.Raw(msgspec.json.encode(value, enc_hook=str))
    except Exception:  # noqa: BLE001
        return msgspec.Raw(loggers.encoded(repr(value)))


def _say(what: str) -> None:
    """On stderr: logging is what is broken."""
    print(f"KafkaLogHandler: {what}", file=sys.stderr)
