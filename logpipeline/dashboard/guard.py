"""Guard: who may see the page. It stands before everything that the server answers.

Without a password, only names that can't be rebound to another address are answered to
(a page from elsewhere could otherwise read the logs through a visitor's browser); another site's
page gets nothing, and opens no WebSocket. Behind it nobody sees a cookie or a large request.
"""

import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from logpipeline import hosts
from logpipeline.dashboard import login
from logpipeline.dashboard.login import Login

OPEN = {"/healthz", "/readyz"}
HEAD = 32_768  # bytes of all headers
BODY = 65_536  # bytes of a request's body: the page's own are of a few hundred
# NiceGUI's own scripts are inline and compile templates; nothing may come from, or go, elsewhere.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Wraps the ASGI `app`. `host` is what the page listens on; an empty `password` means none."""

    def __init__(self, app: ASGIApp, host: str, password: str) -> None:
        self._app = app
        self._names = {"localhost", host.lower(), socket.gethostname().lower()}
        self._login = Login(password) if password else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        answer = self._refuse(scope, Headers(scope=scope))
        if answer is None and self._login:
            answer = await self._ask(self._login, scope, receive)
        if answer is None:
            await self._app(_without_cookies(scope), receive, _adding_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            answer.headers.update(HEADERS)
            await answer(scope, receive, send)

    def _refuse(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to what nobody may ask, None for the rest."""
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD:
            return PlainTextResponse("too many headers\n", 431)
        if "transfer-encoding" in headers:
            return PlainTextResponse("the length of the body is needed\n", 411)
        if not _is_small(headers.get("content-length", "0")):
            return PlainTextResponse("too large\n", 413)
        if not self._login and not hosts.is_safe(headers.get("host", ""), self._names):
            words = "this name is not answered: use an IP address, or set DASHBOARD_PASSWORD\n"
            return PlainTextResponse(words, 421)
        if _is_elsewhere(headers) or (_is_cross(headers) and not _is_link(scope, headers)):
            return PlainTextResponse("not from another site's page\n", 403)
        return None

    @staticmethod
    async def _ask(own: Login, scope: Scope, receive: Receive) -> Response | None:
        """The login, for those who have not been there."""
        cookies = (value for name, value in scope["headers"] if name == b"cookie")
        if scope["path"] in OPEN or own.knows(cookies):
            return None
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == "/":
            return await own.answer(Request(scope, receive))
        return login.page("")


def _is_small(length: str) -> bool:
    return length.isascii() and length.isdigit() and len(length) < 9 and int(length) <= BODY


def _is_elsewhere(headers: Headers) -> bool:
    """Whether the Origin is another one than this page's, or none at all."""
    origin = headers.get("origin")
    try:
        return origin is not None and urlsplit(origin).netloc.lower() != headers["host"].lower()
    except (ValueError, KeyError):
        return True


def _is_cross(headers: Headers) -> bool:
    """Whether a browser says that another site's page asks (W3C Fetch Metadata). Another port of
    this machine is another page too."""
    return headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}


def _is_link(scope: Scope, headers: Headers) -> bool:
    """Whether somebody has followed a link: the page opens for them, not for the other one."""
    fetch = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
    return (
        scope["type"] == "http" and scope["method"] == "GET" and fetch == ("navigate", "document")
    )


def _without_cookies(scope: Scope) -> Scope:
    """The frameworks behind it would parse them, which takes minutes for some."""
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"cookie"]}


def _adding_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message["headers"] = [*message.get("headers", []), *own]
        await send(message)

    return sending
