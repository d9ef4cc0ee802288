"""Drawings as inline SVG: curves over epochs, and the widths of a network."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from math import isfinite, log2

COLOURS = "#4a90d9", "#e0762f", "#3aa876", "#b07cd8"
"""Of middle lightness: readable on white and on black."""
_MOST = 300
"""Points of a curve that are drawn."""


def curves(title: str, series: Mapping[str, Sequence[float]], best: int | None = None) -> str:
    """Return one chart of series over epochs from 1; values that are not finite leave a gap.

    ``best``: an epoch that a dotted line marks.
    """
    left, top, width, height = 52, 22, 230, 110
    finite = [v for values in series.values() for v in values if isfinite(v)]
    last = max(map(len, series.values()))
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    span = (high - low) or abs(high) or 1.0

    def across(epoch: int) -> float:
        return left + width * (epoch - 1) / max(last - 1, 1)

    def up(value: float) -> float:
        return top + height * (1.0 - (value - low) / span)

    parts = [_label(left, 13, title, "start", bold=True)]
    for value in (low, high) if high > low else (low,):
        parts.append(_rule(left, up(value), left + width, up(value)))
        parts.append(_label(left - 5, up(value) + 4, f"{value:.3g}", "end"))
    for epoch in sorted({1, last}):
        parts.append(_label(across(epoch), top + height + 15, str(epoch), "middle"))
    if best is not None:
        parts.append(_rule(across(best), top, across(best), top + height, dashed=True))
        parts.append(_label(across(best), top + height + 27, f"best: {best}", "middle"))
    for number, (name, values) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        for run in _runs(values):
            points = " ".join(f"{across(epoch):.1f},{up(value):.1f}" for epoch, value in run)
            line = f'fill="none" stroke="{colour}" stroke-width="1.8"'
            dot = f'<circle cx="{across(run[0][0]):.1f}" cy="{up(run[0][1]):.1f}" r="2" fill="{colour}"/>'
            parts.append(dot if len(run) == 1 else f'<polyline points="{points}" {line}/>')
        at = left + width - 78 * (len(series) - number)
        if len(series) > 1:
            parts.append(
                f'<rect x="{at}" y="6" width="8" height="8" fill="{colour}"/>' + _label(at + 12, 14, name, "start")
            )
    return _svg(left + width + 20, top + height + 34, f"{title} over epochs", parts)


def widths(columns: Sequence[tuple[int, str]]) -> str:
    """Return the columns of a network, (width, text of several lines): their heights grow with the logarithm."""
    step, middle, margin = 92, 52, 44
    heights = [min(8.0 + 7.0 * log2(width + 1), 90.0) for width, _ in columns]
    parts = []
    for at, (height, following) in enumerate(pairwise(heights)):
        x, to = margin + step * at + 6, margin + step * (at + 1) - 6
        corners = (
            (x, middle - height / 2),
            (to, middle - following / 2),
            (to, middle + following / 2),
            (x, middle + height / 2),
        )
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in corners)
        parts.append(f'<polygon points="{points}" fill="currentColor" fill-opacity=".12"/>')
    lines = 0
    for at, (height, (_, label)) in enumerate(zip(heights, columns, strict=True)):
        x = margin + step * at
        y = middle - height / 2
        parts.append(f'<rect x="{x - 6}" y="{y:.1f}" width="12" height="{height:.1f}" rx="5" fill="{COLOURS[0]}"/>')
        for row, word in enumerate(label.split("\n")):
            parts.append(_label(x, 2 * middle + 12 + 13 * row, word, "middle"))
            lines = max(lines, row)
    names = ", ".join(label.replace("\n", " ") for _, label in columns)
    return _svg(2 * margin + step * (len(columns) - 1), 2 * middle + 20 + 13 * lines, f"layers: {names}", parts)


def _runs(values: Sequence[float]) -> list[list[tuple[int, float]]]:
    """Return (epoch, value) of the stretches of finite values, of long series only some."""
    stride = -(-len(values) // _MOST)
    kept = [i for i in range(len(values)) if (len(values) - 1 - i) % stride == 0]
    runs: list[list[tuple[int, float]]] = [[]]
    for i in kept:
        if isfinite(values[i]):
            runs[-1].append((i + 1, values[i]))
        else:
            runs.append([])
    return [run for run in runs if run]


def _label(x: float, y: float, content: str, anchor: str, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(content)}</text>'


def _rule(x: float, y: float, to_x: float, to_y: float, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="3 3"' if dashed else ""
    opacity = ".7" if dashed else ".25"
    ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"'
    return f'<line {ends} stroke="currentColor" stroke-opacity="{opacity}"{dash}/>'


def _svg(width: float, height: float, description: str, parts: Sequence[str]) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    font = 'fill="currentColor" font-family="sans-serif" font-size="11"'
    about = escape(description, quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{about}" {font}>{"".join(parts)}</svg>'
    )
