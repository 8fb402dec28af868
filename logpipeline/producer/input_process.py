"""Input process: reads and converts lines on a core of its own, while another one sends them."""

import gc
import logging
import os
import pickle
import select
import signal
import socket
import struct
import sys
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
SWITCH = 0.0002  # seconds until the outbox's thread gets its turn: 3 % more lines a second
AHEAD = 2**18  # bytes of frames that may wait, about a chunk's; Linux doubles it
PATIENCE = 2.0  # seconds that the child may be silent after a request to stop


class Frame(NamedTuple):
    """Events with the key of them all, the input's position, whether it was `complete` so far, its
    summary, and what was redacted and logged since the last frame."""

    key: bytes
    values: list[bytes]
    state: tuple[int, bool, str]
    redacted: Counter[str]
    records: list[logging.LogRecord]
    is_last: bool


class InputProcess(Source):
    """The events of `source`, which a child reads. Create it while there are no threads.

    The child begins with the first burst, waits while no one takes its events, and never outlives
    this process. When it dies, an error is logged, and the source is not `complete`.
    """

    def __init__(self, source: Input, stop: Shutdown, redaction: Redaction | None) -> None:
        self.size, self.complete = source.size, source.complete
        self._summary = source.summary()
        self._stop, self._redaction = stop, redaction
        self._asked: float | None = None  # when the child was asked to stop
        self._buffer = bytearray()
        self._socket, parent = socket.socketpair()
        parent.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, AHEAD)
        gc.freeze()  # a search for garbage would copy the pages that both share
        self._child = os.fork()  # 0 once it is reaped
        if not self._child:
            self._socket.close()
            _serve(source, parent, redaction)
        parent.close()
        source.close()

    def bursts(self, outbox: Outbox) -> Iterator[EventBatch]:
        sys.setswitchinterval(SWITCH)
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
            frame: Frame = pickle.loads(self._bytes(size))  # noqa: S301 - of our own child
        except TimeoutError:
            self._report("did not stop")
            return None
        except (EOFError, ConnectionError):
            self._report(self._death())
            return None
        self.position, self.complete, self._summary = frame.state
        if self._redaction:
            self._redaction.counts.update(frame.redacted)
        for record in frame.records:
            logging.getLogger(record.name).handle(record)
        return None if frame.is_last else frame

    def _report(self, why: str) -> None:
        log.error("input not read to its end: its process %s", why)
        self.complete = False

    def _bytes(self, count: int) -> memoryview:
        """The next bytes, valid until the next call. Raises EOFError, TimeoutError,
        ConnectionError."""
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
        """Wait for the child. Raises TimeoutError when it does not react to a request to stop."""
        while not _has_data(self._socket, STEP):
            self._pass_on(self._stop.requested)
            if self._asked is not None and time.monotonic() - self._asked > PATIENCE:
                raise TimeoutError

    def _pass_on(self, stop: bool) -> None:
        """Ask the child to stop when that was requested."""
        if stop and self._asked is None:
            self._asked = time.monotonic()
            with suppress(OSError):  # it has ended
                self._socket.shutdown(socket.SHUT_WR)

    def _death(self) -> str:
        """How the child, which is dying, has ended."""
        status = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
        self._child = 0
        if status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        return f"ended with exit status {status}"


class ParentStop(Shutdown):
    """True once the parent has passed on a request to stop, or has ended."""

    def __init__(self, parent: socket.socket) -> None:
        super().__init__()
        self._parent = parent

    def __bool__(self) -> bool:
        return _has_data(self._parent, 0)


class FrameSender(logging.Handler):
    """Sends frames to the parent, with what was logged."""

    def __init__(self, source: Input, parent: socket.socket, redaction: Redaction | None) -> None:
        super().__init__()
        self._source, self._parent = source, parent
        self._counts = redaction.counts if redaction else Counter[str]()
        self._records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args = record.getMessage(), None
        self._records.append(record)

    def send(self, key: bytes, values: list[bytes], is_last: bool = False) -> None:
        """Raises ConnectionError when the parent has ended."""
        state = self._source.position, self._source.complete, self._source.summary()
        frame = Frame(key, values, state, self._counts, self._records, is_last)
        data = pickle.dumps(frame, pickle.HIGHEST_PROTOCOL)
        self._parent.sendall(SIZE.pack(len(data)) + data)
        self._counts.clear()
        self._records.clear()

    def send_all(self) -> None:
        """Those of the source. They are empty while a pipe is."""
        if not self._parent.recv(len(BEGIN)):
            return
        for key, values in self._source.batches(ParentStop(self._parent)):
            for begin in range(0, max(1, len(values)), TOGETHER):
                self.send(key, values[begin : begin + TOGETHER])
        self.send(b"", [], is_last=True)


def _has_data(connection: socket.socket, seconds: float) -> bool:
    """Whether it has, or has ended, within that time. Its number may be too high for select."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(1_000 * seconds))


def _serve(source: Input, parent: socket.socket, redaction: Redaction | None) -> NoReturn:
    """Be the child."""
    status = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the parent reacts
            signal.signal(number, signal.SIG_IGN)
        frames = FrameSender(source, parent, redaction)
        logging.getLogger().handlers = [frames]
        frames.send_all()
        status = 0
    except ConnectionError:
        pass  # the parent has ended
    except BaseException:  # noqa: BLE001 - nothing may return into a second parent
        traceback.print_exc()
    finally:
        os._exit(status)
