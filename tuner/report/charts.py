"""Plots as inline SVG, coloured by the page's style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

_WIDTH, _HEIGHT = 720, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 14, 12, 44
_TICKS = 5
_KEPT = 0.75
_WIDE = 8.0
"""From this ratio of the largest to the smallest value on, positive values get a log scale."""
_WIDEST = 1e3
"""Of such values those beyond this ratio lie outside."""
_MANY = 7

_BOX = f"{_LEFT - 3} {_TOP - 3} {_WIDTH - _LEFT - _RIGHT + 6} {_HEIGHT - _TOP - _BOTTOM + 6}"
_INSIDE = 'x="{}" y="{}" width="{}" height="{}"'.format(*_BOX.split()) + f' viewBox="{_BOX}"'
"""A picture within the picture, which cuts off what leaves the frame."""

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Series:
    """A line with what it is called, and marks on it. `css` names its class."""

    label: str
    points: Sequence[Point]
    css: str = "c0"
    marks: Sequence[Point] = field(default_factory=tuple)
    dots: bool = False


def plot(series: Sequence[Series], *, title: str, x: str, y: str, sign: float = 1.0) -> str:
    """Return a plot of lines and dots; nothing of less than two points of lines.

    Non-finite points are left out. Positive values of which smaller ones are better get a log scale
    where they span a magnitude, and what is over three above the best lies outside. Else the worst
    quarter of the values (of the dots, if there are any; the largest if `sign` is 1, the
    smallest if it is -1) does not widen the frame: lines leave it, and the caption counts the dots
    outside.
    """
    lines = [p for s in series if not s.dots for p in s.points if _finite(p)]
    if len(lines) < 2:
        return ""
    dots = [p for s in series if s.dots for p in s.points if _finite(p)]
    frame = _framed(lines, dots, sign)
    drawn = "".join(_drawn(s, frame) for s in series)
    outside = sum(not frame.has(p) for p in dots)
    note = " Log scale." * frame.log
    note += f" {outside} {'trial lies' if outside == 1 else 'trials lie'} outside." * bool(outside)
    names = "".join(
        f'<li class="{s.css}"><i></i>{escape(s.label)}</li>' for s in series if s.points
    )
    return (
        f'<figure><div class="wide"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>{_axes(frame, x, y)}'
        f"<svg {_INSIDE}>{drawn}</svg></svg></div>"
        f'<figcaption><ul class="key">{names}</ul>{escape(title)}.{note}</figcaption></figure>'
    )


def bars(rows: Sequence[tuple[str, float]], title: str) -> str:
    """Return horizontal bars of shares in [0, 1], as a table that reads without the picture."""
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="bar">'
        f'<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{100 * min(1.0, max(0.0, share)):.1f}" height="10"/></svg></td>'
        f"<td>{share:.0%}</td></tr>"
        for name, share in rows
    )
    return f'<table class="bars"><caption>{escape(title)}</caption><tbody>{body}</tbody></table>'


def _framed(lines: Sequence[Point], dots: Sequence[Point], sign: float) -> _Frame:
    """Return what is shown of the points."""
    points = [*lines, *dots]
    least = min(y for _, y in points)
    near = [p for p in points if p[1] <= _WIDEST * least]
    log = sign > 0 and least > 0 and max(y for _, y in near) >= _WIDE * least
    if not log:
        ordered = sorted(sign * value for _, value in dots or lines)
        worst = ordered[min(len(ordered) - 1, max(1, int(_KEPT * len(ordered)) - 1))]
        near = [p for p in points if sign * p[1] <= worst]
    return _Frame.around([*near, *((at, near[0][1]) for at, _ in points)], log=log)


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """The ends of both axes, those of y as their logarithms if `log`."""

    x0: float
    x1: float
    y0: float
    y1: float
    log: bool = False

    @classmethod
    def around(cls, points: Sequence[Point], *, log: bool = False) -> _Frame:
        x0, x1 = _span([x for x, _ in points])
        y0, y1 = _span([math.log10(y) if log else y for _, y in points])
        pad = 0.05 * (y1 - y0)
        return cls(x0=x0, x1=x1, y0=y0 - pad, y1=y1 + pad, log=log)

    @property
    def ticks(self) -> list[float]:
        """Round values on the y axis."""
        if not self.log:
            return ticks(self.y0, self.y1)
        decades = range(math.floor(self.y0), math.ceil(self.y1) + 1)
        every = [m * 10.0**k for k in decades for m in (1, 2, 5)]
        inside = [x for x in every if self.y0 <= math.log10(x) <= self.y1]
        whole = [x for x in inside if math.log10(x).is_integer()]
        if len(inside) <= _MANY:
            return inside
        return whole[:: math.ceil(len(whole) / _MANY)]

    def across(self, x: float) -> float:
        return _LEFT + (x - self.x0) / (self.x1 - self.x0) * (_WIDTH - _LEFT - _RIGHT)

    def at(self, point: Point) -> tuple[float, float]:
        up = (self._scaled(point[1]) - self.y0) / (self.y1 - self.y0)
        return (
            self.across(point[0]),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )

    def has(self, point: Point) -> bool:
        return _finite(point) and self.y0 <= self._scaled(point[1]) <= self.y1

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.log else value


def _drawn(series: Series, frame: _Frame) -> str:
    label = escape(series.label)
    if series.dots:
        places = [frame.at(p) for p in series.points if frame.has(p)]
        found = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in places)
    else:
        places = [frame.at(p) for p in series.points if _finite(p)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        found = f'<polyline points="{path}"/>'
        marks = (frame.at(p) for p in series.marks if _finite(p))
        found += "".join(
            f'<path d="M{x:.1f} {y - 9:.1f}l-4 -7h8z"><title>rate cut</title></path>'
            for x, y in marks
        )
    return f'<g class="{series.css}"><title>{label}</title>{found}</g>'


def _axes(frame: _Frame, x: str, y: str) -> str:
    parts = []
    for value in frame.ticks:
        _, at = frame.at((frame.x0, value))
        parts.append(f'<path class="grid" d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text class="y" x="{_LEFT - 8}" y="{at + 4:.1f}">{value:g}</text>')
    bottom = _HEIGHT - _BOTTOM
    for value in ticks(frame.x0, frame.x1, whole=True):
        at = frame.across(value)
        parts.append(f'<text class="x" x="{at:.1f}" y="{bottom + 18}">{value:g}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text class="x name" x="{middle:.0f}" y="{_HEIGHT - 6}">{escape(x)}</text>')
    turned = f'transform="rotate(-90 14 {bottom / 2:.0f})"'
    parts.append(f'<text class="x name" x="14" y="{bottom / 2:.0f}" {turned}>{escape(y)}</text>')
    return "".join(parts)


def ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Return about five round numbers from `low` to `high`."""
    rough = (high - low) / _TICKS
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= rough)
    if whole:
        step = max(1.0, math.ceil(step))
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 12) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _finite(point: Point) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if high > low:
        return low, high
    room = abs(low) * 0.1 or 1.0
    return low - room, high + room
