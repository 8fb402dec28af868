"""Visitors: NiceGUI's clients, made when a browser opens its socket instead of when it asks.

NiceGUI makes a client of forty elements for each GET of the page, and keeps it for a minute though
no browser ever comes: 15 ms and 300 KB a GET. Here a GET is a copy of the same text with another
id, and the client of that id is made at the socket's handshake.
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

VIEWERS = 50  # tabs that are open at a time
PREFIX = 200  # characters of X-Forwarded-Prefix
FIELDS = 20  # of a handshake's query
ID = pattern(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
FAILED = "Implicit handshake failed"  # at this NiceGUI's script loads the page again
FULL = "too many tabs show this page already: close some, and load it again\n"


class Page(Protocol):
    """What fills a client, and keeps it up to date until it has gone."""

    async def follow(self) -> None: ...


class Visitors:
    """`build` fills a client with the page, with the same elements each time. Once a process, as
    NiceGUI has one server for all."""

    def __init__(self, build: Callable[[Client], Page]) -> None:
        self._build = build
        self._page = ui.page("/")
        self._text = lru_cache(8)(self._render)
        self._shake = sio.handlers["/"].pop("handshake")
        sio.on("connect", self._connect)

    def answer(self, request: Request) -> Response:
        """The page, for a browser that may open a socket or not."""
        if len(Client.instances) >= VIEWERS:
            return PlainTextResponse(FULL, 503, {"retry-after": "5"})
        head, tail = self._text(request.headers.get("x-forwarded-prefix", "")[:PREFIX])
        text = head + str(uuid.uuid4()).encode() + tail
        return HTMLResponse(text, headers={"cache-control": "no-store"})

    def _render(self, prefix: str) -> tuple[bytes, bytes]:
        """What stands before and after a client's id."""
        client, _ = self._make()
        try:
            body = bytes(client.build_response(_request(prefix)).body)
        finally:
            client.delete()
        head, tail = body.split(client.id.encode())
        return head, tail

    async def _connect(self, sid: str, environ: dict[str, Any], _: object = None) -> None:
        """A browser's socket. Raises Refused when it can't have a client."""
        query = dict(parse_qsl(environ.get("QUERY_STRING", "")[:4_096], max_num_fields=FIELDS))
        if not {"client_id", "tab_id", "document_id"} <= query.keys():
            raise Refused(FAILED)
        client, page = self._make(query["client_id"]) if _is_new(query) else (None, None)
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

    def _make(self, id_: str = "") -> tuple[Client, Page]:
        client = Client(self._page, request=_request())
        if id_:
            Client.instances[id_] = Client.instances.pop(client.id)
            client.id = id_
        with client:
            page = self._build(client)
        _name_listeners(client)
        return client, page


def _is_new(query: dict[str, str]) -> bool:
    """Whether the handshake is the first one of a page that was answered before. After a long
    absence, or a new start of this server, a page is not new: it has to be loaded again."""
    first = ID.fullmatch(query["client_id"]) and query.get("next_message_id") == "0"
    return (
        bool(first)
        and query["client_id"] not in Client.instances
        and len(Client.instances) < VIEWERS
    )


def _name_listeners(client: Client) -> None:
    """Give them the same names in each client: those in the text are of another one."""
    for element in client.elements.values():
        listeners = [*element._event_listeners.values()]
        element._event_listeners.clear()
        for number, listener in enumerate(listeners):
            listener.id = f"{element.id}-{number}"
            element._event_listeners[listener.id] = listener


def _request(prefix: str = "") -> Request:
    """What NiceGUI needs of one, with nothing in it that a client has sent but the prefix."""
    headers = [(b"x-forwarded-prefix", prefix.encode("latin-1"))] if prefix else []
    scope = {"type": "http", "method": "GET", "scheme": "http", "server": ("localhost", 80)}
    return Request({**scope, "path": "/", "root_path": "", "query_string": b"", "headers": headers})
