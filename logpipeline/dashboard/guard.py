"""Guard: decides who may see the page, before anything else handles a request.

Without a password, it accepts only host names that cannot be rebound to another address:
otherwise a page from another site could read the logs through a visitor's browser. It refuses
requests and WebSockets of other sites' pages, and keeps cookies and large requests from the
application behind it.
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
BODY = 65_536  # bytes of a request's body: those of the page have a few hundred
# NiceGUI's own scripts are inline and compile templates; other origins are not allowed.
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
    """Wraps the ASGI `app`. `host` is the page's address; an empty `password` means none."""

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
            first = await receive()
            if first["type"] != "http.disconnect":  # for which engine.io raises
                scope, receive = _without_cookies(scope), _beginning_with(first, receive)
                await self._app(scope, receive, _adding_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            answer.headers.update(HEADERS)
            await answer(scope, receive, send)

    def _refuse(self, scope: Scope, headers: Headers) -> Response | None:
        """The answer to a request that nobody may send; None for others."""
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEAD:
            return PlainTextResponse("headers are too large\n", 431)
        if "transfer-encoding" in headers:
            return PlainTextResponse("Content-Length is required\n", 411)
        if not _is_small(headers.get("content-length", "0")):
            return PlainTextResponse("body is too large\n", 413)
        if not self._login and not hosts.is_safe(headers.get("host", ""), self._names):
            text = "unknown host name: use an IP address, or set DASHBOARD_PASSWORD\n"
            return PlainTextResponse(text, 421)
        if _is_other_origin(headers) or (_is_cross(headers) and not _is_link(scope, headers)):
            return PlainTextResponse("requests from other sites are refused\n", 403)
        return None

    @staticmethod
    async def _ask(form: Login, scope: Scope, receive: Receive) -> Response | None:
        """The login form, for those who have not logged in."""
        cookies = (value for name, value in scope["headers"] if name == b"cookie")
        if scope["path"] in OPEN or form.knows(cookies):
            return None
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == "/":
            return await form.answer(Request(scope, receive))
        return login.page("")


def _is_small(length: str) -> bool:
    return length.isascii() and length.isdigit() and len(length) < 9 and int(length) <= BODY


def _is_other_origin(headers: Headers) -> bool:
    """Whether the Origin is not that of this page."""
    origin = headers.get("origin")
    try:
        return origin is not None and urlsplit(origin).netloc.lower() != headers["host"].lower()
    except (ValueError, KeyError):
        return True


def _is_cross(headers: Headers) -> bool:
    """Whether a browser reports that another site's page sends this (W3C Fetch Metadata). Another
    port of this host counts as another site."""
    return headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}


def _is_link(scope: Scope, headers: Headers) -> bool:
    """Whether the visitor has followed a link, which shows the page to them alone."""
    fetch = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
    return (
        scope["type"] == "http" and scope["method"] == "GET" and fetch == ("navigate", "document")
    )


def _without_cookies(scope: Scope) -> Scope:
    """The frameworks would parse the cookies, which takes minutes for some."""
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"cookie"]}


def _beginning_with(first: Message, receive: Receive) -> Receive:
    messages = [first]

    async def receiving() -> Message:
        return messages.pop() if messages else await receive()

    return receiving


def _adding_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message["headers"] = [*message.get("headers", []), *own]
        await send(message)

    return sending
