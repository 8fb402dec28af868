"""Event list: the list of events, and the whole of one event, as HTML with all values escaped."""

import json
import math
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from markupsafe import Markup, escape

from logpipeline.dashboard.archive_search import ArchiveSearch
from logpipeline.dashboard.clock import Clock, duration
from logpipeline.dashboard.entry import DETAIL, FIELDS, NAME, EventEntry, long, short, text
from logpipeline.dashboard.search import WORDS, Filters, Found
from logpipeline.dashboard.state import DashboardState
from logpipeline.dashboard.terms import can_be_asked, term
from logpipeline.find.request import MORE

ROW = Markup(
    '<li data-key="{id}"><button data-id="{id}" tabindex="{tab}" class="{level}">'
    "{time}"
    '<span class="level">{level}</span><bdi class="service">{service}</bdi>'
    '<bdi class="message">{message}</bdi><bdi class="fields">{fields}</bdi></button></li>'
)
WHOLE = 200_000  # characters of all fields in the dialog
ASKED = 120  # characters of a value that a click searches for
AHEAD = 5.0  # seconds from which on an event is said to be from the future
LINK = Markup('<a href="{0}" rel="noopener noreferrer nofollow" target="_blank">{0}</a>')
LINKS = 50  # in a message
URL = re.compile(r"https?://[^\s\"'<>\\\u2026]{1,2000}(?<![.,;:!?)\]}])")


def rows(entries: Iterable[EventEntry], now: float, clock: Clock) -> Markup:
    """The list's items. Only the first is in the tab order: arrow keys reach the others."""
    return Markup("").join(
        ROW.format(
            id=each.id,
            tab=-1 if number else 0,
            time=_time(each.timestamp, now, clock),
            level=each.level if each.level.isalpha() else "NONE",
            service=each.service,
            message=each.head,
            fields=each.extra,
        )
        for number, each in enumerate(entries)
    )


def _time(moment: float, now: float, clock: Clock) -> Markup:
    """Of an event in the list; of one from the future, in which time it will be."""
    if moment - now <= AHEAD:
        return Markup("<time>{}</time>").format(clock.short(moment, now))
    return Markup('<time class="ahead" title="{}">in {}</time>').format(
        clock.full(moment), duration(moment - now)
    )


def note(state: DashboardState, filters: Filters, found: Found, shown: int) -> Markup:
    """A sentence that says which events the list shows, and of how many."""
    held, count = len(state.entries), len(found.entries)
    if not filters:
        sentence = f"The newest {shown:,} of {count:,} in Redis"
    elif filters.terms.problem:
        sentence = filters.terms.problem
    elif filters.terms.patterns:
        sentence = "A /regular expression/ is searched in the archive: choose a time there"
    elif not count:
        sentence = f"None of the {held:,} events in Redis match; older ones are in the archive"
    else:
        sentence = f"{count:,} of the {held:,} events in Redis match{'es' * (count == 1)}"
        sentence += f", the newest {shown:,} are shown" if shown < count else ""
    if (
        found.searched < held
        and filters
        and not filters.terms.problem
        and not filters.terms.patterns
    ):
        sentence += f" · the search timed out after {found.searched:,} of them"
    if filters.terms.more:
        sentence += f" · only the first {WORDS} words are searched"
    if state.left_out:
        sentence += f" · {state.left_out:,} are too large to show"
    if state.rate and state.rate > shown and not filters:
        sentence += f" · {state.rate:,.0f} arrive per second, so this is a sample"
    return Markup("{}.").format(sentence)


def archive_note(search: ArchiveSearch, filters: Filters) -> Markup:
    """A sentence that says what the search of the archive has found, and what it left out."""
    count = len(search.entries)
    total = max(count, search.counts.total())
    if filters.terms.problem or search.problem:
        sentence = filters.terms.problem or search.problem
    elif not search.is_done:
        sentence = f"Searching the archive … {in_words(count)} so far"
    else:
        sentence = f"{in_words(total)} in the archive match{'es' * (total == 1)}"
        sentence += f", the newest {count:,} are shown" if count < total else ""
    for reason in search.reasons:
        if reason != MORE or count >= total:  # else it is said already
            what, _, why = reason.partition(": ")
            sentence += f" · left out: {what} ({why})"
    if filters.terms.more:
        sentence += f" · only the first {WORDS} words are searched"
    return Markup("{}.").format(sentence)


def in_words(count: int) -> str:
    return f"{count:,} event{'s' * (count != 1)}"


def whole(entry: EventEntry, clock: Clock, now: float = math.inf) -> Markup:
    """All of one event: its fields, and its bytes as in Redis. Each value can narrow the list."""
    at = clock.full(entry.timestamp)
    ahead = entry.timestamp - now
    head = [
        ("time", f"{at} · {duration(ahead)} in the future" if ahead > AHEAD else at, ""),
        ("UTC", clock.utc(entry.timestamp), ""),
        ("level", entry.level, entry.level),
    ]
    if entry.service:
        head.append(("service", entry.service, entry.service))
    further: list[tuple[str, str, str]] = []
    room = WHOLE
    fields = entry.fields
    for name, value in fields.items():
        if len(further) >= FIELDS or room <= 0:
            further.append(("…", f"{len(fields) - len(further):,} more fields", ""))
            break
        shown = long(text(value, indent=2), min(DETAIL, room))
        scalar = "" if isinstance(value, dict | list) else text(value)
        further.append((name, shown, scalar))
        room -= len(shown)
        for inner, leaf in leaves(name, value):
            if len(further) < FIELDS:
                further.append((inner, short(leaf, NAME), leaf))
    size = f"{len(entry.line):,} bytes"
    if not entry.level.isalpha():
        head = [("level", "none: this is an invalid record", "")]
    line = entry.line.decode(errors="replace")
    message, indented = long(entry.message), as_json(entry.message)
    return Markup(
        '<pre class="message" tabindex="0" aria-label="message"><bdi>{}</bdi></pre>{}'
        '<p class="tools">{}{}</p><table><tbody>{}</tbody></table>'
        "<details><summary>As received, {}</summary><pre><bdi>{}</bdi></pre></details>"
    ).format(
        linked(message),
        Markup('<pre class="json"><bdi>{}</bdi></pre>').format(indented) if indented else "",
        _copy("Copy the message", short(entry.message, DETAIL)),
        _copy("Copy the JSON", _plain(line[:WHOLE])),
        Markup("").join(_field(*each) for each in head + further),
        size,
        long(line),
    )


def neighbours(entries: Iterable[EventEntry], opened: EventEntry, clock: Clock) -> Markup:
    """What the same service or host logged before and after an event, oldest first."""
    found = list(entries)
    if len(found) < 2:
        return Markup("")
    items = (
        Markup('<li{}><time>{}</time> <span class="level {}">{}</span> <bdi>{}</bdi></li>').format(
            Markup(' aria-current="true"') if each.line == opened.line else "",
            clock.short(each.timestamp, opened.timestamp),
            *(2 * [each.level if each.level.isalpha() else "NONE"]),
            each.head,
        )
        for each in found
    )
    return Markup("<h3>Before and after it</h3><ul>{}</ul>").format(Markup("").join(items))


def linked(message: str) -> Markup:
    """The text with its http and https addresses as links."""
    parts, at = [], 0
    for found in islice(URL.finditer(message), LINKS):
        parts.append(escape(message[at : found.start()]))
        parts.append(LINK.format(found[0]))
        at = found.end()
    return Markup("").join([*parts, escape(message[at:])])


def as_json(message: str) -> str:
    """An object or a list in a message, indented; "" when it has none."""
    begin = min((at for at in map(message.find, "{[") if at >= 0), default=-1)
    if begin < 0 or len(message) > DETAIL:
        return ""
    try:
        found = json.loads(message[begin:])
    except (ValueError, RecursionError):
        return ""
    return long(text(found, indent=2)) if found else ""


def leaves(name: str, value: Any, depth: int = 4) -> Iterator[tuple[str, str]]:
    """The nested fields of a value by their names, http.status, with their texts."""
    if not isinstance(value, dict) or not depth:
        return
    for key, inner in islice(value.items(), FIELDS):
        if isinstance(inner, dict):
            yield from leaves(f"{name}.{key}", inner, depth - 1)
        elif not isinstance(inner, list):
            yield f"{name}.{key}", text(inner)


def _field(name: str, shown: str, value: str) -> Markup:
    can = value and len(value) <= ASKED and value.isprintable() and can_be_asked(name)
    tools = _narrow("Only", term(name, value) if can else "")
    tools += _narrow("Not", term(name, value, minus=True) if can else "")
    tools += _copy("Copy", _plain(value[:DETAIL] or shown))
    return Markup(
        '<tr><th scope="row"><bdi>{}</bdi></th><td><bdi>{}</bdi></td><td class="tools">{}</td></tr>'
    ).format(short(name, NAME * 3), shown, tools)


def _narrow(word: str, asked: str) -> Markup:
    return Markup(
        '<button type="button" data-term="{1}" title="{0} {1}">{0}'
        '<span class="unseen"> {1}</span></button>'
    ).format(word, asked)


def _copy(word: str, value: str) -> Markup:
    return Markup('<button type="button" data-copy="{1}">{0}</button>').format(word, value)


def _plain(value: str) -> str:
    """Without what JSON and HTML cannot carry."""
    return value.encode(errors="replace").decode().replace("\0", "\ufffd")
