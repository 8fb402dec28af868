"""Explain: for each line of a log what is understood of it, and by which format.

A line that is not understood as a person would is worth a report: with this output.
"""

import json
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

from logpipeline.events import event, json_formats, reading, wrappers
from logpipeline.events.joining import Joined, Joiner
from logpipeline.events.lines import Lines, Splitter
from logpipeline.terminal import printable

LONGEST = 100  # characters of a line that are shown
NOT_STATED = "not stated"


def explained(chunks: Iterable[bytes], multiline: str = "auto") -> Iterator[str]:
    """Three lines for each event in the bytes of a log. Raises ValueError for a bad `multiline`."""
    splitter, joiner, position, number = Splitter(), Joiner(multiline), 0, 1
    converted = Lines()
    for lines in (*map(splitter.feed, chunks), None):
        whole = splitter.end() if lines is None else lines
        for line, size in whole:
            for joined in joiner.feed(line, size, position, time.monotonic()):
                yield from _explained(joined, number, converted)
                number += joined.lines
            position += size + 1
    for joined in joiner.end():
        yield from _explained(joined, number, converted)
        number += joined.lines


def _explained(joined: Joined, number: int, lines: Lines) -> Iterator[str]:
    value = lines.joined(joined)
    if value is None:
        return
    text = joined.text.decode("utf-8", "replace")
    level, seconds, name = _stated(joined.text, text, lines)
    last = f"-{number + joined.lines - 1}" if joined.lines > 1 else ""
    shown = printable(text[:LONGEST]) + ("…" if len(text) > LONGEST else "")
    yield f"{number}{last}: {shown}"
    yield f"    level {level or NOT_STATED}, time {_utc(seconds)}, by {name}"
    fields = json.loads(value)
    others = {
        key: each for key, each in fields.items() if key not in event.LogEvent.__struct_fields__
    }
    if others:
        yield printable(f"    {json.dumps(others, ensure_ascii=False)[: 4 * LONGEST]}")


def _stated(line: bytes, text: str, lines: Lines) -> tuple[str | None, str | None, str]:
    """The level and the time that a line states, and the name of its format."""
    fields = json_formats.decode(line) if line.lstrip()[:1] == b"{" else None
    if fields is not None and (found := json_formats.mapped(fields, text)):
        return found[0], found[2], f"JSON: {', '.join(json_formats.chosen(fields))}"
    stated = lines.columns.understood(text) or reading.read(line, text)
    inside = stated.row.name if stated.row else "no known format"
    return stated.level, stated.seconds, _frame(line) + inside


def _frame(line: bytes) -> str:
    wrapped = wrappers.unwrapped(line)
    return "" if wrapped is None else f"{wrapped.name}, inside: "


def _utc(seconds: str | None) -> str:
    if seconds is None:
        return NOT_STATED
    whole = Decimal(seconds)
    try:
        shown = datetime.fromtimestamp(int(whole // 1), UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return seconds
    return shown + f"{whole % 1:f}"[1:] + "Z"
