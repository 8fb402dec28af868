"""Outlet: the thread whose outbox sends the events of requests without a key."""

import asyncio
import time

from logpipeline.collector.metrics import CollectorMetrics
from logpipeline.collector.sending import STEP, Outcome, Parcel, Sending
from logpipeline.kafka.outbox import Outbox
from logpipeline.kafka.settings import KafkaSettings

IDLE = 0.5  # seconds between two looks at `stop`
FLUSH = 4.0  # seconds that a stop waits for acknowledgements


class Outlet(Sending):
    """Delivers each batch once while the process lives: an outage doubles nothing."""

    name = "outlet"

    def __init__(
        self,
        settings: KafkaSettings,
        loop: asyncio.AbstractEventLoop,
        metrics: CollectorMetrics,
    ) -> None:
        super().__init__(loop, metrics)
        self._settings = settings
        self._lost = 0  # `undelivered` of the outbox when it was last read

    def _run(self) -> None:
        outbox = Outbox.when_ready(self._settings, self.stop)
        if outbox is None:
            return
        self._lost = 0
        self._metrics.watch(outbox)
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
            self._send(outbox, parcel)
            parcel = self._queue.popleft() if self._queue else None
        outbox.settle()
        self.away = "Kafka does not answer" if outbox.unavailable else ""
        self._report()

    def _send(self, outbox: Outbox, parcel: Parcel) -> None:
        last = len(parcel.pairs) - 1
        before = time.monotonic()

        def settle() -> None:
            """Events are answered for in their order, so those lost since are this batch's."""
            lost = outbox.undelivered - self._lost
            self._lost = outbox.undelivered
            self._metrics.delay.observe(time.monotonic() - before)
            self._settle(parcel, Outcome.REFUSED if lost else Outcome.STORED)

        for at, (key, value) in enumerate(parcel.pairs):
            if not outbox.send(key, value, settle if at == last else None):
                return  # a stop: the answer is that nothing is known
