"""Login: the page's password, and the cookie of those who know it.

Guessing is slow however many clients guess: passwords are compared one at a time, ten a second,
and a wrong one is answered late. The right one is not refused meanwhile: it waits for its turn.
"""

import asyncio
import hmac
import ipaddress
import secrets
from collections.abc import Iterable
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from logpipeline.dashboard.turns import Turns

COOKIE = "dashboard"
TURN = 0.1  # seconds from one password to the next, from all clients: 864,000 a day
WAITING = 100  # passwords waiting for their turn
WRONG = 1.0  # seconds until a wrong password is answered
FORM_BYTES = 4_096
FORM_SECONDS = 5.0  # for the form to arrive
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Logs</title>
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


class Login:
    """One session for all who know the `password`; it ends with the process. Its cookie is created
    here: a visitor cannot choose it."""

    def __init__(self, password: str) -> None:
        self._password = password.encode()
        self._session = f"{COOKIE}={secrets.token_urlsafe(32)}".encode()
        self._turns = Turns(TURN, WAITING)

    def knows(self, cookies: Iterable[bytes]) -> bool:
        """Whether these Cookie headers contain the session. They are compared as bytes: the
        standard library's parser takes minutes for some."""
        pairs = (pair.strip() for header in cookies for pair in header.split(b";"))
        return any(hmac.compare_digest(pair, self._session) for pair in pairs)

    async def answer(self, request: Request) -> Response:
        """The answer to a submitted form."""
        try:
            async with asyncio.timeout(FORM_SECONDS):
                given = await _password(request)
        except TimeoutError:
            return page("The form took too long to arrive.", 408)
        except ClientDisconnect:
            return page("", 400)
        if given is None:
            return page("The form is too large.", 413)
        if not await self._turn(request):
            return page("Too many login attempts. Please try again.", 429)
        if not hmac.compare_digest(given, self._password):
            await asyncio.sleep(WRONG)
            return page("Wrong password.", 401)
        return self._session_cookie(RedirectResponse("./", 303), request)

    async def _turn(self, request: Request) -> bool:
        """Wait for a turn; a client that disconnects meanwhile loses it."""
        turn = asyncio.ensure_future(self._turns.wait(_source(request)))
        left = asyncio.ensure_future(request.receive())
        try:
            await asyncio.wait({turn, left}, return_when=asyncio.FIRST_COMPLETED)
            return turn.done() and turn.result()
        finally:
            turn.cancel()
            left.cancel()

    def _session_cookie(self, answer: Response, request: Request) -> Response:
        name, value = self._session.decode().split("=", 1)
        secure = request.url.scheme == "https"
        answer.set_cookie(name, value, secure=secure, httponly=True, samesite="strict")
        return answer


def page(problem: str, status: int = 401) -> Response:
    """The login form, with the problem of the last attempt."""
    return HTMLResponse(PAGE.format(problem), status)


async def _password(request: Request) -> bytes | None:
    """The form's password; None when it is too long. Raises ClientDisconnect."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > FORM_BYTES:
            return None
    return parse_qs(body.decode(errors="replace")).get("password", [""])[0].encode()


def _source(request: Request) -> str:
    """Where a request comes from: an IPv4 address, or the IPv6 network of one customer."""
    host = request.client.host if request.client else ""
    try:
        long = ipaddress.ip_address(host).version == 6
        return str(ipaddress.ip_network(f"{host}/64", strict=False)) if long else host
    except ValueError:
        return host
