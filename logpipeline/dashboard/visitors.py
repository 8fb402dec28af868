"""Visitors: creates NiceGUI's clients when a browser opens its socket, not for each GET.

NiceGUI creates a client of forty elements for each GET of the page, and keeps it for a minute even
if no socket is opened: 15 ms and 300 KB a GET. Here a GET returns a copy of the same text with
another id, and the client with that id is created at the socket's handshake.
"""

import uuid
from collections.abc import Callable
from functools import lru_cache
from re import compile as pattern
from typing import Any, Protocol
from urllib.parse import parse_qsl

from nicegui import Client, background_tasks, ui
from nicegui.nicegui import sio
from socketio.exceptions import ConnectionRefusedError as Refused  # type: ignore[import-untyped]
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

VIEWERS = 50  # tabs open at a time
PREFIX = 200  # characters of X-Forwarded-Prefix
FIELDS = 20  # of a handshake's query
ID = pattern(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
FAILED = "Implicit handshake failed"  # on this, NiceGUI's script reloads the page
FULL = "too many open tabs of this page: close some, then reload\n"


class Page(Protocol):
    """The content of a client; `follow` updates it until the client is deleted."""

    async def follow(self) -> None: ...


class Visitors:
    """`build` fills a client with the page, with the same elements each time. Create one per
    process: NiceGUI is global."""

    def __init__(self, build: Callable[[Client], Page]) -> None:
        self._build = build
        self._page = ui.page("/")
        self._text = lru_cache(8)(self._render)
        self._shake = sio.handlers["/"].pop("handshake")
        sio.on("connect", self._connect)

    def answer(self, request: Request) -> Response:
        """The page, for a browser that may or may not open a socket."""
        if len(Client.instances) >= VIEWERS:
            return PlainTextResponse(FULL, 503, {"retry-after": "5"})
        head, tail = self._text(request.headers.get("x-forwarded-prefix", "")[:PREFIX])
        text = head + str(uuid.uuid4()).encode() + tail
        return HTMLResponse(text, headers={"cache-control": "no-store"})

    def _render(self, prefix: str) -> tuple[bytes, bytes]:
        """The page before and after the client's id."""
        client, _ = self._create()
        try:
            body = bytes(client.build_response(_request(prefix)).body)
        finally:
            client.delete()
        head, tail = body.split(client.id.encode())
        return head, tail

    async def _connect(self, sid: str, environ: dict[str, Any], _: object = None) -> None:
        """Handle a browser's socket. Raises Refused when it gets no client."""
        query = dict(parse_qsl(environ.get("QUERY_STRING", "")[:4_096], max_num_fields=FIELDS))
        if not {"client_id", "tab_id", "document_id"} <= query.keys():
            raise Refused(FAILED)
        client, page = self._create(query["client_id"]) if _is_new(query) else (None, None)
        done = False
        try:
            done = await self._shake(sid, query)
        finally:
            if client and not done:
                client.delete()
        if not done:
            raise Refused(FAILED)
        if client and page:
            background_tasks.create(page.follow(), name="page", context=client)

    def _create(self, id_: str = "") -> tuple[Client, Page]:
        client = Client(self._page, request=_request())
        if id_:
            Client.instances[id_] = Client.instances.pop(client.id)
            client.id = id_
        with client:
            page = self._build(client)
        _name_listeners(client)
        return client, page


def _is_new(query: dict[str, str]) -> bool:
    """Whether the handshake is the first of a page that was served before. After a long absence,
    or a restart of this server, a page is not new: the browser must reload it."""
    first = ID.fullmatch(query["client_id"]) and query.get("next_message_id") == "0"
    return (
        bool(first)
        and query["client_id"] not in Client.instances
        and len(Client.instances) < VIEWERS
    )


def _name_listeners(client: Client) -> None:
    """Give listeners the same names in each client: the text has those of another client."""
    for element in client.elements.values():
        listeners = [*element._event_listeners.values()]
        element._event_listeners.clear()
        for number, listener in enumerate(listeners):
            listener.id = f"{element.id}-{number}"
            element._event_listeners[listener.id] = listener


def _request(prefix: str = "") -> Request:
    """A request for NiceGUI, which contains nothing from the client but the prefix."""
    headers = [(b"x-forwarded-prefix", prefix.encode("latin-1"))] if prefix else []
    scope = {"type": "http", "method": "GET", "scheme": "http", "server": ("localhost", 80)}
    return Request({**scope, "path": "/", "root_path": "", "query_string": b"", "headers": headers})
