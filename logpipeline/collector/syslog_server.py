"""Syslog server: UDP, which promises nothing, and TCP, which waits while Kafka is away."""

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Sequence

from logpipeline.collector import syslog
from logpipeline.collector.exchange import Pair
from logpipeline.collector.framing import LONGEST, FramingError, SyslogFrames
from logpipeline.collector.metrics import CollectorMetrics
from logpipeline.collector.sending import Away, Full, Outcome, Sending
from logpipeline.events.redaction import LONGEST_SECRET
from logpipeline.outage import Outage

log = logging.getLogger(__name__)

CONNECTIONS = 256  # further ones are refused
CHUNK = 2**16  # bytes that are read at a time
RETRY = 0.2  # seconds until a refused batch is offered again
HANDSHAKE = 10.0  # seconds for TLS
GATHER = 0.005  # seconds in which datagrams become a batch
MOST = 10_000  # datagrams that wait; further ones are dropped
MOST_BYTES = 8 * 2**20
NAME = "syslog"


class SyslogServer:
    """Listens on one port for both."""

    def __init__(self, outlet: Sending, metrics: CollectorMetrics) -> None:
        self._outlet, self._metrics = outlet, metrics
        self._servers: list[asyncio.AbstractServer] = []
        self._transport: asyncio.BaseTransport | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        """Raises OSError."""
        handshake = HANDSHAKE if tls else None
        server = await asyncio.start_server(
            self._serve, host, port, limit=CHUNK, ssl=tls, ssl_handshake_timeout=handshake
        )
        self._servers.append(server)
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Datagrams(self._outlet, self._metrics), (host, port)
        )

    async def close(self) -> None:
        """Read no more; what has been read is already on its way."""
        for server in self._servers:
            server.close()
        if self._transport:
            self._transport.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._open) >= CONNECTIONS:
            writer.close()
            return
        self._open.add(task)
        address = str(writer.get_extra_info("peername", ("",))[0])
        try:
            await self._read(reader, address)
        except (OSError, ssl.SSLError):
            pass  # the client has gone
        except FramingError as error:
            log.warning("syslog from %s: disconnected after %s", address, error)
        finally:
            self._open.discard(task)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, address: str) -> None:
        """Read on only when Kafka has what was read. Raises FramingError, OSError."""
        frames = SyslogFrames(LONGEST_SECRET if self._outlet.redacts else 0)
        while data := await reader.read(CHUNK):
            await self._store(events_of(frames.feed(data), address, self._metrics))
        await self._store(events_of(frames.end(), address, self._metrics))

    async def _store(self, pairs: Sequence[Pair]) -> None:
        while pairs:
            try:
                outcome = await self._outlet.offer(pairs)
            except (Away, Full):
                await asyncio.sleep(RETRY)
                continue
            if outcome is Outcome.STORED:
                self._metrics.events.labels(NAME).inc(len(pairs))
            else:
                self._metrics.refused.labels(NAME).inc(len(pairs))
            return


class Datagrams(asyncio.DatagramProtocol):
    """Messages by UDP: those that find no room are dropped, and counted."""

    def __init__(self, outlet: Sending, metrics: CollectorMetrics) -> None:
        self._outlet, self._metrics = outlet, metrics
        self._waiting: deque[tuple[bytes, str]] = deque()
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._outage = Outage(log)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(self._waiting) >= MOST or self._bytes > MOST_BYTES:
            self._metrics.dropped.inc()
            self._outage.report("syslog over UDP: messages are dropped until Kafka has others")
            return
        self._waiting.append((data[:LONGEST], addr[0]))
        self._bytes += len(data)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER, self._flush)

    def _flush(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        pairs = [
            pair
            for data, address in self._waiting
            for pair in events_of([data], address, self._metrics)
        ]
        try:
            if pairs:
                self._outlet.offer(pairs).add_done_callback(self._count(len(pairs)))
        except (Away, Full):
            self._timer = loop.call_later(RETRY, self._flush)
            return
        self._waiting.clear()
        self._bytes = 0
        self._outage.resolve("syslog over UDP: messages are taken again")

    def _count(self, count: int) -> Callable[[asyncio.Future[Outcome]], None]:
        def done(outcome: asyncio.Future[Outcome]) -> None:
            stored = not outcome.cancelled() and outcome.result() is Outcome.STORED
            metric = self._metrics.events if stored else self._metrics.refused
            metric.labels(NAME).inc(count)

        return done


def events_of(messages: Sequence[bytes], address: str, metrics: CollectorMetrics) -> list[Pair]:
    """The records of messages; those that have no event are counted."""
    pairs = []
    for message in messages:
        try:
            service, value = syslog.event_of(message, address=address)
        except ValueError as error:
            metrics.refused.labels(NAME).inc()
            log.debug("syslog from %s: %s", address, error)
        else:
            pairs.append(((service or address).encode("utf-8", "replace"), value))
    return pairs
