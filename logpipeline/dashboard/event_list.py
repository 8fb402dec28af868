"""Events: the list of them, and the whole of one, as HTML that escapes whatever it is given."""

from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from logpipeline.dashboard.clock import Clock
from logpipeline.dashboard.entry import FIELDS, LINE, NAME, Entry, long, short, text
from logpipeline.dashboard.state import DashboardState

ROW = Markup(
    '<li><button data-id="{id}" tabindex="{tab}" class="{level}"><time>{time}</time>'
    '<span class="level">{level}</span><bdi class="service">{service}</bdi>'
    '<bdi class="message">{message}</bdi><bdi class="fields">{fields}</bdi></button></li>'
)
EXTRA = 160  # characters of the further fields in the list


def rows(entries: Iterable[Entry], now: float, clock: Clock) -> Markup:
    """The list's items. Only the first one is in the tab order: arrows lead to the others."""
    return Markup("").join(
        ROW.format(
            id=each.id,
            tab=-1 if number else 0,
            time=clock.short(each.timestamp, now),
            level=each.level if each.level.isalpha() else "NONE",
            service=each.service,
            message=short(each.message, LINE),
            fields=_fields(each.fields),
        )
        for number, each in enumerate(entries)
    )


def note(board: DashboardState, found: int, shown: int, filtered: bool) -> Markup:
    """What the list is a part of, in a sentence."""
    held = len(board.entries)
    if not filtered:
        words = f"The newest {shown:,} of {len(board.lists.get('', [])):,} in Redis"
    elif not found:
        words = f"None of the {held:,} events that Redis holds match; older ones are in the archive"
    else:
        words = f"{found:,} of the {held:,} events that Redis holds match"
        words += f", the newest {shown:,} are shown" if shown < found else ""
    if board.left_out:
        words += f" · {board.left_out:,} are too large to be shown"
    if board.rate and board.rate > shown and not filtered:
        words += f" · {board.rate:,.0f} arrive a second, so this is a sample of them"
    return Markup("{}.").format(words)


def whole(entry: Entry, clock: Clock) -> Markup:
    """Everything of one event: its fields, and its bytes as Redis has them."""
    head = [("time", clock.full(entry.timestamp)), ("UTC", clock.utc(entry.timestamp))]
    if entry.service:
        head.append(("service", entry.service))
    further = [
        (short(name, NAME * 3), long(text(value, indent=2)))
        for name, value in list(entry.fields.items())[:FIELDS]
    ]
    if len(entry.fields) > FIELDS:
        further.append(("…", f"{len(entry.fields) - FIELDS:,} more fields"))
    size = f"{len(entry.line):,} bytes"
    if not entry.level.isalpha():
        head = [("level", "this is no event, shown as it is")]
    return Markup(
        '<pre class="message" tabindex="0" aria-label="message"><bdi>{}</bdi></pre>'
        "<table><tbody>{}</tbody></table>"
        "<details><summary>As in Redis, {}</summary><pre><bdi>{}</bdi></pre></details>"
    ).format(
        long(entry.message),
        Markup("").join(
            Markup('<tr><th scope="row"><bdi>{}</bdi></th><td><bdi>{}</bdi></td></tr>').format(
                *pair
            )
            for pair in head + further
        ),
        size,
        long(entry.line.decode(errors="replace")),
    )


def _fields(fields: dict[str, Any]) -> str:
    """The further fields on one line, as many as fit."""
    parts, room = [], EXTRA
    for name, value in fields.items():
        part = f"{short(name, NAME)}={short(_head(value), NAME)}"
        room -= len(part) + 1
        if room < 0:
            parts.append("…")
            break
        parts.append(part)
    return " ".join(parts)


def _head(value: Any) -> str:
    """The value as text; of something nested, only that it is."""
    if isinstance(value, dict):
        return "{…}"
    return "[…]" if isinstance(value, list) else text(value)
