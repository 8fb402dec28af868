"""Listener: the sockets, the loop and the threads of one collector process."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

import uvicorn
from uvicorn.server import ServerState

from logpipeline.collector.app import CollectorApp
from logpipeline.collector.connection import HttpConnection
from logpipeline.collector.keyed import Keyed
from logpipeline.collector.metrics import CollectorMetrics
from logpipeline.collector.outlet import Outlet
from logpipeline.collector.settings import CollectorSettings
from logpipeline.collector.syslog_server import SyslogServer
from logpipeline.shutdown import STEP, Shutdown

log = logging.getLogger(__name__)

HANDSHAKE = 10.0  # seconds for TLS
ANSWERS = 4.0  # seconds that a stop waits for requests in hand
FLUSH = 4.0  # seconds that it then waits for Kafka


class Listener:
    """Serves until `stop`."""

    def __init__(self, settings: CollectorSettings, metrics: CollectorMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._state = ServerState()

    async def serve(self, listener: socket.socket, stop: Shutdown) -> None:
        """Serve HTTP on a listening socket, and syslog. Raises OSError when its port is in use."""
        loop, settings = asyncio.get_running_loop(), self._settings
        outlet = Outlet(settings, loop, self._metrics)
        keyed = Keyed(settings, loop, self._metrics)
        tls = context(settings)
        syslog = SyslogServer(outlet, self._metrics)
        if settings.collector_syslog_port:
            await syslog.start(settings.collector_host, settings.collector_syslog_port, tls)
        for thread in (outlet, keyed):
            thread.start()
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
        await syslog.close()
        await self._finish()
        for thread in (outlet, keyed):
            await asyncio.to_thread(thread.close, FLUSH)

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
        )
        config.load()
        return lambda: HttpConnection(config, self._state, {})

    async def _finish(self) -> None:
        """Let the requests in hand be answered."""
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=ANSWERS)


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
