"""Event list: the list of events, and the whole of one event, as HTML with all values escaped."""

from collections.abc import Iterable

from markupsafe import Markup

from logpipeline.dashboard.clock import Clock
from logpipeline.dashboard.entry import DETAIL, FIELDS, NAME, EventEntry, long, short, text
from logpipeline.dashboard.search import WORDS, Filters, Found
from logpipeline.dashboard.state import DashboardState

ROW = Markup(
    '<li data-key="{id}"><button data-id="{id}" tabindex="{tab}" class="{level}">'
    "<time>{time}</time>"
    '<span class="level">{level}</span><bdi class="service">{service}</bdi>'
    '<bdi class="message">{message}</bdi><bdi class="fields">{fields}</bdi></button></li>'
)
WHOLE = 200_000  # characters of all fields in the dialog


def rows(entries: Iterable[EventEntry], now: float, clock: Clock) -> Markup:
    """The list's items. Only the first is in the tab order: arrow keys reach the others."""
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


def note(state: DashboardState, filters: Filters, found: Found, shown: int) -> Markup:
    """A sentence that says which events the list shows, and of how many."""
    held, count = len(state.entries), len(found.entries)
    if not filters:
        sentence = f"The newest {shown:,} of {count:,} in Redis"
    elif not count:
        sentence = f"None of the {held:,} events in Redis match; older ones are in the archive"
    else:
        sentence = f"{count:,} of the {held:,} events in Redis match"
        sentence += f", the newest {shown:,} are shown" if shown < count else ""
    if filters and found.searched < held:
        sentence += f" · the search timed out after {found.searched:,} of them"
    if len(set(filters.words.casefold().split())) > WORDS:
        sentence += f" · only the first {WORDS} words are searched"
    if state.left_out:
        sentence += f" · {state.left_out:,} are too large to show"
    if state.rate and state.rate > shown and not filters:
        sentence += f" · {state.rate:,.0f} arrive per second, so this is a sample"
    return Markup("{}.").format(sentence)


def whole(entry: EventEntry, clock: Clock) -> Markup:
    """All of one event: its fields, and its bytes as in Redis."""
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
        head = [("level", "none: this is an invalid record")]
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
