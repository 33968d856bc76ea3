"""Plots as small SVG files: for each scheme and task a dot with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.halvings.worth import Worth

LEFT, TOP, ROW, PANEL, GAP = 190, 58, 19, 140, 34
STYLE = """
svg { font: 12px system-ui, sans-serif; fill: #24292f; background: #fff }
.axis { stroke: #d0d7de } .zero { stroke: #57606a }
.better { stroke: #1a7f37; fill: #1a7f37 } .worse { stroke: #cf222e; fill: #cf222e }
.same { stroke: #57606a; fill: #57606a } .dim { fill: #57606a; font-size: 11px }
@media (prefers-color-scheme: dark) {
svg { fill: #e6edf3; background: #0d1117 } .axis { stroke: #30363d } .zero { stroke: #8b949e }
.better { stroke: #3fb950; fill: #3fb950 } .worse { stroke: #f85149; fill: #f85149 }
.same { stroke: #8b949e; fill: #8b949e } .dim { fill: #8b949e } }
"""


def dots(
    title: str,
    panels: Mapping[str, Mapping[str, Worth]],
    rows: Sequence[str],
    bounds: tuple[float, float],
) -> str:
    """Draw a panel for each task, in it a row for each scheme.

    Intervals that leave `bounds`, shares such as (-0.5, 0.5), are cut off there; an arrow stands
    for a value outside. An interval that holds 0 is grey.
    """
    width = LEFT + len(panels) * (PANEL + GAP)
    height = TOP + ROW * len(rows) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<text x="8" y="20" font-weight="600">{escape(title)}</text>',
    ]
    for i, name in enumerate(rows):
        y = TOP + ROW * i + 14
        parts.append(f'<text x="{LEFT - 10}" y="{y}" text-anchor="end">{escape(name)}</text>')
    for k, (name, found) in enumerate(panels.items()):
        parts += _panel(name, found, rows, LEFT + k * (PANEL + GAP), bounds)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(
    name: str,
    found: Mapping[str, Worth],
    rows: Sequence[str],
    left: int,
    bounds: tuple[float, float],
) -> list[str]:
    low, high = bounds
    bottom = TOP + ROW * len(rows) + 6

    def x(value: float) -> float:
        return round(left + (min(max(value, low), high) - low) / (high - low) * PANEL, 1)

    parts = [f'<text x="{left}" y="{TOP - 14}">{escape(name)}</text>']
    for tick in (low, low / 2, 0.0, high / 2, high):
        kind = "axis" if tick else "zero"
        parts.append(f'<path class="{kind}" d="M{x(tick)} {TOP - 6}V{bottom}"/>')
    for tick in (low, 0.0, high):
        parts.append(
            f'<text class="dim" x="{x(tick)}" y="{bottom + 14}" text-anchor="middle">'
            f"{f'{tick:+.0%}' if tick else 0}</text>"
        )
    for i, scheme in enumerate(rows):
        if (worth := found.get(scheme)) is None:
            continue
        y = TOP + ROW * i + 10
        kind = "better" if worth.high < 0 else "worse" if worth.low > 0 else "same"
        parts.append(
            f'<g class="{kind}"><path stroke-width="2" d="M{x(worth.low)} {y}H{x(worth.high)}"/>'
            + _mark(x(worth.value), y, outside=worth.value > high, before=worth.value < low)
            + "</g>"
        )
    return parts


def _mark(x: float, y: float, *, outside: bool, before: bool) -> str:
    if outside or before:
        tip = 7 if outside else -7
        return f'<path d="M{x} {y - 5}L{x + tip} {y}L{x} {y + 5}Z"/>'
    return f'<circle cx="{x}" cy="{y}" r="3.5"/>'
