"""App: the web application: its routes, its guard, its one reader of Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import nicegui
from fastapi import FastAPI
from nicegui import ui
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from logpipeline.dashboard import sockets
from logpipeline.dashboard.feed import Feed
from logpipeline.dashboard.guard import Guard
from logpipeline.dashboard.redis_reader import RedisReader
from logpipeline.dashboard.settings import DashboardSettings
from logpipeline.dashboard.viewer import Viewer
from logpipeline.dashboard.visitors import Visitors


def create_app(settings: DashboardSettings) -> FastAPI:
    """The application, for an ASGI server. Call it once per process: NiceGUI is global."""
    feed = Feed(RedisReader(settings))

    @asynccontextmanager
    async def reading(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(feed.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    app = FastAPI(lifespan=reading, openapi_url=None)
    app.add_middleware(Guard, host=settings.dashboard_host, password=settings.dashboard_password)

    @app.get("/healthz")
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("alive\n")

    @app.get("/readyz")
    async def readyz() -> PlainTextResponse:
        if await feed.works():
            return PlainTextResponse("ready\n")
        return PlainTextResponse("cannot read Redis\n", 503)

    sockets.set_limits()
    visitors = Visitors(lambda client: Viewer(client, feed, settings))

    @app.get("/")
    async def index(request: Request) -> Response:
        return visitors.answer(request)

    # NiceGUI's own pages for these create a client each, and show the exception.
    nicegui.app.add_exception_handler(404, _plain("not found\n", 404))
    nicegui.app.add_exception_handler(Exception, _plain("internal error, see the log\n", 500))
    ui.run_with(
        app,
        title="Logs",
        favicon="📜",
        dark=None,
        language="en-US",
        tailwind=False,
        binding_refresh_interval=None,
        gzip_middleware_factory=lambda inner: GZipMiddleware(inner, compresslevel=4),
        message_history_length=0,
        show_welcome_message=False,
    )
    return app


def _plain(text: str, status: int) -> Callable[[Request, Exception], Response]:
    return lambda _, __: PlainTextResponse(text, status)
