"""Delivery: the events of one process on their way to Kafka, from a thread of its own."""

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

EXIT = 5.0  # seconds that a flush, and so a program's end, waits for Kafka
JOIN = 2.0  # seconds more that the end waits for the thread
AT_ONCE = 1.0  # seconds between two calls that a program's end makes together
STEP = 0.02  # seconds between looks at what Kafka has taken
TELL = 5.0  # seconds between events that tell of dropped records
THREAD = "KafkaLogHandler"
END = b""  # in the queue: nothing comes any more


class Delivery:
    """At most `capacity` events wait for Kafka; one more waits `block` seconds for room, those
    after it not at all until there is room again. `put`, `flush` and `close` are for any thread,
    and for what interrupts a thread in one of them: a signal's handler or a finalizer.
    """

    def __init__(self, settings: KafkaSettings, service: str, capacity: int, block: float) -> None:
        self._settings = settings
        self._capacity = capacity
        self._block = block
        name = service or f"{socket.gethostname()}:{os.getpid()}"
        self._key = name.encode("utf-8", "replace")
        # Queues of this kind can be interrupted by themselves; Semaphore, Lock and Queue can't.
        self._queue: SimpleQueue[bytes] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()  # an entry for each event that may come
        for _ in range(capacity):
            self._room.put(None)
        self._crowded = False  # nothing waits for room any more
        self._lock = threading.RLock()
        self._answered = 0  # Kafka has accepted or refused it
        self._dropped = self._told = 0
        self._told_at = 0.0
        self._gave_up = (0.0, 0, 0)  # when a flush did, and what was answered and waiting then
        self._stop = Shutdown()
        self._thread: threading.Thread | None = None
        self._outbox: Outbox | None = None
        self._problem = ""
        self._next: bytes | None = None  # out of the queue, and not sent yet

    @property
    def waiting(self) -> int:
        """Events that Kafka has not answered for."""
        return self._capacity - self._room.qsize()

    def put(self, value: bytes) -> None:
        """Take an event. Waits for room for `block` seconds, or drops it."""
        if self._stop or not self._has_room():
            self._drop()
            return
        self._queue.put(value)
        if self._thread is None:
            self._start()

    def flush(self) -> None:
        """Wait until Kafka has answered for what was put until now, EXIT seconds at most."""
        target = self.waiting + self._answered
        deadline = time.monotonic() + EXIT
        while self._answered < target and self.waiting and self._may_progress():
            if time.monotonic() > deadline:
                self._gave_up = time.monotonic(), self._answered, self.waiting
                return
            time.sleep(STEP)

    def close(self) -> None:
        """Flush, and take nothing more. Say what Kafka does not have."""
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
            _say(f"{missing} records were not delivered, {self._dropped} were dropped")

    def forget(self) -> None:
        if self._outbox:
            self._outbox.forget()

    def _may_progress(self) -> bool:
        """Whether it makes sense to wait: not when a flush has just done so in vain, as
        logging.shutdown flushes and then closes, nor without a thread."""
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
            except RuntimeError as error:  # the system's bound, or the interpreter ends
                self._thread = None
                self._complain(error)
                return
        if parent_process():  # children of multiprocessing end without logging.shutdown
            Finalize(None, self.close, exitpriority=0)

    def _drop(self) -> None:
        with self._lock:
            self._dropped += 1
            first = self._dropped == 1
        if first:
            full = f"{self._capacity} are waiting for Kafka"
            _say(f"dropping records: {'the handler is closed' if self._stop else full}")

    def _run(self) -> None:
        for _ in self._stop.backoff():
            try:
                self._deliver()
                return
            except Exception as error:  # noqa: BLE001 - without this thread nothing is sent
                self._complain(error)

    def _complain(self, error: Exception) -> None:
        if repr(error) != self._problem:
            self._problem = repr(error)
            _say(f"retrying: {self._problem}")

    def _deliver(self) -> None:
        """Until the end of the queue, or a request to stop."""
        if self._outbox is None:
            self._outbox = Outbox.when_ready(self._settings, self._stop)
        outbox = self._outbox
        if outbox is None:
            return
        while self._send_next(outbox):
            pass
        self._tell(outbox)
        outbox.close(patience=STEP)

    def _send_next(self, outbox: Outbox) -> bool:
        """Send an event if there is one. False at the end, and when a stop came first."""
        if self._dropped > self._told and time.monotonic() > self._told_at + TELL:
            self._tell(outbox)
        if self._next is None:
            self._next = self._queued(outbox)
        if self._next is None:
            return True
        if self._next == END or not outbox.send(self._key, self._next, self._on_ack):
            return False
        self._next = None
        return True

    def _queued(self, outbox: Outbox) -> bytes | None:
        """The next event; None after a while without one, when there is something to look after."""
        try:
            return self._queue.get_nowait()
        except Empty:
            pass
        busy = outbox.settle() or self._dropped > self._told
        with suppress(Empty):
            return self._queue.get(timeout=STEP if busy else None)
        return None

    def _on_ack(self) -> None:
        self._answered += 1
        self._room.put(None)

    def _tell(self, outbox: Outbox) -> None:
        """Send an event that tells of what was dropped, when there is room for it."""
        self._told_at = time.monotonic()
        dropped = self._dropped - self._told
        if dropped and self._take(wait=False):
            self._told += dropped
            message = f"dropped {dropped} records: {self._capacity} were waiting for Kafka"
            fields = {"level": "WARNING", "message": message, "timestamp": time.time()}
            value = msgspec.json.encode(fields | {"logger": "logpipeline.producer.handler"})
            outbox.send(self._key, value, self._on_ack)


def _say(what: str) -> None:
    """On stderr, if there is one: logging is what is broken."""
    if sys.stderr:
        with suppress(OSError, ValueError):
            print(f"KafkaLogHandler: {what}", file=sys.stderr)
