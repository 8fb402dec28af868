"""Framing: messages in a stream of syslog, RFC 6587: by octet counts, or by newlines."""

import re

LONGEST = 2**16  # bytes of a message; a longer line is cut
COUNTED = re.compile(rb"([1-9]\d{0,18}) <")
COUNT = re.compile(rb"[1-9]\d{0,18} ?")  # that may go on as COUNTED


class FramingError(ValueError):
    """The stream cannot be read further."""


class SyslogFrames:
    """Splits what one connection sends. It holds LONGEST bytes of an unfinished message; one that
    is cut loses the last `margin` of them too."""

    def __init__(self, margin: int = 0) -> None:
        self._most = LONGEST - margin  # bytes of a message that is cut
        self._rest = bytearray()
        self._skipping = False  # the end of a line that was cut

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes. Raises FramingError."""
        self._rest += data
        messages: list[bytes] = []
        while self._rest:
            message = self._counted() if self._is_counted() else self._line()
            if message is None:
                break
            if message.strip(b"\0\r\n "):
                messages.append(message)
        return messages

    def end(self) -> list[bytes]:
        """The last line, when no newline ends it."""
        last = b"" if self._skipping or self._is_counted() else self._cut(len(self._rest))
        return [last] if last.strip(b"\0\r\n ") else []

    def _is_counted(self) -> bool:
        """Whether the next message begins, or may begin, with its length."""
        return not self._skipping and bool(COUNTED.match(self._rest) or COUNT.fullmatch(self._rest))

    def _counted(self) -> bytes | None:
        """A message after its length. Raises FramingError."""
        count = COUNTED.match(self._rest)
        if not count:
            return None
        size, start = int(count[1]), count.end() - 1
        if size > LONGEST:
            raise FramingError(f"a message of {size:,} bytes; at most {LONGEST:,}")
        if len(self._rest) < start + size:
            return None
        message = bytes(self._rest[start : start + size])
        del self._rest[: start + size]
        return message

    def _line(self) -> bytes | None:
        """A message before a newline, or a NUL, as some senders end theirs."""
        end = self._rest.find(b"\n")
        if end < 0 and len(self._rest) <= LONGEST:
            return None
        cut, self._skipping = self._skipping, end < 0
        message = self._cut(len(self._rest) if end < 0 else end)
        del self._rest[: len(self._rest) if end < 0 else end + 1]
        return b"" if cut else message

    def _cut(self, size: int) -> bytes:
        """The message of `size` bytes that comes next, or its beginning."""
        return bytes(self._rest[: size if size <= LONGEST else self._most])
