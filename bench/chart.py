"""Chart: rates as bars, in an SVG for light and dark pages."""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, LEFT, RIGHT = 760, 220, 110  # pixels
BAR, STEP, TOP = 22, 34, 44
OURS, OTHERS, INK = "#2f81f7", "#8b949e", "#6e7781"


def bars(title: str, rates: Mapping[str, float], ours: str) -> str:
    """One bar for each name, the longest first. `rates` are in events/s."""
    ordered = sorted(rates.items(), key=lambda item: -item[1])
    scale = (WIDTH - LEFT - RIGHT) / ordered[0][1]
    lines = [_text(LEFT, 24, title, weight="600")]
    for number, (name, rate) in enumerate(ordered):
        y = TOP + number * STEP
        colour, weight = (OURS, "600") if name == ours else (OTHERS, "400")
        lines.append(
            f'<rect x="{LEFT}" y="{y}" width="{max(rate * scale, 1):.1f}" height="{BAR}" '
            f'rx="3" fill="{colour}"/>'
        )
        lines.append(_text(LEFT - 10, y + 16, name, "end", weight))
        lines.append(_text(LEFT + rate * scale + 8, y + 16, f"{rate:,.0f}", weight=weight))
    return _svg(lines, TOP + len(ordered) * STEP + 6)


def _text(x: float, y: float, words: str, anchor: str = "start", weight: str = "400") -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" font-weight="{weight}" fill="{INK}">'
        f"{escape(words)}</text>"
    )


def _svg(lines: Sequence[str], height: int) -> str:
    body = "\n".join(lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="14">\n'
        f"{body}\n</svg>\n"
    )
