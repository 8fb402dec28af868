"""Live: searches for a page: one engine a search, ended with it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from logpipeline.find.request import Request

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 2**23  # bytes of an answer's line


async def answers(request: Request, log_file: Path, **variables: str) -> AsyncGenerator[Any, None]:
    """What the engine writes, as it writes it. Closing the iterator, or cancelling the task that
    iterates, ends the engine at once. `variables` are settings, such as ARCHIVE_URL."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "logpipeline.find.engine", "--log-file", str(log_file)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LONGEST,
        env=environment,
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        process.stdin.write(msgspec.msgpack.encode(request))
        process.stdin.close()
        async for line in process.stdout:
            yield msgspec.json.decode(line)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
