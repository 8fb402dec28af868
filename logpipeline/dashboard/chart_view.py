"""ChartView: the chart of one tab and the counts beside it; a period can be chosen in it."""

import time

from markupsafe import Markup

from logpipeline.dashboard import chart, panels
from logpipeline.dashboard.archive_search import ArchiveSearch
from logpipeline.dashboard.clock import Clock
from logpipeline.dashboard.event_list import in_words
from logpipeline.dashboard.layout import Layout
from logpipeline.dashboard.query import PageQuery
from logpipeline.dashboard.state import DashboardState
from logpipeline.events.event import LEVELS

CHIP = Markup('<i class="{0}"></i>{0} <span>{1}</span><span class="unseen"> {2}</span>')


class ChartView:
    """Of events per minute, or of what a search of the archive has found."""

    def __init__(self, page: Layout) -> None:
        self._page = page
        self._begins: list[float] = []  # Unix times of the bars
        self._seconds = 60  # of each

    def show(
        self,
        state: DashboardState,
        query: PageQuery,
        search: ArchiveSearch | None,
        dark: bool,
        clock: Clock,
    ) -> None:
        page = self._page
        levels = [level for level in LEVELS if level in query.filters.levels]
        steps = self._hits(search) if search else self._minutes(state, query.span)
        self._begins = [begin for begin, _ in steps]
        if search:
            said = f"Events that match, over time: {search.counts.total():,} in all."
            options = chart.bars(steps, levels, dark, clock, said, len(steps) // 6)
        else:
            options = chart.options(state, query.span, levels, dark, clock)
        if page.chart.options != options:
            page.chart.options.update(options)
        self._show_counts(state, query, levels, search)

    def period(self, bars: object) -> tuple[int, int] | None:
        """The Unix times from one bar to another one, as a browser says."""
        match bars:
            case [int(first), int(last)] if 0 <= first <= last < len(self._begins):
                return int(self._begins[first]), int(self._begins[last]) + self._seconds
        return None

    def _minutes(self, state: DashboardState, span: str) -> chart.Steps:
        minutes, step = chart.SPANS[span]
        self._seconds = step * 60
        return state.per_minute(minutes, step)

    def _hits(self, search: ArchiveSearch) -> chart.Steps:
        to = min(search.query.to, time.time())
        self._seconds, steps = chart.hits(search.counts, search.bin, search.query.since, to)
        return steps

    def _show_counts(
        self,
        state: DashboardState,
        query: PageQuery,
        levels: list[str],
        search: ArchiveSearch | None,
    ) -> None:
        """On the chips, and what they and the chart are about."""
        page = self._page
        narrowed = bool(query.filters.service or query.filters.words) and not search
        every = "all services and words" if narrowed else ""
        sums = state.sums(chart.SPANS[query.span][0])
        about = f"in the last {query.span}{' of ' * narrowed}{every}"
        title, counted = "Events per minute", f"per {query.span}"
        if search:
            title, counted, about = "Found in the archive", "found", "found in the archive"
            sums.clear()
            for (_, level), events in search.counts.items():
                sums[level] += events
        page.chart_title.content = f"{title}{', ' * narrowed}{every}"
        page.counted.content = f"{counted}{', ' * narrowed}{every}"
        for level, chip in page.levels.items():
            chip.content = CHIP.format(level, panels.compact(sums[level]), f"events {about}")
            chip.props["aria-pressed"] = "true" if level in levels else "false"
            chip.props["title"] = f"{in_words(sums[level])} {about}"
        for span, button in page.spans.items():
            button.props["aria-pressed"] = "true" if span == query.span else "false"
            button.set_visibility(not search)
