"""Delivery: a queue of events, and the background thread that sends them to Kafka."""

import os
import socket
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import parent_process
from multiprocessing.util import Finalize
from queue import Empty, SimpleQueue

import msgspec

from logpipeline.kafka.outbox import Outbox
from logpipeline.kafka.settings import KafkaSettings
from logpipeline.shutdown import Shutdown

EXIT = 5.0  # seconds that a flush, and so a program's exit, waits for Kafka
JOIN = 2.0  # further seconds that a program's exit waits for the thread
AT_ONCE = 1.0  # seconds within which a program's exit flushes and closes
TOGETHER = 500  # events sent at once, at most
STEP = 0.02  # seconds between checks of what Kafka has acknowledged
REPORT = 5.0  # seconds between events that report dropped records
THREAD = "KafkaLogHandler"
END = b""  # the last entry of the queue


class Delivery:
    """Holds at most `capacity` events until Kafka has answered for them.

    When it is full, one event waits up to `block` seconds for room; until there is room again,
    later events do not wait. `put`, `flush` and `close` may be called from any thread, and from a
    signal handler or finalizer that interrupts one of them.
    """

    def __init__(self, settings: KafkaSettings, service: str, capacity: int, block: float) -> None:
        self._settings = settings
        self._capacity = capacity
        self._block = block
        name = service or f"{socket.gethostname()}:{os.getpid()}"
        self._key = name.encode("utf-8", "replace")
        # SimpleQueue is reentrant; Semaphore, Lock and Queue are not.
        self._queue: SimpleQueue[bytes] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()  # one entry for each event that fits
        for _ in range(capacity):
            self._room.put(None)
        self._crowded = False  # an event has waited for room in vain: the next ones do not wait
        self._lock = threading.RLock()
        self._answered = 0  # events that Kafka has accepted or refused
        self._dropped = self._reported = 0
        self._reported_at = 0.0
        self._gave_up = (0.0, 0, 0)  # when a flush timed out; events answered and waiting then
        self._stop = Shutdown()
        self._thread: threading.Thread | None = None
        self._outbox: Outbox | None = None
        self._problem = ""
        self._next: list[bytes] = []  # taken from the queue, not sent yet

    @property
    def waiting(self) -> int:
        """Number of events that Kafka has not answered for."""
        return self._capacity - self._room.qsize()

    def put(self, value: bytes) -> None:
        """Queue an event. If there is no room within `block` seconds, drop it."""
        if self._stop or not self._has_room():
            self._drop()
            return
        self._queue.put(value)
        if self._thread is None:
            self._start()

    def flush(self) -> None:
        """Wait up to EXIT seconds until Kafka has answered for every event put so far."""
        target = self.waiting + self._answered
        deadline = time.monotonic() + EXIT
        while self._answered < target and self.waiting and self._may_progress():
            if time.monotonic() > deadline:
                self._gave_up = time.monotonic(), self._answered, self.waiting
                return
            time.sleep(STEP)

    def close(self) -> None:
        """Flush, then drop whatever comes. Reports what Kafka does not have."""
        if self._stop:
            return
        self.flush()
        self._stop.request()
        self._queue.put(END)
        if self._thread:
            self._thread.join(JOIN)
        delivered = self._outbox.delivered if self._outbox else 0
        missing = self.waiting + self._answered - delivered
        if missing or self._dropped:
            _print(f"records not delivered: {missing}, dropped: {self._dropped}")

    def forget(self) -> None:
        """Leave the connection to the parent process, after a fork."""
        if self._outbox:
            self._outbox.forget()

    def _may_progress(self) -> bool:
        """Whether waiting makes sense: not without a running thread, nor right after a flush that
        timed out, because logging.shutdown flushes and then closes."""
        at, *state = self._gave_up
        in_vain = state == [self._answered, self.waiting] and time.monotonic() < at + AT_ONCE
        return self._thread is not None and self._thread.is_alive() and not in_vain

    def _has_room(self) -> bool:
        taken = self._take(wait=not self._crowded)
        self._crowded = not taken
        return taken

    def _take(self, wait: bool) -> bool:
        with suppress(Empty):
            self._room.get(wait, self._block)
            return True
        return False

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None or self._stop:
                return
            self._thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:  # too many threads, or the interpreter is shutting down
                self._thread = None
                self._report_error(error)
                return
        if parent_process():  # multiprocessing's children exit without logging.shutdown
            Finalize(None, self.close, exitpriority=0)

    def _drop(self) -> None:
        with self._lock:
            self._dropped += 1
            first = self._dropped == 1
        if first:
            full = f"{self._capacity} are waiting for Kafka"
            _print(f"dropping records: {'the handler is closed' if self._stop else full}")

    def _run(self) -> None:
        for _ in self._stop.backoff():
            try:
                self._deliver()
                return
            except Exception as error:  # noqa: BLE001 - nothing is sent without this thread
                self._report_error(error)

    def _report_error(self, error: Exception) -> None:
        if repr(error) != self._problem:
            self._problem = repr(error)
            _print(f"retrying: {self._problem}")

    def _deliver(self) -> None:
        """Send events until the end of the queue or a request to stop."""
        if self._outbox is None:
            self._outbox = Outbox.when_ready(self._settings, self._stop)
        outbox = self._outbox
        if outbox is None:
            return
        while self._send_next(outbox):
            pass
        self._report_dropped(outbox)
        outbox.close(patience=STEP)

    def _send_next(self, outbox: Outbox) -> bool:
        """Send the next events, if any. Returns False at the end of the queue or after a stop."""
        if self._dropped > self._reported and time.monotonic() > self._reported_at + REPORT:
            self._report_dropped(outbox)
        self._next = self._next or self._queued(outbox)
        ended = END in self._next[-1:]
        pairs = [(self._key, value) for value in self._next[: -1 if ended else None]]
        if pairs and not outbox.send_all(pairs, lambda _: self._on_acks(len(pairs))):
            return False
        self._next = self._next[len(pairs) :]
        return not ended

    def _queued(self, outbox: Outbox) -> list[bytes]:
        """The next events; none after STEP seconds if events or reports are pending. END is the
        last entry."""
        values: list[bytes] = []
        with suppress(Empty):
            while len(values) < TOGETHER and END not in values[-1:]:
                values.append(self._queue.get_nowait())
        if values:
            return values
        busy = outbox.settle() or self._dropped > self._reported
        with suppress(Empty):
            values.append(self._queue.get(timeout=STEP if busy else None))
        return values

    def _on_acks(self, count: int) -> None:
        self._answered += count
        for _ in range(count):
            self._room.put(None)

    def _report_dropped(self, outbox: Outbox) -> None:
        """Send an event with the number of dropped records, if there is room for it."""
        self._reported_at = time.monotonic()
        dropped = self._dropped - self._reported
        if dropped and self._take(wait=False):
            self._reported += dropped
            message = f"dropped {dropped} records: {self._capacity} were waiting for Kafka"
            fields = {"level": "WARNING", "message": message, "timestamp": time.time()}
            value = msgspec.json.encode(fields | {"logger": "logpipeline.producer.handler"})
            outbox.send(self._key, value, lambda: self._on_acks(1))


def _print(what: str) -> None:
    """Print to stderr, if there is one: logging itself is broken."""
    if sys.stderr:
        with suppress(OSError, ValueError):
            print(f"KafkaLogHandler: {what}", file=sys.stderr)
