"""Stream: bytes that arrive in chunks, of which only the unread ones are kept."""

from collections.abc import Iterator

from logpipeline.kafka.codecs import DAMAGED

LONGEST = 10  # bytes of a varint


class Stream:
    """Reads `chunks` once. `data` from `at` on has the bytes that arrived and are unread.

    The stream ends where iterating raises one of DAMAGED, the `problem`. Reading beyond the end
    raises EOFError.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._passed = 0  # bytes before `data`
        self.data = b""
        self.at = 0
        self._ended = False
        self.problem: Exception | None = None

    @property
    def ended(self) -> bool:
        """Whether no more bytes will arrive."""
        return self._ended

    @property
    def position(self) -> int:
        """The number of bytes read."""
        return self._passed + self.at

    def fill(self, least: int) -> bool:
        """Buffer `least` bytes, or all that remain. False when none remain."""
        parts = [self.data[self.at :]] if self.at < len(self.data) else []
        size = sum(map(len, parts))
        while size < least and (part := self._next()) is not None:
            parts.append(part)
            size += len(part)
        self._passed += self.at
        self.data, self.at = b"".join(parts), 0
        return bool(size)

    def varint(self) -> int:
        """Read a number in Kafka's variable-length format: zigzag, 64 bits. Raises ValueError."""
        number = 0
        for index in range(LONGEST):
            byte = self._byte()
            number |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                return number >> 1 ^ -(number & 1)
        raise ValueError("a number has more than 64 bits")

    def take(self, size: int, most: float) -> bytes:
        """Read the first `most` of the next `size` bytes, and skip the others."""
        kept: list[bytes] = []
        while size > 0:
            self._need()
            part = self.data[self.at : self.at + size]
            self.at += len(part)
            size -= len(part)
            if most > 0:
                kept.append(part[: int(min(most, len(part)))])
                most -= len(part)
        return b"".join(kept)

    def _byte(self) -> int:
        self._need()
        self.at += 1
        return self.data[self.at - 1]

    def _need(self) -> None:
        """Buffer at least one byte."""
        if self.at == len(self.data) and not self.fill(1):
            raise EOFError(self.problem or "unexpected end of data")

    def _next(self) -> bytes | None:
        if self._ended:
            return None
        try:
            part = next(self._chunks, None)
        except DAMAGED as problem:
            self.problem, part = problem, None
        self._ended = part is None
        return part
