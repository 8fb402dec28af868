"""Input process: reads and converts lines on a core of its own, while another one sends them."""

import gc
import logging
import os
import pickle
import select
import signal
import socket
import struct
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import repeat
from typing import NamedTuple, NoReturn

from logpipeline.events.redaction import Redaction
from logpipeline.kafka.outbox import Outbox
from logpipeline.producer.input import Input
from logpipeline.producer.source import EventBatch, Source
from logpipeline.shutdown import STEP, Shutdown

log = logging.getLogger(__name__)

TOGETHER = 300  # events of a frame: their bytes fit into a cache
SIZE = struct.Struct("<I")
BEGIN = b"\n"
PATIENCE = 2.0  # seconds that the process may be silent after a request to stop

Message = tuple[str, int, str]  # logger, level, text


class Frame(NamedTuple):
    """Events of one key, and what is known of the input after them. `redacted` and `messages` are
    those since the last frame."""

    key: bytes
    values: list[bytes]
    position: int
    complete: bool
    summary: str
    redacted: Counter[str]
    messages: list[Message]
    is_last: bool


class InputProcess(Source):
    """The events of `source`, which a child reads: its state and its log messages come with them.

    The child is forked here, when there are no threads yet, and begins with the first burst. It
    never outlives this process. When it dies, what it had not sent is reported as not read.
    """

    def __init__(self, source: Input, stop: Shutdown, redaction: Redaction | None) -> None:
        self.size, self.complete = source.size, source.complete
        self._summary = source.summary()
        self._stop, self._redaction = stop, redaction
        self._asked: float | None = None  # when the child was asked to stop
        self._buffer = bytearray()
        self._socket, theirs = socket.socketpair()
        gc.freeze()  # a search for garbage would copy the pages that both share
        self._child = os.fork()  # 0 once it is reaped
        if not self._child:
            self._socket.close()
            _serve(source, theirs, redaction)
        theirs.close()
        source.close()

    def bursts(self, outbox: Outbox) -> Iterator[EventBatch]:
        with suppress(ConnectionError):
            self._socket.send(BEGIN)
        while frame := self._received():
            self._pass_on(bool(self._stop))
            if frame.values:
                yield EventBatch(list(zip(repeat(frame.key), frame.values)))
            else:
                outbox.settle()

    def summary(self) -> str:
        return self._summary

    def close(self) -> None:
        self._socket.close()
        if self._child:
            os.kill(self._child, signal.SIGKILL)
            self._death()

    def _received(self) -> Frame | None:
        """The next frame; None after the last one, or when the child has died."""
        try:
            [size] = SIZE.unpack(self._bytes(SIZE.size))
            frame: Frame = pickle.loads(self._bytes(size))  # noqa: S301 - from our own child
        except (EOFError, ConnectionError) as error:
            log.error("input not read to its end: its process %s", str(error) or self._death())
            self.complete = False
            return None
        self.position, self.complete, self._summary = frame.position, frame.complete, frame.summary
        if self._redaction:
            self._redaction.counts.update(frame.redacted)
        for name, level, text in frame.messages:
            logging.getLogger(name).log(level, "%s", text)
        return None if frame.is_last else frame

    def _bytes(self, count: int) -> memoryview:
        """The next bytes, valid until the next call. Raises EOFError, ConnectionError."""
        if count > len(self._buffer):
            self._buffer = bytearray(count)
        whole = left = memoryview(self._buffer)[:count]
        while left:
            self._wait()
            got = self._socket.recv_into(left)
            if not got:
                raise EOFError
            left = left[got:]
        return whole

    def _wait(self) -> None:
        """Wait for the child. Raises EOFError when it does not react to a request to stop."""
        while not select.select([self._socket], [], [], STEP)[0]:
            self._pass_on(self._stop.requested)
            if self._asked is not None and time.monotonic() - self._asked > PATIENCE:
                raise EOFError("did not stop")

    def _pass_on(self, stop: bool) -> None:
        """Ask the child to stop when that was requested."""
        if stop and self._asked is None:
            self._asked = time.monotonic()
            self._socket.shutdown(socket.SHUT_WR)

    def _death(self) -> str:
        """How the child, which is dying, has ended."""
        status = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
        self._child = 0
        if status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        return f"ended with exit status {status}"


class ParentStop(Shutdown):
    """True once the parent has requested a stop, or has ended."""

    def __init__(self, parent: socket.socket) -> None:
        super().__init__()
        self._parent = parent

    def __bool__(self) -> bool:
        return bool(select.select([self._parent], [], [], 0)[0])


class Relay(logging.Handler):
    """Keeps messages for the next frame."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Message] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append((record.name, record.levelno, record.getMessage()))


def _serve(source: Input, parent: socket.socket, redaction: Redaction | None) -> NoReturn:
    """Be the child."""
    status = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the parent reacts
            signal.signal(number, signal.SIG_IGN)
        relay = Relay()
        logging.getLogger().handlers = [relay]
        if parent.recv(len(BEGIN)):
            _send(source, parent, redaction, relay)
        status = 0
    except ConnectionError:
        pass  # the parent has ended
    except BaseException:  # noqa: BLE001 - nobody above may go on as a second parent
        traceback.print_exc()
    finally:
        os._exit(status)


def _send(source: Input, parent: socket.socket, redaction: Redaction | None, relay: Relay) -> None:
    """Send all frames. They are empty while a pipe is. Raises ConnectionError."""

    def send(key: bytes, values: list[bytes], is_last: bool = False) -> None:
        state = source.position, source.complete, source.summary()
        redacted = redaction.counts.copy() if redaction else Counter()
        frame = pickle.dumps(
            Frame(key, values, *state, redacted, relay.messages, is_last), pickle.HIGHEST_PROTOCOL
        )
        parent.sendall(SIZE.pack(len(frame)) + frame)
        relay.messages.clear()
        if redaction:
            redaction.counts.clear()

    for key, values in source.batches(ParentStop(parent)):
        for begin in range(0, max(1, len(values)), TOGETHER):
            send(key, values[begin : begin + TOGETHER])
    send(b"", [], is_last=True)
