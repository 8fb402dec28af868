"""Layout: the parts of the page and their places, still empty."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from markupsafe import Markup
from nicegui import ui

from logpipeline.dashboard.entry import EventEntry
from logpipeline.dashboard.live_part import LivePart
from logpipeline.dashboard.query import SOURCES
from logpipeline.dashboard.search import CHARACTERS
from logpipeline.dashboard.terms import Terms
from logpipeline.events.event import LEVELS

FOLDER = Path(__file__).parent
HELP = """<table><tbody>
<tr><th scope="row"><code>card declined</code></th><td>both words, in any case</td></tr>
<tr><th scope="row"><code>"card declined"</code></th><td>the phrase</td></tr>
<tr><th scope="row"><code>-timeout</code></th><td>without the word</td></tr>
<tr><th scope="row"><code>trace_id:8c1c</code> <code>-host:web-1</code></th>
<td>a field's value, or any other</td></tr>
<tr><th scope="row"><code>http.status&gt;=500</code></th>
<td>a comparison: = != &lt; &gt; &lt;= &gt;=, also nested</td></tr>
<tr><th scope="row"><code>/order \\d+ failed/</code></th>
<td>a regular expression, in the archive</td></tr>
<tr><th scope="row"><kbd>/</kbd> <kbd>Esc</kbd></th><td>into the search, and out of it</td></tr>
<tr><th scope="row"><kbd>↓</kbd> <kbd>↑</kbd> or <kbd>j</kbd> <kbd>k</kbd></th>
<td>from event to event, also in the dialog; Enter opens</td></tr>
<tr><th scope="row"><kbd>p</kbd></th><td>pause or resume</td></tr>
<tr><th scope="row">chart</th>
<td>click a bar, or drag over some: the archive's events of that time</td></tr>
</tbody></table>"""
HINT = Markup("Times in {} <kbd>/</kbd> search <kbd>↑</kbd><kbd>↓</kbd> events")
SEARCH = "Search Redis"  # short, as it must fit beside the other filters
SERVICES = 100  # to choose from; the search finds the others
THEME_ICONS = {"auto": "brightness_auto", "dark": "dark_mode", "light": "light_mode"}


class Layout:
    """Builds the page in the current slot of NiceGUI; each part is an attribute."""

    def __init__(self) -> None:
        style = _file("style.css")
        scripts = map(_file, ("load.js", "hold.js", "keys.js", "plot.js", "hits.js"))
        ui.add_head_html(f"<style>{style}</style><script>{''.join(scripts)}</script>")
        self._dark = ui.dark_mode(None)
        self.shown_service = ""
        self._build_header()
        with ui.element("div").classes("page") as self.page:
            self.screen = _html("section").classes("screen")
            self.screen.content = "<p>Reading Redis …</p>"
            with ui.element("div").classes("dashboard") as self.dashboard:
                self.banner = _html("p").classes("banner").props("role=alert")
                self.tiles = LivePart("dl").classes("tiles").props('aria-label="Current state"')
                with ui.element("div").classes("panels"):
                    self._build_panels()
                self._build_events()
        self._build_dialog()
        self.dashboard.set_visibility(False)

    def show_state(self, status: str) -> None:
        self.status.content = status
        self.status.props["data-status"] = status
        self.screen.set_visibility(False)
        self.banner.set_visibility(False)
        self.dashboard.set_visibility(True)

    def show_banner(self, status: str, content: Markup) -> None:
        """Show that what is shown is not updated."""
        self.show_state(status)
        self.banner.content = content
        self.banner.set_visibility(True)

    def show_screen(self, status: str, content: Markup) -> None:
        """Show one message instead of the dashboard."""
        self.status.content = status
        self.status.props["data-status"] = status
        self.screen.content = content
        self.screen.set_visibility(True)
        self.dashboard.set_visibility(False)

    def show_theme(self, name: str, dark: bool | None) -> None:
        self._dark.value = dark
        self.theme.props["icon"] = THEME_ICONS[name]
        self.theme.props["aria-label"] = f"Theme: {name}"

    def show_zone(self, zone: str) -> None:
        self.hint.content = HINT.format(zone)
        self.zone.content = zone
        self.zone.props["title"] = f"Times in {zone}: change to UTC or back"

    def show_hits(self, terms: Terms) -> None:
        """Mark what a search looks for."""
        hits = {"words": terms.marked, "patterns": terms.patterns}
        self.page.props["data-hits"] = json.dumps(hits) if any(hits.values()) else ""

    def show_pause(self, paused: bool, newer: int) -> None:
        text = f"Resume <span>{newer:,} newer</span>" if paused else "Pause"
        self.pause.content = f"<kbd>p</kbd>{text}"
        self.pause.props["aria-pressed"] = "true" if paused else "false"

    def show_event(self, entry: EventEntry, content: Markup) -> None:
        """Open the dialog with the whole of one event."""
        self.shown_service = entry.service
        level = entry.level if entry.level.isalpha() else "NONE"
        self.title.content = Markup('<span class="level {0}">{0}</span>').format(level)
        self.event.content = content
        self.only.set_visibility(bool(entry.service))
        self.only.content = Markup("Only <bdi>{}</bdi>").format(entry.service)
        self.dialog.open()

    def show_source(self, source: str, period: str) -> None:
        self.period.set_visibility(source == "period")
        if source == "period":
            self.period.content = Markup("{} <span>back to live</span>").format(period)
        self.pause.set_visibility(source == "newest")  # nothing moves in the archive
        label = SEARCH if source == "newest" else "Search the archive"
        self.search.props["placeholder"] = self.search.props["aria-label"] = label

    def set_services(self, services: Sequence[str], chosen: str) -> None:
        """Offer the first SERVICES of them, sorted by name."""
        options = sorted({*services[:SERVICES], chosen} - {""})
        more = len({*services} - {*options})
        self.service.label = f"Service (and {more:,} more)" if more else "Service"
        if self.service.options != options or (self.service.value or "") != chosen:
            self.service.set_options(options, value=chosen or None)

    def _build_header(self) -> None:
        with ui.element("header").classes("bar"):
            _html("h1").content = "Logs"
            self.status = _html("p").classes("status").props("role=status")
            self.status.content = "Connecting"
            ui.space()
            self.zone = _button("UTC").classes("zone")
            help_ = ui.button(icon="help_outline", color=None, on_click=self.open_help)
            help_.props('flat round dense aria-label="Help"').classes("help-button")
            self.theme = ui.button(icon="brightness_auto", color=None).props("flat round dense")

    def _build_panels(self) -> None:
        with _panel("Events per minute", "chart") as head:
            self.chart_title = next(each for each in head if isinstance(each, ui.html))
            with head:
                self.spans = {name: _button(f"Last {name}") for name in ("hour", "day")}
            with ui.element("div").classes("plot-box") as self.plot:
                self.plot.props('tabindex=0 role=group aria-label="Choose a period: arrows, Enter"')
                self.chart = ui.echart({}).classes("plot")
                _html("div").classes("mark").props("hidden")
        self.failing = LivePart("section").classes("panel failing")
        self.failing.props('aria-label="Errors by service"')
        with _panel("Alerts", "alerts"):
            self.alerts = LivePart("div").props('tabindex=0 role=group aria-label="Alerts"')

    def _build_events(self) -> None:
        with ui.element("section").classes("panel log").props('aria-label="Events"'):
            with ui.element("div").classes("filters").props('role=group aria-label="Filters"'):
                self.levels = {level: _button(level).classes("chip") for level in LEVELS}
                self.counted = _html("p").classes("counted")
                self.service = ui.select([], label="Service").classes("service-filter")
                self.service.props("dense outlined options-dense clearable")
                self.search = ui.input(placeholder=SEARCH).classes("search")
                self.search.props(
                    f'dense outlined clearable debounce=300 maxlength={CHARACTERS} type="search"'
                    f' aria-label="{SEARCH}"'
                )
                self.source = ui.select(
                    {name: text for name, (text, _) in SOURCES.items()},
                    value="newest",
                    label="Look in",
                ).classes("source")
                self.source.props("dense outlined options-dense")
                self.period = _button("").classes("clear period")
                self.pause = _button("Pause").classes("pause")
            with ui.element("div").classes("note"):
                self.note = LivePart("p")
                self.clear = _button("Clear filters").classes("clear")
                self.hint = _html("p").classes("hint")
            with ui.element("div").classes("stream") as self.stream:
                self.events = LivePart("ul", holds=True).classes("events")
                self.events.props('aria-live=off aria-label="Newest events, newest first"')
                self.older = _button("Older events are in the archive: search it").classes("older")

    def open_help(self) -> None:
        self.help.open()

    def _build_dialog(self) -> None:
        with ui.dialog() as self.help, ui.element("div").classes("whole help panel"):
            with ui.element("header").classes("title"):
                _html("h2").content = "Search and keys"
                ui.space()
                close = ui.button(icon="close", color=None, on_click=self.help.close)
                close.props('flat round dense aria-label="Close"')
            _html("div").classes("body").content = HELP
        self.help.props('aria-label="Help"')
        with ui.dialog() as self.dialog, ui.element("div").classes("whole panel"):
            with ui.element("header"):
                self.title = _html("h2")
                ui.space()
                self.previous = _button("← Previous").classes("previous")
                self.next = _button("Next →").classes("next")
                copy = _button("Copy the address").props("data-copy=address")
                copy.classes("copy")
                self.only = _button("")
                close = ui.button(icon="close", color=None, on_click=self.dialog.close)
                close.props('flat round dense aria-label="Close"')
            with ui.element("div").classes("body") as self.body:
                self.event = _html("div")
                self.neighbours = LivePart("div").classes("neighbours")
        self.dialog.props('aria-label="The whole event"')


def emit_data(name: str) -> str:
    """A JavaScript handler that emits data-`name` of the button that was clicked."""
    return f"""(e) => {{
        const button = e.target.closest("[data-{name}]");
        const selecting = !getSelection().isCollapsed && e.detail;
        if (button && !selecting) emit(button.dataset.{name});
    }}"""


@contextmanager
def _panel(name: str, class_: str) -> Iterator[ui.element]:
    """A section with a heading; yields the heading's row, to which more can be added."""
    with ui.element("section").classes(f"panel {class_}").props(f'aria-label="{name}"'):
        with ui.element("div").classes("head") as head:
            _html("h2").content = name
        yield head


@cache
def _file(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")


def _html(tag: str) -> ui.html:
    """An element whose content is HTML that markupsafe has escaped."""
    return ui.html(tag=tag, sanitize=False)


def _button(text: str) -> ui.html:
    button = _html("button").props("type=button")
    button.content = text
    return button
