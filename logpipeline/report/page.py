"""Page: trends as one HTML file with charts, which loads nothing else."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from logpipeline.events.event import LEVELS
from logpipeline.report.trends import Count, Trends, bin_size
from logpipeline.terminal import printable

WIDTH, HEIGHT = 960.0, 180.0  # of a chart's bars, in its own units
SERIOUS = ("CRITICAL", "ERROR")
LABELS = (60, 300, 900, 1_800, 3_600, 10_800, 21_600, 86_400)  # seconds between, below a chart
COLUMNS = 24  # at most, in the table of services and hours
ROWS = 12
Key = TypeVar("Key")
Totals = Mapping[tuple[int, str], int]  # (bin, level) → events


@dataclass(frozen=True)
class Bar:
    """A bar's stack: `parts` are (level, y, height), `title` is shown under the mouse."""

    x: float
    width: float
    title: str
    parts: list[tuple[str, float, float]]


@dataclass(frozen=True)
class Chart:
    """Bars over time. `rows` and `columns` are (place, label) of the axes."""

    bars: list[Bar]
    rows: list[tuple[float, str]]
    columns: list[tuple[float, str]]
    levels: Sequence[str]


@dataclass(frozen=True)
class Heat:
    """Errors by service and column: `rows` are (service, cells), a cell (errors, 0 to 1, title)."""

    columns: list[str]
    rows: list[tuple[str, list[tuple[int, float, str]]]]


def render(trends: Trends, title: str, source: str) -> str:
    """The page. `source` names the files that were read."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"number": number, "share": share, "clock": clock, "printed": printable}
    totals = _sums(((count.bin, count.level), count.events) for count in trends.counts)
    services = _services(trends.counts)
    return environment.get_template("page.html").render(
        title=title,
        source=source,
        created=time.strftime("%Y-%m-%d %H:%M:%S %Z"),
        zone=time.strftime("%Z (%z)", time.localtime(trends.start)),
        start=clock(trends.start, day=True),
        end=clock(trends.end, day=True),
        trends=trends,
        levels=_sums((count.level, count.events) for count in trends.counts),
        events=sum(count.events for count in trends.counts),
        errors=sum(count.events for count in trends.counts if count.level in SERIOUS),
        all=chart(trends, totals, tuple(reversed(LEVELS))),
        serious=chart(trends, totals, SERIOUS),
        heat=heat(trends),
        services=services[:ROWS],
        others=trends.services - len(services[:ROWS]),
    )


def chart(trends: Trends, totals: Totals, levels: Sequence[str]) -> Chart:
    """Bars of these levels, the first at the bottom."""
    first = int(trends.start // trends.step) * trends.step
    bins = range(first, int(trends.end) + 1, trends.step)
    most = max((sum(totals.get((b, level), 0) for level in levels) for b in bins), default=0)
    scale = ceiling(most)
    width = WIDTH / max(1, len(bins))
    bars = []
    for i, begin in enumerate(bins):
        parts, y, words = [], HEIGHT, []
        for level in levels:
            if events := totals.get((begin, level), 0):
                height = events / scale * HEIGHT
                y -= height
                parts.append((level, round(y, 2), round(height, 2)))
                words.append(f"{number(events)} {level}")
        span = f"{clock(begin, day=True)} to {clock(begin + trends.step)}"
        title = f"{span}: {', '.join(words) or 'none'}"
        bars.append(Bar(round(i * width, 2), round(width * 0.86, 2), title, parts))
    rows = [(round(HEIGHT - HEIGHT * i / 4, 2), number(scale * i / 4)) for i in range(5)]
    every = next((e for e in LABELS if (trends.end - trends.start) / e <= 9), LABELS[-1])
    columns = [
        (round(i * width, 2), clock(b)) for i, b in enumerate(bins) if not _second_of_day(b) % every
    ]
    return Chart(bars, rows, columns, levels)


def heat(trends: Trends) -> Heat:
    """Errors by service and time. The services with the most come first."""
    step = max(trends.step, bin_size(trends.end - trends.start, COLUMNS))
    first = int(trends.start // step) * step
    columns = range(first, int(trends.end) + 1, step)
    serious = [
        (count.service, count.bin // step * step, count.events)
        for count in trends.counts
        if count.level in SERIOUS and count.service is not None
    ]
    cells = _sums(((service, column), events) for service, column, events in serious)
    services = Counter(_sums((service, events) for service, _, events in serious))
    most = max(cells.values(), default=1)
    return Heat(
        [clock(column) for column in columns],
        [
            (
                name or "(none)",
                [
                    (
                        errors := cells.get((name, column), 0),
                        round((errors / most) ** 0.5, 3),
                        f"{name}, {clock(column, day=True)}: {number(errors)} errors",
                    )
                    for column in columns
                ],
            )
            for name, _ in services.most_common(ROWS)
        ],
    )


def ceiling(most: int) -> int:
    """The smallest round number, divisible by four, that is not below it: the top of an axis."""
    size = 1
    while True:
        for factor in (4, 8, 12, 20, 24, 28, 32):
            if factor * size >= most:
                return factor * size
        size *= 10


def number(value: float) -> str:
    """For people: 1,234 or 12.3 M."""
    if value >= 10_000_000:
        return f"{value / 1_000_000:,.1f} M"
    return f"{value:,.0f}"


def share(part: float, whole: float) -> str:
    """A percentage, for people."""
    return f"{part / whole:.1%}" if whole else "–"


def clock(moment: float, day: bool = False) -> str:
    """Unix seconds as local time."""
    return time.strftime("%b %-d, %H:%M" if day else "%H:%M", time.localtime(moment))


def _second_of_day(moment: int) -> int:
    local = time.localtime(moment)
    return local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec


def _sums(pairs: Iterable[tuple[Key, int]]) -> dict[Key, int]:
    """The sum of the numbers of each key."""
    sums: dict[Key, int] = {}
    for key, events in pairs:
        sums[key] = sums.get(key, 0) + events
    return sums


def _services(counts: Iterable[Count]) -> list[tuple[str, int, int]]:
    """(service, events, errors), the most events first."""
    named = [(c.service, c.level, c.events) for c in counts if c.service is not None]
    events = _sums((service, events) for service, _, events in named)
    errors = _sums((service, events) for service, level, events in named if level in SERIOUS)
    rows = [(name or "(none)", total, errors.get(name, 0)) for name, total in events.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))
