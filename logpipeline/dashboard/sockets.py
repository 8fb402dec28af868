"""Sockets: limits for engine.io and socket.io, which connect browsers to the page.

Without them a session can stay silent, send anything, or not read what it is sent, for ever.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from nicegui.nicegui import sio

log = logging.getLogger(__name__)

SESSIONS = 100  # of engine.io; a tab has one
SILENT = 10.0  # seconds for a session to begin the handshake
UNSENT = 8  # messages queued for a slow browser; then their sender waits
MESSAGE = 65_536  # bytes of a browser's message: those of the page have a few hundred


def set_limits() -> None:
    """Set the limits for NiceGUI's server, once per process."""
    engine = sio.eio
    engine.max_http_buffer_size = MESSAGE
    engine.create_queue = lambda: Unsent(UNSENT)
    connect = engine.handlers["connect"]

    async def begin(session: str, environ: dict[str, Any]) -> object:
        if len(engine.sockets) > SESSIONS:
            return False
        asyncio.get_running_loop().call_later(SILENT, _disconnect_if_idle, session)
        return await connect(session, environ)

    engine.on("connect", begin)
    handlers = sio.handlers["/"]
    handlers.pop("log")  # browsers must not write to this process's log
    for name in ("event", "javascript_response", "ack"):
        sio.on(name, _tolerant(handlers[name]))
    for name in ("engineio.server", "socketio.server"):
        logging.getLogger(name).handlers.clear()  # their records reach the root logger's handler


class Unsent(asyncio.Queue[Any]):
    """The queue of a session's messages; None ends the session, and always fits."""

    async def put(self, item: Any) -> None:
        while item is None and not self.empty():
            self.get_nowait()
            self.task_done()
        await super().put(item)


def _disconnect_if_idle(session: str) -> None:
    """Disconnect a session that has not begun the handshake of a tab."""
    if session in sio.eio.sockets and sio.manager.sid_from_eio_sid(session, "/") is None:
        sio.start_background_task(sio.eio.disconnect, session)


def _tolerant(handler: Callable[..., None]) -> Callable[..., None]:
    """The handler for messages of any content: an invalid one is logged. Errors of the page's own
    listeners do not pass through here."""

    def handle(sid: str, message: object = None, *_: object) -> None:
        try:
            handler(sid, message)
        except (TypeError, KeyError, ValueError, AttributeError, IndexError) as error:
            log.warning("ignoring an invalid message from a browser: %s", type(error).__name__)

    return handle
