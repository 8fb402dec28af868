"""Relay: how the workers reach the one among them that sends what has a key.

A key is known to one process alone: so a repeated request is recognised whichever worker takes it.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from logpipeline.collector.exchange import Pair
from logpipeline.collector.sending import Away, Full, Outcome, Sending

log = logging.getLogger(__name__)

LENGTH = 4  # bytes before each message
RETRY = 0.2  # seconds between attempts to connect
FULL = "full"


class Question(msgspec.Struct, array_like=True):
    """What a worker asks: to send these records."""

    number: int
    pairs: list[tuple[bytes, bytes]]
    ids: list[bytes]
    once: tuple[bytes, bytes] | None


class Verdict(msgspec.Struct, array_like=True):
    """The answer: an Outcome's value, FULL, or why Kafka is away."""

    number: int
    text: str


_encode = msgspec.msgpack.encode
_question = msgspec.msgpack.Decoder(Question).decode
_verdict = msgspec.msgpack.Decoder(Verdict).decode


async def answer(path: Path, keyed: Sending) -> asyncio.AbstractServer:
    """Send for the other workers, from now on."""
    path.unlink(missing_ok=True)
    waiting: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            while True:
                task = asyncio.create_task(_decide(keyed, _question(await _read(reader)), writer))
                waiting.add(task)
                task.add_done_callback(waiting.discard)
        writer.close()

    return await asyncio.start_unix_server(serve, path)


async def _decide(keyed: Sending, question: Question, writer: asyncio.StreamWriter) -> None:
    try:
        text = (await keyed.offer(question.pairs, question.ids, question.once)).value
    except Full:
        text = FULL
    except Away as error:
        text = str(error)
    with suppress(OSError):
        _write(writer, _encode(Verdict(question.number, text)))


class Relay:
    """Takes the place of the keyed sender in the other workers."""

    alive = True
    waiting = 0

    def __init__(self, path: Path) -> None:
        self.away = "the worker for requests with a key has not been reached yet"
        self._path = path
        self._writer: asyncio.StreamWriter | None = None
        self._number = 0
        self._open: dict[int, asyncio.Future[Outcome]] = {}

    async def run(self) -> None:
        """Keep connected, until it is cancelled."""
        while True:
            with suppress(OSError, EOFError):
                reader, self._writer = await asyncio.open_unix_connection(self._path)
                self.away = ""
                while True:
                    self._settle(_verdict(await _read(reader)))
            self.away = "the worker for requests with a key is away"
            for done in self._open.values():
                if not done.done():
                    done.set_result(Outcome.UNKNOWN)
            self._open.clear()
            await asyncio.sleep(RETRY)

    def offer(
        self,
        pairs: Sequence[Pair],
        ids: Sequence[bytes] = (),
        once: tuple[bytes, bytes] | None = None,
    ) -> asyncio.Future[Outcome]:
        """As of Sending. Raises Away."""
        if self.away or self._writer is None:
            raise Away(self.away)
        self._number += 1
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._open[self._number] = done
        _write(self._writer, _encode(Question(self._number, list(pairs), list(ids), once)))
        return done

    def _settle(self, verdict: Verdict) -> None:
        done = self._open.pop(verdict.number, None)
        if done is None or done.done():
            return
        if verdict.text == FULL:
            done.set_exception(Full())
        elif verdict.text in {outcome.value for outcome in Outcome}:
            done.set_result(Outcome(verdict.text))
        else:
            done.set_exception(Away(verdict.text))


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Raises OSError, EOFError."""
    size = int.from_bytes(await reader.readexactly(LENGTH))
    return await reader.readexactly(size)


def _write(writer: asyncio.StreamWriter, message: bytes) -> None:
    writer.write(len(message).to_bytes(LENGTH) + message)
