"""Lines: the conversion of any log line into the bytes of an event."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from logpipeline.events import event, json_formats, reading, times
from logpipeline.events.bulk import Bulk
from logpipeline.events.event import BRACKETS, MILLISECONDS, InvalidRecord
from logpipeline.events.joining import Joined
from logpipeline.events.redaction import LONGEST_SECRET, Redaction
from logpipeline.events.text_formats import Row
from logpipeline.events.w3c import FIELDS, HeaderFields

MOST = 2**20 - 2**13  # bytes of an event: Kafka takes a record of 1 MiB, with key and frame
HELD = 2 * 2**20  # bytes of a line that are kept until its end comes
BEGINNINGS = {level: f'{{"level":"{level}","message":'.encode() for level in event.LEVELS}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
HEADER = FIELDS.encode()
MOST_TOGETHER = 2**16  # bytes of a line whose event certainly fits


class Splitter:
    """Splits chunks of a log into lines. Of an unfinished line it holds HELD bytes at most."""

    def __init__(self) -> None:
        self._rest = bytearray()  # grows in place: a line may arrive byte by byte
        self._size = 0  # bytes of the unfinished line, including those not held

    def feed(self, data: bytes) -> list[tuple[bytes, int]]:
        """The lines that `data` completes, without their newlines, each with its length."""
        first, *others = data.split(b"\n")
        if len(self._rest) < HELD:
            self._rest += first[: HELD - len(self._rest)]
        self._size += len(first)
        if not others:
            return []
        done = [(bytes(self._rest), self._size)]
        self._rest = bytearray(others.pop())
        self._size = len(self._rest)
        done += [(line, len(line)) for line in others]
        return done

    def end(self) -> list[tuple[bytes, int]]:
        """The last line, when no newline ends it."""
        done = [(bytes(self._rest), self._size)] if self._size else []
        self._rest, self._size = bytearray(), 0
        return done


class Lines:
    """Converts the lines of one log into events.

    It counts all lines, those `cut`, those with `replaced` bytes and the `blank` ones. Events
    without a service get `service`; "" leaves them without one. `redaction` is applied to each.
    """

    def __init__(self, service: str = "", redaction: Redaction | None = None) -> None:
        self.count = 0
        self.cut = 0
        self.replaced = 0
        self.blank = 0
        self.columns = HeaderFields()  # of a file whose header names them
        self._redaction = redaction
        self._likely: Row | None = None  # the format of the last line
        self._service = msgspec.json.encode(service) if service else b""
        self._tail = b',"service":' + self._service + b"}" if service else b"}"
        self._bulk = Bulk(
            lambda line: self._uncut(line, True),
            lambda: self._likely,
            self._service,
            MOST_TOGETHER,
        )

    def events(self, lines: Iterable[tuple[bytes, int]]) -> Iterator[bytes]:
        """The events of a Splitter's lines; none for a blank one."""
        for line, size in lines:
            made = self.event(line, size)
            if made is not None:
                yield made

    def joined(self, event: Joined) -> bytes | None:
        """The event of a Joiner's; None for a blank line."""
        self.count += event.lines - 1
        return self.event(event.text, event.size)

    def separate(self, lines: list[bytes]) -> list[bytes | None]:
        """The event in each of many whole lines, as `event` makes it, at a fraction of its cost.

        No line is in a container runtime's frame, which `Joiner.separate` tells of a chunk.
        """
        before = self.together
        if self.columns:
            made = [self._uncut(line, True) for line in lines]
        else:
            made = self._bulk.events(lines)
        self.count += self.together - before
        if self._redaction is None and max(map(len, lines), default=0) <= MOST_TOGETHER:
            return made
        return [
            each and self._finished(each, line, len(line))
            for each, line in zip(made, lines, strict=True)
        ]

    @property
    def together(self) -> int:
        """Lines that were converted together."""
        return self._bulk.count

    def event(self, line: bytes, size: int) -> bytes | None:
        """The event in a line without its newline; None for a blank one.

        An event of our own is returned unchanged. A logger's JSON keeps its fields, except those
        that become level, message and timestamp. Any other text is the message, without its final
        carriage return and without a byte order mark. `size` is the line's length: `line` may be
        only its beginning.
        """
        made = self._uncut(line, size == len(line))
        return made and self._finished(made, line, size)

    def _uncut(self, line: bytes, whole: bool) -> bytes | None:
        """The event, not redacted, and however large."""
        self.count += 1
        line = _stripped(line)
        if not line or line.isspace():
            self.blank += 1
            return None
        text = line.decode("utf-8", "replace")
        if "\ufffd" in text and text.encode() != line:
            self.replaced += 1
            line = text.encode()
        made = None
        if whole and (line[:1] == b"{" or (line[:1] == b" " and line.lstrip()[:1] == b"{")):
            try:
                made = self._of_object(line, text)
            except (ValueError, RecursionError):  # a number or nesting that Python cannot hold
                made = None
        return made if made is not None else self._of_text(line, text)

    def _finished(self, made: bytes, line: bytes, size: int) -> bytes:
        """The event of a line as it is sent: redacted, then cut, so that no half of a secret is
        left at its end."""
        if self._redaction is not None:
            made = self._redaction.event(made)
        return self._cut(made, line, size) if len(made) > MOST or size != len(line) else made

    def _of_object(self, line: bytes, text: str) -> bytes | None:
        """The event in a line of JSON; None when the line counts as text."""
        fields = json_formats.decode(line)
        if fields is None:
            return None
        if fields.keys() >= {"level", "message", "timestamp"}:
            try:
                if abs(event.parse(line).timestamp) < MILLISECONDS:
                    return line
            except InvalidRecord:
                pass
        found = json_formats.mapped(fields, text)
        if found is None:
            return None
        level, message, seconds, others = found
        if self._service and "service" not in others:
            others["service"] = msgspec.Raw(self._service)
        made = self._event(level, message, seconds)
        if others:
            made = made.removesuffix(self._tail) + b"," + msgspec.json.encode(others)[1:]
        if line.count(b"[") + line.count(b"{") > BRACKETS and not event.is_event(made):
            return None
        return made

    def _of_text(self, line: bytes, text: str) -> bytes:
        """The event of a line of text, which is its message."""
        if text[:1] == "#":
            self.columns = self.columns.after(text)
        level, seconds, fields, row, _ = (
            self.columns and self.columns.understood(text)
        ) or reading.read(line, text, self._likely)
        self._likely = row or self._likely
        made = self._event(level, json_formats.encoded(text), seconds)
        if not fields:
            return made
        tail = b"}" if "service" in fields else self._tail
        return made[: -len(self._tail)] + b"," + msgspec.json.encode(fields)[1:-1] + tail

    def _event(self, level: str | None, message: bytes, seconds: str | None) -> bytes:
        stamp = (seconds or times.now()).encode()
        return BEGINNINGS[level or "INFO"] + message + b',"timestamp":' + stamp + self._tail

    def _cut(self, made: bytes, line: bytes, size: int) -> bytes:
        """The event of a line that is too long."""
        self.cut += 1
        stated = event.parse(made)
        seconds, text = repr(stated.timestamp), stated.message
        if size == len(line) and line.lstrip()[:1] == b"{":  # its fields do not fit
            line = _stripped(line)
            whole = self._redaction.event(line) if self._redaction else line
            text = whole.decode("utf-8", "replace")
        elif self._redaction and size != len(line):
            text = text[:-LONGEST_SECRET]  # of which a half may be the end
        return cut(text, size, lambda message: self._event(stated.level, message, seconds))


def _stripped(line: bytes) -> bytes:
    """A line without its final carriage return and its byte order mark."""
    return line.removesuffix(b"\r").removeprefix(BYTE_ORDER_MARK)


def cut(text: str, size: int, make: Callable[[bytes], bytes]) -> bytes:
    """The result of `make` for a JSON string: as much of `text` as fits into a record, and a mark
    with the number of bytes of the whole."""
    mark = f" … [cut: the line has {size:,} bytes]"
    room = MOST - len(make(json_formats.encoded(mark)))
    return make(json_formats.encoded(_beginning(text, room) + mark))


def fitted(value: bytes) -> bytes:
    """An event as it is; of one that redaction has made too large, what must be, with its message
    cut."""
    if len(value) <= MOST:
        return value
    stated = event.parse(value)
    start, end = BEGINNINGS[stated.level], b',"timestamp":%b}' % repr(stated.timestamp).encode()
    return cut(stated.message, len(value), lambda message: start + message + end)


def _beginning(text: str, room: int) -> str:
    """As much of `text` as fits into `room` bytes of JSON, by halving steps, each encoded once."""
    length, step = 0, 2**20
    while step := step // 2:
        size = len(json_formats.encoded(text[length : length + step])) - len('""')
        if size <= room:
            length, room = length + step, room - size
    return text[:length]


def default_service(name: str) -> str:
    """The service that a file's name suggests: "shop" for /var/log/shop.log.1."""
    return Path(name).name.strip("-.").split(".")[0]


def summary(logs: Sequence[Lines]) -> str:
    """The line counts of several logs, for the line of totals."""

    def total(what: str) -> str:
        return f"{sum(getattr(lines, what) for lines in logs):,}"

    return (
        f"; {total('count')} lines: {total('blank')} blank, {total('cut')} cut, "
        f"{total('replaced')} with bytes that are not UTF-8"
    )
