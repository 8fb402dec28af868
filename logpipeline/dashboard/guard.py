"""Guard: who may see the page. It stands before everything that the server answers.

Without a password, only names that can't be rebound to another address are answered to
(a page from elsewhere could otherwise read the logs through a visitor's browser); a WebSocket
from another site's page never is.
"""

import asyncio
import hmac
import ipaddress
import secrets
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "dashboard"
OPEN = {"/healthz"}
WRONG = 1.0  # seconds that a wrong password costs everybody: one guess a second, however many ask
FORM_BYTES = 4_096
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
LOGIN = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Logs</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ display: grid; place-content: center; min-height: 90vh; }}
form {{ display: grid; gap: .75rem; width: 17rem; }}
input, button {{ font: inherit; padding: .5rem .75rem; }}
[role=alert] {{ min-height: 1.5em; margin: 0; }}
</style>
<main><form method="post"><h1>Logs</h1>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password"
 autofocus required>
<button>Log in</button><p role="alert">{}</p></form></main></html>"""


class Guard:
    """Wraps the ASGI `app`. `host` is what the page listens on; an empty `password` means none."""

    def __init__(self, app: ASGIApp, host: str, password: str) -> None:
        self._app = app
        self._names = {"localhost", host.lower(), socket.gethostname().lower()}
        self._password = password.encode()
        self._session = secrets.token_urlsafe(32)  # a new start asks for the password again
        self._guessing = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer = await self._refuse(scope, receive, headers)
        if answer is None:
            await self._app(scope, receive, _adding_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            answer.headers.update(HEADERS)
            await answer(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, headers: Headers) -> Response | None:
        """The answer instead of the page's; None when this visitor may have it."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._password and not self._is_ours(host):
            words = f"no page under this name: use an address, or {', '.join(sorted(self._names))}"
            return PlainTextResponse(words + ", or set DASHBOARD_PASSWORD\n", 421)
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return PlainTextResponse("not from another site's page\n", 403)
        if not self._password or scope["path"] in OPEN or self._knows(headers):
            return None
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] == "/":
            return await self._log_in(Request(scope, receive))
        return HTMLResponse(LOGIN.format(""), 401)

    def _is_ours(self, host: str) -> bool:
        """Whether no foreign name server can have made this Host header mean us."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return True

    def _knows(self, headers: Headers) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        given = cookie.value if cookie else ""
        return hmac.compare_digest(given.encode(), self._session.encode())

    async def _log_in(self, request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > FORM_BYTES:
                return HTMLResponse(LOGIN.format("That is too long."), 413)
        given = parse_qs(body.decode(errors="replace")).get("password", [""])[0].encode()
        if self._guessing.locked():
            return HTMLResponse(LOGIN.format("Somebody else is trying. Once more, please."), 429)
        async with self._guessing:
            if not hmac.compare_digest(given, self._password):
                await asyncio.sleep(WRONG)
                return HTMLResponse(LOGIN.format("That is not the password."), 401)
        answer = RedirectResponse("./", 303)
        answer.set_cookie(
            COOKIE,
            self._session,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return answer


def _adding_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message["headers"] = [*message.get("headers", []), *own]
        await send(message)

    return sending
