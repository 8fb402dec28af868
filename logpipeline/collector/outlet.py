"""Outlet: the thread whose outbox sends the events of requests without a key."""

import time

from logpipeline.collector.sending import STEP, Outcome, Parcel, Sending
from logpipeline.kafka.outbox import Outbox

IDLE = 0.5  # seconds between two looks at `stop`
FLUSH = 2.0  # seconds that a stop waits for acknowledgements


class Outlet(Sending):
    """Delivers each batch once while the process lives: an outage doubles nothing."""

    name = "outlet"

    def _run(self) -> None:
        outbox = Outbox.when_ready(self._settings, self.stop)
        if outbox is None:
            return
        self.away = ""
        try:
            while not self.stop or self._queue:
                self._step(outbox)
        finally:
            self.away = self.away or "the collector reconnects to Kafka"
            outbox.close(FLUSH)
            self._report()

    def _step(self, outbox: Outbox) -> None:
        """Send the next batch, or look for acknowledgements."""
        parcel = self._take(STEP if outbox.waiting else IDLE)
        while parcel:
            try:
                self._send(outbox, parcel)
            except Exception:
                self._settle(parcel, Outcome.UNKNOWN)
                raise
            parcel = self._queue.popleft() if self._queue else None
        outbox.settle()
        if outbox.unavailable and not self.away:
            self._metrics.outages.inc()
        self.away = "Kafka does not answer" if outbox.unavailable else ""
        self._report()

    def _send(self, outbox: Outbox, parcel: Parcel) -> None:
        began = time.monotonic()

        def settle(refused: int) -> None:
            self._metrics.delay.observe(time.monotonic() - began)
            self._settle(parcel, Outcome.REFUSED if refused else Outcome.STORED)

        if not outbox.send_all(parcel.pairs, settle):
            self._settle(parcel, Outcome.UNKNOWN)  # a stop
