"""Body: what a client sends, within limits of size and of the memory of all bodies."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from logpipeline.collector import encodings
from logpipeline.collector.exchange import Invalid

Receive = Callable[[], Awaitable[Any]]
TOGETHER = 48 * 2**20  # bytes of all bodies that arrive at a time


class Disconnected(Exception):  # noqa: N818 - what a client does
    """The client has gone, or is too slow."""


class Bodies:
    """Reads bodies; counts the bytes of those that have not arrived completely."""

    def __init__(self) -> None:
        self._bytes = 0

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive, most: int) -> bytes:
        """A body of at most `most` bytes, expanded. Raises Invalid, Disconnected."""
        length = headers.get(b"content-length", b"0")
        if len(length) > 15 or int(length) > most:
            raise too_large(most)
        encoding = headers.get(b"content-encoding", b"").strip().lower()
        if encoding not in encodings.EXPAND:
            known = ", ".join(sorted(name.decode() for name in encodings.EXPAND if name))
            raise Invalid(415, f"Content-Encoding must be one of {known}")
        body = await self._whole(receive, most)
        if not encoding or not body:
            return body
        try:
            return encodings.expanded(body, encoding)
        except encodings.TooMuch as error:
            raise Invalid(413, str(error)) from error
        except encodings.BadEncoding as error:
            raise Invalid(400, str(error)) from error

    async def _whole(self, receive: Receive, most: int) -> bytes:
        """Raises Invalid, Disconnected."""
        parts: list[bytes] = []
        size = 0
        try:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Disconnected
                part = message.get("body", b"")
                more = message.get("more_body", False)
                if not parts and not more:
                    if len(part) > most:
                        raise too_large(most)
                    return bytes(part)
                size += len(part)
                self._bytes += len(part)
                if size > most:
                    raise too_large(most)
                if self._bytes > TOGETHER:
                    raise Invalid(429, "too many bodies arrive at a time")
                parts.append(part)
                if not more:
                    return b"".join(parts)
        finally:
            self._bytes -= size


def too_large(most: int) -> Invalid:
    return Invalid(413, f"the body has more than {most:,} bytes: split it")
