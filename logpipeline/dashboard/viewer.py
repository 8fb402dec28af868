"""Viewer: the page of one browser tab, which follows the feed at the tab's own pace."""

from collections.abc import Mapping
from urllib.parse import urlencode

from markupsafe import Markup
from nicegui import Client, ui

from logpipeline.dashboard import chart, event_list, panels
from logpipeline.dashboard.clock import Clock
from logpipeline.dashboard.entry import Entry
from logpipeline.dashboard.feed import Feed
from logpipeline.dashboard.layout import Layout
from logpipeline.dashboard.state import BAD, DashboardState
from logpipeline.events.event import LEVELS

ROWS = 150  # events in the list: more than anybody reads in a second
PATIENCE = 10.0  # seconds for a browser's answer before it is asked again
ASK = '[document.hidden, document.body.classList.contains("body--dark")]'
ZONE = "Intl.DateTimeFormat().resolvedOptions().timeZone"
HINT = Markup("Times in {} <kbd>/</kbd> search <kbd>↑</kbd><kbd>↓</kbd> events")
THEMES: dict[str, bool | None] = {"auto": None, "dark": True, "light": False}


class Viewer:
    """Fills the page in `client`; `follow` keeps it up to date until the tab has gone.

    `address` and `key` say where in Redis it looks; `query` is the address's own, so that a
    filtered page can be kept and sent around.
    """

    def __init__(
        self, client: Client, feed: Feed, address: str, key: str, query: Mapping[str, str]
    ) -> None:
        self._client = client
        self._feed = feed
        self._address = address
        self._key = key
        self._clock = Clock()
        self._dark = True
        self._levels = {*query.get("level", "").upper().split(",")} & {*LEVELS}
        self._service = query.get("service", "")
        self._words = query.get("q", "")
        self._span = "day" if query.get("span") == "day" else "hour"
        self._theme = query.get("theme", "auto")
        self._holds: set[str] = set()  # why the list stands still
        self._held: DashboardState | None = None  # what it shows then
        self._rows: dict[str, Entry] = {}
        self._page = Layout(self._words)
        self._listen()

    async def follow(self) -> None:
        """Show each look of the feed, but never faster than the browser takes them."""
        await self._client.connected()
        self._clock = Clock(str(await self._ask(ZONE)))
        self._page.hint.content = HINT.format(self._clock.zone)
        self._show_theme()
        number = self._feed.number  # what it has seen so far may be old
        with self._feed.watching():
            while not self._client.is_deleted:
                number = await self._feed.after(number)
                match await self._ask(ASK):
                    case [False, bool(dark)]:
                        self._dark = dark
                        self._show()

    async def _ask(self, code: str) -> object:
        """What the browser answers; None once it has gone."""
        while not self._client.is_deleted:
            try:
                return await self._client.run_javascript(code, timeout=PATIENCE)
            except TimeoutError:
                continue
        return None

    def _listen(self) -> None:
        page = self._page
        for level, chip in page.levels.items():
            chip.on("click", lambda level=level: self._filter(levels=self._levels ^ {level}))
        for span, button in page.spans.items():
            button.on("click", lambda span=span: self._show_span(span))
        page.service.on_value_change(lambda e: self._filter(service=e.value or ""))
        page.search.on_value_change(lambda e: self._filter(words=e.value or ""))
        page.failing.on(
            "click",
            lambda e: self._filter(levels={*BAD}, service=e.args, words=""),
            js_handler="""(e) => {
                const button = e.target.closest("[data-service]");
                if (button) emit(button.dataset.service);
            }""",
        )
        page.events.on(
            "click",
            lambda e: self._open(e.args),
            js_handler="""(e) => {
                const button = e.target.closest("[data-id]");
                if (button) emit(button.dataset.id);
            }""",
        )
        page.stream.on(
            "scroll",
            lambda e: self._hold("scrolled", e.args),
            js_handler="(e) => emit(e.target.scrollTop > 4)",
            throttle=0.2,
        )
        page.stream.on(
            "focusin",
            lambda: self._hold("focused", True),
            js_handler='(e) => e.target.matches("li :focus-visible") && emit()',
        )
        page.stream.on("focusout", lambda: self._hold("focused", False))
        page.dialog.on_value_change(lambda e: self._hold("open", e.value))
        page.only.on("click", self._only_this_service)
        page.pause.on("click", self._pause_or_resume)
        page.clear.on("click", lambda: self._filter(levels=set(), service="", words=""))
        page.theme.on("click", self._next_theme)

    def _show(self) -> None:
        """Bring the page up to the feed's newest look."""
        board, problem = self._feed.board, self._feed.problem
        page = self._page
        if problem:
            since = self._clock.full(self._feed.problem_since)
            page.show_screen("Redis is away", panels.unreachable(self._address, problem, since))
        elif board and board.empty:
            page.show_screen("Empty", panels.empty(self._address, self._key, board.lag))
        elif board:
            page.show_board("Paused" if self._held else "Live")
            page.tiles.content = panels.tiles(board)
            page.failing.content = panels.failing(board)
            page.alerts.content = panels.alerts(board, self._clock)
            self._show_chart(board)
            self._show_list()
            self._client.run_javascript(f"document.title = {self._title(board)!r}")

    def _title(self, board: DashboardState) -> str:
        return f"({len(board.alerts)}) Logs" if board.alerts else "Logs"

    def _show_chart(self, board: DashboardState) -> None:
        page = self._page
        levels = [level for level in LEVELS if level in self._levels]
        options = chart.options(board, self._span, levels, self._dark, self._clock)
        if page.chart.options != options:
            page.chart.options.update(options)
        sums = board.sums(chart.SPANS[self._span][0])
        for level, chip in page.levels.items():
            chip.content = Markup('<i class="{0}"></i>{0} <span>{1}</span>').format(
                level, panels.compact(sums[level])
            )
            chip.props["aria-pressed"] = "true" if level in self._levels else "false"
        for span, button in page.spans.items():
            button.props["aria-pressed"] = "true" if span == self._span else "false"

    def _show_list(self) -> None:
        now, board = self._feed.board, self._held or self._feed.board
        if not now or not board:
            return
        page = self._page
        found = board.matching(self._levels, self._service, self._words)
        newest = sorted(found[:ROWS], key=lambda each: each.timestamp, reverse=True)
        self._rows = {each.id: each for each in newest}
        page.events.content = event_list.rows(self._rows.values(), board.at, self._clock)
        page.note.content = event_list.note(board, len(found), len(self._rows), self._filtered)
        page.clear.set_visibility(self._filtered)
        page.set_services(board.services, self._service)
        page.show_pause(bool(self._held), max(0, now.total - board.total))

    @property
    def _filtered(self) -> bool:
        return bool(self._levels or self._service or self._words)

    def _filter(
        self, levels: set[str] | None = None, service: str | None = None, words: str | None = None
    ) -> None:
        """Change some of the filters, and the address with them."""
        self._levels = self._levels if levels is None else levels
        self._service = self._service if service is None else service
        self._words = self._words if words is None else words
        self._page.search.value = self._words
        self._keep()
        self._show()

    def _show_span(self, span: str) -> None:
        self._span = span
        self._keep()
        self._show()

    def _keep(self) -> None:
        query = {
            "level": ",".join(level for level in LEVELS if level in self._levels),
            "service": self._service,
            "q": self._words,
            "span": self._span if self._span == "day" else "",
            "theme": self._theme if self._theme != "auto" else "",
        }
        ui.navigate.history.replace("?" + urlencode({k: v for k, v in query.items() if v}))

    def _hold(self, why: str, on: bool) -> None:
        """Let the list stand still, or go on when nothing else holds it."""
        if on:
            self._holds.add(why)
            self._held = self._held or self._feed.board
        else:
            self._holds.discard(why)
            if not self._holds:
                self._held = None
        self._show()

    def _pause_or_resume(self) -> None:
        if not self._holds:
            self._hold("paused", True)
            return
        self._holds.clear()
        self._held = None
        ui.run_javascript('document.querySelector(".stream").scrollTop = 0')
        self._show()

    def _open(self, id_: object) -> None:
        entry = self._rows.get(str(id_))
        if entry:
            self._page.show_whole(entry, event_list.whole(entry, self._clock))

    def _only_this_service(self) -> None:
        self._page.dialog.close()
        self._filter(service=self._page.shown_service)

    def _next_theme(self) -> None:
        names = [*THEMES]
        self._theme = names[(names.index(self._theme) + 1) % len(names)]
        self._keep()
        self._show_theme()

    def _show_theme(self) -> None:
        if self._theme not in THEMES:
            self._theme = "auto"
        self._page.show_theme(self._theme, THEMES[self._theme])
