"""Sockets: the bounds of engine.io and socket.io, through which browsers and the page talk.

Without them each session may be silent, send anything, or leave unread what it is sent, for ever.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from nicegui.nicegui import sio

log = logging.getLogger(__name__)

SESSIONS = 100  # of engine.io, of which a tab has one
SILENT = 10.0  # seconds for a session to begin the handshake
UNSENT = 8  # messages that wait for a slow browser; then their sender waits
MESSAGE = 65_536  # bytes of a browser's message: the page's own have a few hundred


def bound() -> None:
    """Set them for NiceGUI's server."""
    engine = sio.eio
    engine.max_http_buffer_size = MESSAGE
    engine.create_queue = lambda: Unsent(UNSENT)
    connect = engine.handlers["connect"]

    async def begin(session: str, environ: dict[str, Any]) -> object:
        if len(engine.sockets) > SESSIONS:
            return False
        asyncio.get_running_loop().call_later(SILENT, _let_go, session)
        return await connect(session, environ)

    engine.on("connect", begin)
    handlers = sio.handlers["/"]
    handlers.pop("log")  # nobody writes into this process's log
    for name in ("event", "javascript_response", "ack"):
        sio.on(name, _forgiving(handlers[name]))
    for name in ("engineio.server", "socketio.server"):
        logging.getLogger(name).handlers.clear()  # what they say is said by the root's handler


class Unsent(asyncio.Queue[Any]):
    """A session's messages; None is its end, for which there is always room."""

    async def put(self, item: Any) -> None:
        while item is None and not self.empty():
            self.get_nowait()
            self.task_done()
        await super().put(item)


def _let_go(session: str) -> None:
    """End a session that has no tab."""
    if session in sio.eio.sockets and sio.manager.sid_from_eio_sid(session, "/") is None:
        sio.start_background_task(sio.eio.disconnect, session)


def _forgiving(handler: Callable[..., None]) -> Callable[..., None]:
    """The same handler for messages that anybody may send. What the page's own parts raise does
    not come through it."""

    def handle(sid: str, message: object = None, *_: object) -> None:
        try:
            handler(sid, message)
        except (TypeError, KeyError, ValueError, AttributeError, IndexError) as error:
            log.warning("a browser has sent an invalid message: %s", type(error).__name__)

    return handle
