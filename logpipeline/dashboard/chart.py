"""Chart: events per minute by level, as ECharts options."""

from collections.abc import Sequence
from typing import Any

from logpipeline.dashboard.clock import Clock
from logpipeline.dashboard.state import DashboardState

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
    colours = COLOURS[dark]
    shown = [level for level in ORDER if not levels or level in levels]
    text = {"color": colours["text"], "fontSize": 11}
    return {
        "animation": False,
        "aria": {"enabled": True, "label": {"description": describe(state, span)}},
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
            "data": [clock.minute(begin) for begin, _ in steps],
            "axisLine": {"lineStyle": {"color": colours["line"]}},
            "axisTick": {"show": False},
            "axisLabel": {**text, "interval": 11 if span == "day" else 9},
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
