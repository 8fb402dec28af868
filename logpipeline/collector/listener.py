"""Listener: the sockets, the loop and the threads of one collector process."""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import uvicorn
from uvicorn.server import ServerState

from logpipeline.collector import relay as relaying
from logpipeline.collector.app import CollectorApp
from logpipeline.collector.connection import IDLE, HttpConnection
from logpipeline.collector.keyed import Keyed
from logpipeline.collector.metrics import CollectorMetrics
from logpipeline.collector.outlet import Outlet
from logpipeline.collector.sending import Means, Redact, Sending, Taking
from logpipeline.collector.settings import CollectorSettings
from logpipeline.collector.syslog_server import SyslogServer
from logpipeline.shutdown import STEP, Shutdown

log = logging.getLogger(__name__)

HANDSHAKE = 10.0  # seconds for TLS
ANSWERS = 3.0  # seconds that a stop waits for requests in hand
FLUSH = 2.5  # seconds that it then waits for Kafka
REACH = 2.0  # seconds that a start waits for Kafka before it answers without


class Listener:
    """Serves until `stop`. Of several workers the first, number 0, has syslog and the keys; they
    share `folder`. `redact` is applied to each event before Kafka."""

    def __init__(
        self,
        settings: CollectorSettings,
        metrics: CollectorMetrics,
        number: int = 0,
        folder: Path | None = None,
        redact: Redact | None = None,
    ) -> None:
        self._redact = redact
        self._settings = settings
        self._metrics = metrics
        self._first = number == 0
        self._path = folder / "keyed.sock" if folder else None
        self._state = ServerState()

    async def serve(self, listener: socket.socket, stop: Shutdown) -> None:
        """Serve HTTP on a listening socket, and syslog. Raises OSError when its port is in use."""
        loop, settings = asyncio.get_running_loop(), self._settings
        means = Means(settings, loop, self._metrics, self._redact)
        outlet, tls = Outlet(means), context(settings)
        threads: list[Sending] = [outlet]
        async with AsyncExitStack() as stack:
            if self._first and settings.collector_syslog_port:
                syslog = SyslogServer(outlet, self._metrics)
                stack.push_async_callback(syslog.close)
                await syslog.start(settings.collector_host, settings.collector_syslog_port, tls)
            keyed = self._keyed(means, threads, stack)
            for thread in threads:
                thread.start()
            await _reached(threads, stop)
            if self._path and isinstance(keyed, Keyed):
                stack.callback((await relaying.answer(self._path, keyed)).close)
            app = CollectorApp(settings, self._metrics, outlet, keyed)
            server = await loop.create_server(
                self._protocol(app),
                sock=listener,
                ssl=tls,
                ssl_handshake_timeout=HANDSHAKE if tls else None,
            )
            while not stop:
                self._metrics.connections.set(len(self._state.connections))
                await asyncio.sleep(STEP)
            server.close()
            await self._finish()
        for thread in threads:
            await asyncio.to_thread(thread.close, FLUSH)

    def _keyed(self, means: Means, threads: list[Sending], stack: AsyncExitStack) -> Taking:
        """What sends requests with a key: a thread of this worker, or of the first."""
        if self._path and not self._first:
            relay = relaying.Relay(self._path)
            stack.callback(asyncio.create_task(relay.run()).cancel)
            return relay
        keyed = Keyed(means)
        threads.append(keyed)
        return keyed

    def _protocol(self, app: CollectorApp) -> Callable[[], HttpConnection]:
        config = uvicorn.Config(
            app,
            http=HttpConnection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            date_header=False,
            interface="asgi3",
            timeout_keep_alive=IDLE,
        )
        config.load()
        return lambda: HttpConnection(config, self._state, {})

    async def _finish(self) -> None:
        """Let the requests in hand be answered."""
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=ANSWERS)


async def _reached(threads: Sequence[Sending], stop: Shutdown) -> None:
    """Wait until all have reached Kafka, for at most REACH seconds: what connects meanwhile waits
    too, or is taken by another worker."""
    deadline = time.monotonic() + REACH
    while any(thread.away for thread in threads) and time.monotonic() < deadline and not stop:
        await asyncio.sleep(0.01)


def context(settings: CollectorSettings) -> ssl.SSLContext | None:
    """TLS, when there is a certificate; with an authority, each client needs one too."""
    if not settings.collector_ssl_certfile:
        return None
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(settings.collector_ssl_certfile, settings.collector_ssl_keyfile)
    if settings.collector_ssl_cafile:
        made.load_verify_locations(settings.collector_ssl_cafile)
        made.verify_mode = ssl.CERT_REQUIRED
    return made
