"""Joining: the lines of one event, such as a stack trace.

Also the parts of a line that a container runtime cut.
"""

import re
from collections import deque

from logpipeline.events import text_formats, wrappers
from logpipeline.events.continuation import (
    BLANK,
    CONTINUES,
    ENDS,
    FRAMED,
    MAYBE,
    NEVER,
    NODE_BEGINS,
    RUST_BEGINS,
    SPECIAL,
)
from logpipeline.events.waiting import Joined, Waiting, continues
from logpipeline.events.wrappers import Wrapped

__all__ = ["Joined", "Joiner"]

MOST_BEHIND = 100  # events that wait because an earlier one may be continued
MOST_BEHIND_PART = 1_000  # because a part of an earlier one is missing
MOST_STREAMS = 1_000
WAIT = 0.5  # seconds for a continuation line
PART_WAIT = 5.0  # seconds for the next part of a line


class Joiner:
    """Joins the parts of one event: CRI's P and F, Docker's 16 KB pieces, continuation lines.

    One a file; it separates the streams of a container runtime itself. `multiline` is "auto": lines
    that look like a continuation join a line with a known head; "off"; or a regular expression
    that is found in each event's first line. Raises ValueError if it is invalid.

    Events come in the order of their first lines. Each line but JSON is held until the next one of
    its stream, or for WAIT seconds.
    """

    def __init__(self, multiline: str = "auto") -> None:
        self._auto = multiline == "auto"
        self._off = multiline == "off"
        self._first = None if self._auto or self._off else _pattern(multiline)
        self._held: tuple[Joined, float] | None = None  # a line without a frame; nothing else waits
        self._waiting: dict[bytes, Waiting] = {}  # by stream
        self._order: deque[Waiting] = deque()  # also those that are done behind others that wait
        self._full: set[bytes] = set()  # streams whose last event has as much as one may have
        self._docker: bool | None = None  # whether a log without a newline is a part of a line

    @property
    def pending_from(self) -> int | None:
        """The position of the first byte that is not in an event yet; None without one."""
        if self._held:
            return self._held[0].start
        return self._order[0].first.start if self._order else None

    def feed(self, line: bytes, size: int, start: int, now: float) -> list[Joined]:
        """The events that a line completes, or that it is. `line`, without its newline, may be only
        the beginning of `size` bytes; `start` is its position; `now` is a monotonic time."""
        text = Joined(line, size, start, start + size + 1)
        wrapped = wrappers.unwrapped(line)
        if wrapped is None and not self._order and not self._full and not self._may_continue(line):
            held, alone = self._held, self._is_alone(line)
            self._held = None if alone else (text, now)
            done = [held[0]] if held else []
            return [*done, text] if alone else done
        self._unfold()
        if wrapped is None:
            self._add(b"", line, text, None, now)
        else:
            self._add(wrapped.stream, wrapped.content, text, self._judged(wrapped), now)
        return self._released()

    def separate(self, data: bytes) -> bool:
        """Whether no line that begins in the chunk `data` joins another one.

        Then only the first line that ends in it and the last one must be fed, with `end` after the
        first; those between them are events as they are. It costs a tenth of `feed`.
        """
        return self.is_quiet and self.next_special(data, 0) is None

    @property
    def is_quiet(self) -> bool:
        """Whether nothing waits but, at most, one whole line."""
        return not self._order and not self._full and self._first is None

    def next_special(self, data: bytes, at: int) -> int | None:
        """Where in `data`, behind a newline from `at` on, the next line begins that may join one
        before it, or that one behind it may join."""
        found = (FRAMED if self._off else SPECIAL).search(data, at)
        return found.start() + 1 if found else None

    def expired(self, now: float) -> list[Joined]:
        """The events whose continuation did not come in time. Ask only when no line is there."""
        self._unfold()
        for each in list(self._waiting.values()):
            if now - each.since >= (PART_WAIT if each.part else WAIT):
                self._close(each)
        return self._released()

    def begin_again(self) -> list[int]:
        """Let what is held be the first of another file, at its position 0. Returns where it was;
        nothing if some of it has no event."""
        self._unfold()
        if any(BLANK.match(each.content) for each in self._order):
            return []
        starts = [each.first.start for each in self._order]
        for each in self._order:
            each.first = each.first._replace(start=0)
        return starts

    def end(self) -> list[Joined]:
        """All that is held: the file has ended."""
        self._unfold()
        for each in list(self._waiting.values()):
            self._close(each)
        return self._released()

    def _may_continue(self, line: bytes) -> bool:
        """Whether the line could belong to the one that is held; quick for most lines."""
        if self._held is None or self._off or line[:1] in NEVER:
            return self._first is not None
        if self._first is not None or MAYBE.match(line) is not None:
            return True
        before = self._held[0].text
        return (
            before[0] in ENDS
            and (RUST_BEGINS.match(before) or NODE_BEGINS.match(before)) is not None
        )

    def _unfold(self) -> None:
        """Let the line that is held be the first of those that wait."""
        if self._held:
            text, since = self._held
            self._held = None
            self._enqueue(Waiting(text, b"", None, since))

    def _enqueue(self, event: Waiting) -> None:
        self._order.append(event)
        self._waiting[event.stream] = event

    def _add(
        self, stream: bytes, content: bytes, text: Joined, wrapped: Wrapped | None, now: float
    ) -> None:
        part = wrapped is not None and wrapped.part
        before = self._waiting.get(stream)
        if before is not None and (before.part or self._continues(before, content)):
            before.add(content, text, part, now)
            self._finish(before)
            return
        if before is not None:
            self._close(before)
        event = Waiting(text, stream, wrapped, now)
        if stream in self._full:  # the rest of a long event
            self._full.discard(stream)
            event.known = CONTINUES.match(content) is not None or None
        self._enqueue(event)
        self._finish(event)

    def _finish(self, event: Waiting) -> None:
        """Close the event if nothing can be added to it."""
        if event.part:
            return
        if event.is_full() and len(self._full) < MOST_STREAMS:
            self._full.add(event.stream)
        if event.is_full() or self._is_alone(event.content):
            self._close(event)

    def _close(self, event: Waiting) -> None:
        event.done = True
        del self._waiting[event.stream]

    def _released(self) -> list[Joined]:
        """The events that are done, but none before an earlier one that waits, within a bound."""
        done = []
        while order := self._order:
            if not order[0].done:
                if len(order) <= (MOST_BEHIND_PART if order[0].part else MOST_BEHIND):
                    break
                self._close(order[0])
            done.append(order.popleft().joined())
        if len(order) == 1 and not self._full and self._first is None and order[0].is_as_new():
            self._held = order[0].first, order[0].since
            del self._waiting[order.pop().stream]
        return done

    def _is_alone(self, content: bytes) -> bool:
        """Whether no further line can belong to this one."""
        if self._auto:
            return content[:1] == b"{" or BLANK.match(content) is not None
        return self._off

    def _continues(self, before: Waiting, content: bytes) -> bool:
        if self._auto:
            return continues(before, content)
        return self._first is not None and not self._first.search(content[: text_formats.MOST])

    def _judged(self, wrapped: Wrapped) -> Wrapped:
        """The line, no part if Docker did not write it: other programs keep the log's name but
        drop its newline."""
        if wrapped.fields is None:
            return wrapped
        if not wrapped.part or len(wrapped.content) >= wrappers.PIECE:
            self._docker = True
            return wrapped
        before = self._waiting.get(wrapped.stream)
        if self._docker is None and before is not None and before.part:
            self._docker = before.part = False
        return wrapped if self._docker is not False else wrapped._replace(part=False)


def _pattern(text: str) -> re.Pattern[bytes]:
    try:
        return re.compile(text.encode())
    except re.error as error:
        raise ValueError(
            f"multiline must be auto, off, or a regular expression, not {text!r}: {error}"
        ) from None
