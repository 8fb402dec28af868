"""Events: the list of them, and the whole of one, as HTML that escapes whatever it is given."""

from collections.abc import Iterable

from markupsafe import Markup

from logpipeline.dashboard.clock import Clock
from logpipeline.dashboard.entry import DETAIL, FIELDS, NAME, Entry, long, short, text
from logpipeline.dashboard.search import WORDS, Filters, Found
from logpipeline.dashboard.state import DashboardState

ROW = Markup(
    '<li><button data-id="{id}" tabindex="{tab}" class="{level}"><time>{time}</time>'
    '<span class="level">{level}</span><bdi class="service">{service}</bdi>'
    '<bdi class="message">{message}</bdi><bdi class="fields">{fields}</bdi></button></li>'
)
WHOLE = 200_000  # characters of all fields of the whole event


def rows(entries: Iterable[Entry], now: float, clock: Clock) -> Markup:
    """The list's items. Only the first one is in the tab order: arrows lead to the others."""
    return Markup("").join(
        ROW.format(
            id=each.id,
            tab=-1 if number else 0,
            time=clock.short(each.timestamp, now),
            level=each.level if each.level.isalpha() else "NONE",
            service=each.service,
            message=each.head,
            fields=each.extra,
        )
        for number, each in enumerate(entries)
    )


def note(board: DashboardState, filters: Filters, found: Found, shown: int) -> Markup:
    """What the list is a part of, in a sentence."""
    held, count = len(board.entries), len(found.entries)
    if not filters:
        words = f"The newest {shown:,} of {count:,} in Redis"
    elif not count:
        words = f"None of the {held:,} events that Redis holds match; older ones are in the archive"
    else:
        words = f"{count:,} of the {held:,} events that Redis holds match"
        words += f", the newest {shown:,} are shown" if shown < count else ""
    if filters and found.looked < held:
        words += f" · the search took too long and ended after {found.looked:,} of them"
    if len(set(filters.words.casefold().split())) > WORDS:
        words += f" · only the first {WORDS} words are looked for"
    if board.left_out:
        words += f" · {board.left_out:,} are too large to be shown"
    if board.rate and board.rate > shown and not filters:
        words += f" · {board.rate:,.0f} arrive a second, so this is a sample of them"
    return Markup("{}.").format(words)


def whole(entry: Entry, clock: Clock) -> Markup:
    """Everything of one event: its fields, and its bytes as Redis has them."""
    head = [("time", clock.full(entry.timestamp)), ("UTC", clock.utc(entry.timestamp))]
    if entry.service:
        head.append(("service", entry.service))
    further: list[tuple[str, str]] = []
    room = WHOLE
    fields = entry.fields
    for name, value in fields.items():
        if len(further) == FIELDS or room <= 0:
            further.append(("…", f"{len(fields) - len(further):,} more fields"))
            break
        shown = long(text(value, indent=2), min(DETAIL, room))
        further.append((short(name, NAME * 3), shown))
        room -= len(shown)
    size = f"{len(entry.line):,} bytes"
    if not entry.level.isalpha():
        head = [("level", "this is an invalid record, shown as it is")]
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
