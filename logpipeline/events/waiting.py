"""Waiting: an event whose continuation may follow, and whether a line is that."""

from typing import NamedTuple

from logpipeline.events import text_formats
from logpipeline.events.continuation import (
    BLANK,
    CONTINUES,
    ERROR_LINE,
    GO,
    GO_CALL,
    JAVA,
    JAVA_LEVEL,
    NODE_BEGINS,
    NODE_ENDS,
    RUST_BEGINS,
    STARTS,
    TRACEBACK,
)
from logpipeline.events.wrappers import Wrapped

MOST_LINES = 1_000  # of an event
MOST_BYTES = 2**18  # of an event that spans lines
MOST_PART_BYTES = 2 * 2**20  # that are kept of a line in parts
NODE_LINES = 6  # of a Node.js program's end before its stack


class Joined(NamedTuple):
    """An event's text, and where in the file its first line begins and its last one ends.

    `size` is the text's length in bytes; if it is more, `text` is only the beginning. `end` is the
    position after the last line's newline. `lines` were joined.
    """

    text: bytes
    size: int
    start: int
    end: int
    lines: int = 1


class Waiting:
    """An event whose continuation may follow."""

    more: bytearray | None = None  # the content with what was appended to it
    lines = 1
    known: bool | None = None  # whether the first line has a known head
    python = go = indented = False  # what the trace so far looks like
    done = False

    def __init__(self, text: Joined, stream: bytes, wrapped: Wrapped | None, now: float) -> None:
        self.first, self.stream, self.wrapped, self.since = text, stream, wrapped, now
        self.content = wrapped.content if wrapped else text.text
        self.part = wrapped is not None and wrapped.part
        self.lost = text.size - len(text.text)  # bytes that are not kept
        self.end = text.end

    def add(self, content: bytes, text: Joined, part: bool, now: float) -> None:
        """Append the next line, or the next part of the last one."""
        if self.more is None:
            self.more = bytearray(self.content)
            self._look(self.content)
        if not self.part:
            self.more += b"\n"
            self._look(content)
        room = max(0, MOST_PART_BYTES - len(self.more))
        self.more += content[:room]
        self.lost += text.size - len(text.text) + max(0, len(content) - room)
        self.end, self.part, self.since = text.end, part, now
        self.lines += 1

    def _look(self, content: bytes) -> None:
        self.indented = content[:1] in (b" ", b"\t")
        self.go = self.go or GO.match(content) is not None
        self.python = self.python or TRACEBACK.match(content) is not None

    @property
    def is_over(self) -> bool:
        """Whether the last line is that of a Node.js program's end."""
        return (
            self.more is not None
            and NODE_ENDS.match(self.more, self.more.rfind(b"\n") + 1) is not None
        )

    def is_full(self) -> bool:
        return self.lines >= MOST_LINES or (self.more is not None and len(self.more) >= MOST_BYTES)

    def is_as_new(self) -> bool:
        """Whether nothing is known but one line, which has no frame."""
        return self.more is None and self.wrapped is None and self.known is None and not self.done

    def has_head(self) -> bool:
        """Whether the first line is known to begin an event."""
        if self.known is None:
            text = self.content[: text_formats.MOST].decode("utf-8", "replace")
            self.known = bool(STARTS.match(self.content)) or text_formats.read(text) != (None, None)
        return self.known

    def joined(self) -> Joined:
        if self.more is None:
            return self.first
        content = bytes(self.more).rstrip(b"\r\n")
        text = self.wrapped.around(content) if self.wrapped else content
        return Joined(text, len(text) + self.lost, self.first.start, self.end, self.lines)


def continues(before: Waiting, content: bytes) -> bool:
    """Whether a line looks like a continuation of an event with a known head."""
    if CONTINUES.match(content) or (NODE_ENDS.match(content) and before.lines > 1):
        return before.has_head() and not before.is_over
    if before.lines == 1 and JAVA_LEVEL.match(content) and JAVA.match(before.content):
        return True
    if before.python and before.indented and ERROR_LINE.match(content):
        return before.has_head()
    if BLANK.match(content):
        return before.more is not None or GO.match(before.content) is not None
    if NODE_BEGINS.match(before.content):
        return before.lines <= NODE_LINES and not before.is_over and not _is_event(content)
    if before.lines == 1 and RUST_BEGINS.match(before.content):
        return not _is_event(content)
    return before.go and GO_CALL.match(content) is not None and before.has_head()


def _is_event(content: bytes) -> bool:
    """Whether a line is one by itself: JSON, or one with a time."""
    text = content[: text_formats.MOST].decode("utf-8", "replace")
    return content[:1] == b"{" or text_formats.read(text)[1] is not None
