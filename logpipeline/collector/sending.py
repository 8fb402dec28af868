"""Sending: batches on their way from the event loop to a thread that sends them to Kafka."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from logpipeline.collector.exchange import Pair
from logpipeline.collector.metrics import CollectorMetrics
from logpipeline.collector.settings import CollectorSettings
from logpipeline.events.lines import fitted
from logpipeline.shutdown import Shutdown

log = logging.getLogger(__name__)

MOST_EVENTS = 40_000  # waiting for Kafka
MOST_BYTES = 24 * 2**20
OVERHEAD = 500  # bytes of memory that an event takes beside its own
STEP = 0.002  # seconds between checks for acknowledgements


Redact = Callable[[bytes], bytes]  # of an event's bytes


class Outcome(Enum):
    """What became of a batch."""

    STORED = "stored"  # all of it, now or by an earlier request
    CONFLICT = "conflict"  # its key has been used for other events
    REFUSED = "refused"  # by Kafka
    UNKNOWN = "unknown"  # the collector stops


class Full(Exception):  # noqa: N818 - a state, not a failure
    """No room for a batch until Kafka has acknowledged others."""


class Away(Exception):  # noqa: N818
    """Kafka is unavailable; str() is the sentence."""


@dataclass(eq=False, slots=True)
class Parcel:
    """Records for Kafka. `ids` are as in a Batch; `once` has the digests of the request's key, and
    of that key with its events."""

    pairs: Sequence[Pair]
    done: asyncio.Future[Outcome]
    ids: Sequence[bytes] = ()
    once: tuple[bytes, bytes] | None = None
    size: int = field(default=0)


class Taking(Protocol):
    """What takes batches for Kafka."""

    away: str  # why it takes none; "" while it does

    @property
    def alive(self) -> bool: ...

    @property
    def waiting(self) -> int: ...

    def offer(
        self,
        pairs: Sequence[Pair],
        ids: Sequence[bytes] = (),
        once: tuple[bytes, bytes] | None = None,
    ) -> asyncio.Future[Outcome]:
        """What will become of these records. Raises Full, Away; the future may raise them too."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a thread works with: `loop` is the event loop that offers, `redact` changes the bytes
    of an event."""

    settings: CollectorSettings
    loop: asyncio.AbstractEventLoop
    metrics: CollectorMetrics
    redact: Redact | None = None


class Sending:
    """The base of the threads. `offer` is for the event loop; the rest for the thread."""

    name = ""

    def __init__(self, means: Means) -> None:
        self._settings, self._loop = means.settings, means.loop
        self._metrics, self._redact = means.metrics, means.redact
        self.stop = Shutdown()
        self.away = "Kafka has not been reached yet"  # "" while it is available
        self._queue: deque[Parcel] = deque()
        self._wake = threading.Event()
        self._events = self._bytes = 0
        self._settled: list[tuple[Parcel, Outcome]] = []
        self._thread = threading.Thread(target=self._live, name=self.name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def redacts(self) -> bool:
        return self._redact is not None

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Events that Kafka has not acknowledged."""
        return self._events

    def offer(
        self,
        pairs: Sequence[Pair],
        ids: Sequence[bytes] = (),
        once: tuple[bytes, bytes] | None = None,
    ) -> asyncio.Future[Outcome]:
        """What will become of these records. Raises Full, Away."""
        if self.away:
            raise Away(self.away)
        if self._events and (
            self._events + len(pairs) > MOST_EVENTS or self._bytes + _size(pairs) > MOST_BYTES
        ):
            raise Full
        if self._redact:
            pairs = [(key, fitted(self._redact(value))) for key, value in pairs]
        size = _size(pairs)
        parcel = Parcel(pairs, self._loop.create_future(), ids, once, size)
        self._events += len(pairs)
        self._bytes += size
        self._queue.append(parcel)
        self._wake.set()
        return parcel.done

    def close(self, patience: float) -> None:
        """Send what waits, for at most `patience` seconds, and end the thread."""
        self.stop.request()
        self._wake.set()
        self._thread.join(patience)

    def _live(self) -> None:
        for _ in self.stop.backoff():
            try:
                self._run()
            except Exception as error:
                log.exception("retrying: %s", error)
                self.away = "an unexpected error: see the log"
            finally:
                self._report()

    def _run(self) -> None:
        """Send until `stop`; an exception calls it again, after a while."""
        raise NotImplementedError

    def _take(self, seconds: float | None) -> Parcel | None:
        """The next parcel, waiting for it; None when there is none in time."""
        if not self._queue:
            self._wake.wait(seconds)
            self._wake.clear()
        return self._queue.popleft() if self._queue else None

    def _settle(self, parcel: Parcel, outcome: Outcome) -> None:
        self._settled.append((parcel, outcome))

    def _report(self) -> None:
        """Tell the event loop of what has been settled, all at once."""
        if self._settled:
            settled, self._settled = self._settled, []
            try:
                self._loop.call_soon_threadsafe(self._resolve, settled)
            except RuntimeError:  # the loop is closed
                log.debug("%d answers came too late", len(settled))

    def _resolve(self, settled: list[tuple[Parcel, Outcome]]) -> None:
        for parcel, outcome in settled:
            self._events -= len(parcel.pairs)
            self._bytes -= parcel.size
            if not parcel.done.done():
                parcel.done.set_result(outcome)


def _size(pairs: Sequence[Pair]) -> int:
    """Bytes of memory that they take."""
    return sum(len(value) for _, value in pairs) + OVERHEAD * len(pairs)
