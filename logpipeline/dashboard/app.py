"""App: the web application around the page: its routes, its guard, its one reader of Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from nicegui import Client, background_tasks, ui
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from logpipeline.dashboard.feed import Feed
from logpipeline.dashboard.guard import Guard
from logpipeline.dashboard.redis_reader import RedisReader
from logpipeline.dashboard.settings import DashboardSettings
from logpipeline.dashboard.viewer import Viewer
from logpipeline.recent import redis_client as redis_client


def make(settings: DashboardSettings) -> FastAPI:
    """The application, for an ASGI server to run. Once a process: NiceGUI has one for all."""
    feed = Feed(RedisReader(settings))
    address = redis_client.address(settings)

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

    @ui.page("/")
    def index(client: Client, request: Request) -> None:
        viewer = Viewer(client, feed, address, settings.redis_key, request.query_params)
        background_tasks.create(viewer.follow(), name="viewer", context=client)

    ui.run_with(
        app,
        title="Logs",
        favicon="📜",
        dark=None,
        language="en-US",
        tailwind=False,
        binding_refresh_interval=None,
        message_history_length=0,
        show_welcome_message=False,
    )
    return app
