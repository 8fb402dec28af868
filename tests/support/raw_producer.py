"""Raw producer: sends record batches as they are, whatever their bytes mean."""

import socket
import struct
from types import TracebackType
from typing import Self

PRODUCE, VERSION = 0, 7  # of Kafka's protocol; zstd needs no less
ACKS, TIMEOUT_MS = 1, 30_000
PATIENCE = 60.0  # seconds


class Refused(Exception):  # noqa: N818 - the broker's verdict about a batch
    """The broker has not taken a batch; str() is the number of Kafka's error."""


class RawProducer:
    """Writes to one partition of one topic. Raises OSError."""

    def __init__(self, servers: str, topic: str, partition: int = 0) -> None:
        host, port = servers.split(":")
        self._connection = socket.create_connection((host, int(port)), PATIENCE)
        self._topic = topic.encode()
        self._partition = partition

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._connection.close()

    def send(self, batch: bytes) -> int:
        """The offset of its first record. Raises Refused, OSError."""
        name = struct.pack(">h", len(self._topic)) + self._topic
        head = struct.pack(">hhihhhi", PRODUCE, VERSION, 1, -1, -1, ACKS, TIMEOUT_MS)
        topics = struct.pack(">i", 1) + name + struct.pack(">iii", 1, self._partition, len(batch))
        request = head + topics + batch
        self._connection.sendall(struct.pack(">i", len(request)) + request)
        answer = self._receive(*struct.unpack(">i", self._receive(4)))
        error, offset = struct.unpack_from(">hq", answer, 4 + 4 + len(name) + 4 + 4)
        if error:
            raise Refused(str(error))
        return int(offset)

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._connection.recv(size - len(data))
            if not more:
                raise ConnectionResetError("the broker closed the connection")
            data += more
        return data
