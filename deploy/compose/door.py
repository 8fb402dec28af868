"""The door for this machine's 127.0.0.1: access to Kafka and Redis without a password.

    door.py front 6379=redis://redis:6379 9092=kafka://kafka:9092

listens only on the address of `front`, which can be reached only through the ports that Docker
publishes, authenticates to the server, and then forwards each byte. The passwords are in SECRETS,
one file for each scheme.
"""

import asyncio
import logging
import signal
import struct
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

SECRETS = Path("/run/secrets/door")
PATIENCE = 10.0  # seconds for connecting and authenticating
CHUNK = 2**18  # bytes
USER = b"admin"  # of Kafka
HANDSHAKE, AUTHENTICATE = (17, 1), (36, 0)  # requests of Kafka's protocol: api key, version

log = logging.getLogger("door")


class RefusedError(Exception):
    """The server refused the door."""


async def main(host: str, doors: Sequence[str]) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    for door in doors:
        port, _, address = door.partition("=")
        serve = partial(let_in, urlsplit(address))
        await asyncio.start_server(serve, host, int(port), limit=CHUNK)
    log.info("open: %s", ", ".join(doors))
    await stop.wait()


async def let_in(address: SplitResult, reader: StreamReader, writer: StreamWriter) -> None:
    """Serve one client, until the server closes the connection."""
    try:
        async with asyncio.timeout(PATIENCE):
            inner, outer = await asyncio.open_connection(
                address.hostname, address.port, limit=CHUNK
            )
            try:
                await ENTER[address.scheme](inner, outer)
            except BaseException:
                outer.close()
                raise
    except (OSError, EOFError, RefusedError) as error:
        log.warning("%s: %s", address.geturl(), error or type(error).__name__)
        writer.close()
        return
    sending = asyncio.create_task(copy(reader, outer))
    await copy(inner, writer)
    sending.cancel()
    for each in (outer, writer):
        each.close()


async def copy(reader: StreamReader, writer: StreamWriter) -> None:
    """Forward the bytes, and then their end."""
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def enter_redis(reader: StreamReader, writer: StreamWriter) -> None:
    """Authenticate to Redis. Raises RefusedError, OSError, EOFError."""
    writer.write(b"AUTH %b\r\n" % password("redis"))
    answer = await reader.readline()
    if answer != b"+OK\r\n":
        raise RefusedError(answer.decode(errors="replace").strip())


async def enter_kafka(reader: StreamReader, writer: StreamWriter) -> None:
    """Authenticate to Kafka by SASL/PLAIN. Raises RefusedError, OSError, EOFError."""
    proof = b"\0%b\0%b" % (USER, password("kafka"))
    for api, body in (
        (HANDSHAKE, struct.pack(">h5s", 5, b"PLAIN")),
        (AUTHENTICATE, struct.pack(">i", len(proof)) + proof),
    ):
        request = struct.pack(">hhih", *api, 0, -1) + body
        writer.write(struct.pack(">i", len(request)) + request)
        (length,) = struct.unpack(">i", await reader.readexactly(4))
        _, error = struct.unpack_from(">ih", await reader.readexactly(length))
        if error:
            raise RefusedError(f"Kafka answered with error {error}")


ENTER = {"redis": enter_redis, "kafka": enter_kafka}


def password(scheme: str) -> bytes:
    """The password for a scheme. Raises OSError."""
    return (SECRETS / scheme).read_bytes()


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
