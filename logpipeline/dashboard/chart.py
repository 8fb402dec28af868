"""Chart: events per minute by level, as ECharts options."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from logpipeline.dashboard.clock import Clock
from logpipeline.dashboard.state import DashboardState

Steps = Sequence[tuple[float, Mapping[str, float]]]  # Unix time, level → events
BARS = 60  # of a histogram, at most
SPANS = {"hour": (60, 1), "day": (24 * 60, 10)}  # minutes, minutes per bar
# The most severe at the bottom, where a few are still visible.
ORDER = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")
COLOURS = {
    True: {  # dark
        **{"CRITICAL": "#f778ba", "ERROR": "#f85149", "WARNING": "#d29922"},
        **{"INFO": "#316dca", "DEBUG": "#545d68"},
        **{"text": "#9aa5b1", "line": "#262c36", "panel": "#161b22", "ink": "#e6edf3"},
    },
    False: {
        **{"CRITICAL": "#bf3989", "ERROR": "#cf222e", "WARNING": "#bf8700"},
        **{"INFO": "#6ba4f0", "DEBUG": "#b4bcc6"},
        **{"text": "#57606a", "line": "#e2e6eb", "panel": "#ffffff", "ink": "#1f2328"},
    },
}


def options(
    state: DashboardState, span: str, levels: Sequence[str], dark: bool, clock: Clock
) -> dict[str, Any]:
    """Stacked bars over one of SPANS; `levels` limits them, empty means all."""
    steps = state.per_minute(*SPANS[span])
    return bars(steps, levels, dark, clock, describe(state, span), 11 if span == "day" else 9)


def hits(
    counts: Mapping[tuple[int, str], int], size: int, since: float, to: float
) -> tuple[int, Steps]:
    """The hits of a search over time, in at most BARS bars, one more where the first and the last
    are parts of bars: their seconds, and (Unix time, level → events) of each. `counts` are by
    (Unix time, level), `size` seconds each."""
    times = [begin for begin, _ in counts]
    first = int(max(since, min(times, default=0)))
    last = int(min(to, max(times, default=0) + size))
    size = max(1, size)
    step = size * max(1, math.ceil((last - first - size) / BARS / size))
    begins = range(first // step * step, max(last, first + 1), step)
    found: dict[int, dict[str, float]] = {begin: dict.fromkeys(ORDER, 0.0) for begin in begins}
    for (begin, level), events in counts.items():
        if begin // step * step in found:
            found[begin // step * step][level] += events
    return step, [(float(begin), levels) for begin, levels in found.items()]


def bars(
    steps: Steps,
    levels: Sequence[str],
    dark: bool,
    clock: Clock,
    description: str,
    interval: int,
) -> dict[str, Any]:
    """One stack for each step: a Unix time, and level → events."""
    colours = COLOURS[dark]
    shown = [level for level in ORDER if not levels or level in levels]
    text = {"color": colours["text"], "fontSize": 11}
    last = steps[-1][0]
    size = (last - steps[0][0]) / (len(steps) - 1) if len(steps) > 1 else 60.0
    return {
        "animation": False,
        "aria": {"enabled": True, "label": {"description": description}},
        "grid": {"left": 8, "right": 10, "top": 12, "bottom": 4, "containLabel": True},
        "tooltip": {
            "trigger": "axis",
            "axisPointer": {"type": "shadow"},
            "backgroundColor": colours["panel"],
            "borderColor": colours["line"],
            "textStyle": {"color": colours["ink"], "fontSize": 12},
            "confine": True,
        },
        "xAxis": {
            "type": "category",
            "data": [clock.bar(begin, last, size) for begin, _ in steps],
            "axisLine": {"lineStyle": {"color": colours["line"]}},
            "axisTick": {"show": False},
            "axisLabel": {**text, "interval": interval},
        },
        "yAxis": {
            "type": "value",
            "minInterval": 1,
            "splitNumber": 3,
            "splitLine": {"lineStyle": {"color": colours["line"]}},
            "axisLabel": text,
        },
        "series": [
            {
                "name": level,
                "type": "bar",
                "stack": "all",
                "barCategoryGap": "18%",
                "itemStyle": {"color": colours[level]},
                "data": [round(means[level], 1) for _, means in steps],
            }
            for level in shown
        ],
    }


def describe(state: DashboardState, span: str) -> str:
    """The chart in one sentence, for screen readers."""
    steps = state.per_minute(*SPANS[span])
    sums = [sum(means.values()) for _, means in steps]
    bad = [means["ERROR"] + means["CRITICAL"] for _, means in steps]
    return (
        f"Events per minute over the last {span}: at most {max(sums):,.0f}, "
        f"{sum(sums) / len(sums):,.0f} on average; at most {max(bad):,.0f} errors."
    )
