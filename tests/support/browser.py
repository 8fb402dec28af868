"""Browser: a real Chromium that a test drives, and what it must not do meanwhile."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    Error,
    Page,
    Playwright,
    Request,
    sync_playwright,
)

from tests.support import programs

ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PATIENCE = 20_000.0  # milliseconds
# What Chromium says itself of a server that is down, and of a wrong password.
EXPECTED = re.compile(r"ERR_CONNECTION_REFUSED|status of 401")
# When this machine gets or loses a network, as by a container that starts, Chromium ends all
# requests. The page loads what is missing again; until then its other scripts may fail.
LOST = re.compile(r"ERR_(NETWORK_CHANGED|INTERNET_DISCONNECTED)")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser of this machine, or playwright's own: tests need "chromium"."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_path(playwright), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """Pages of the dashboard at `address`. At its end it raises AssertionError for what a page
    must never do: ask another server for something, or fail in a script, unless a part of it did
    not arrive."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.address = address
        self._browser = browser
        self._wrong: list[str] = []
        self._lost = False  # a part of a page
        self._visitors: list[BrowserContext] = []

    def open(self, path: str = "/", **context: Any) -> Page:
        """A new tab of a new visitor: `color_scheme`, `viewport`, `timezone_id` …"""
        visitor = self._browser.new_context(**context)
        self._visitors.append(visitor)
        visitor.set_default_timeout(PATIENCE)
        page = visitor.new_page()
        page.on("request", self._look_at)
        page.on("requestfailed", self._lose)
        page.on("pageerror", self._fail)
        page.on("dialog", lambda dialog: self._wrong.append(f"dialog: {dialog.message}"))
        page.on("console", lambda message: self._hear(message.type, message.text))
        try:
            page.goto(self.address + path)
        except Error as error:
            if not LOST.search(str(error)):
                raise
            page.goto(self.address + path)
        return page

    def check(self) -> None:
        assert not self._wrong

    def __enter__(self) -> "Tab":
        return self

    def __exit__(self, *failure: object) -> None:
        for visitor in self._visitors:
            visitor.close()
        if not failure[0]:
            assert not self._wrong, self._wrong

    def _look_at(self, request: Request) -> None:
        ours = urlsplit(self.address).netloc
        target = urlsplit(request.url)
        if target.scheme not in {"data", "blob"} and target.netloc != ours:
            self._wrong.append(f"asked for {request.url[:200]}")

    def _fail(self, error: Error) -> None:
        if not self._lost:
            self._wrong.append(str(error))

    def _lose(self, request: Request) -> None:
        self._lost = self._lost or bool(LOST.search(request.failure or ""))

    def _hear(self, kind: str, text: str) -> None:
        if kind == "error" and not (EXPECTED.search(text) or LOST.search(text)):
            self._wrong.append(text[:300])


def _path(playwright: Playwright) -> str:
    on_path = filter(None, map(shutil.which, programs.BROWSERS))
    return next(on_path, playwright.chromium.executable_path)
