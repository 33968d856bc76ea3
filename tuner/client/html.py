"""A study as static HTML for notebooks: escaped, an inline SVG, no script and no request."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from tuner.client.progress import progress_line
from tuner.trial import TrialState
from tuner.wire import StudyView, TrialView

_WIDTH, _HEIGHT, _PAD = 480, 140, 8
_TOP = 5
_STYLE = "font-family:system-ui,sans-serif;max-width:640px"


def study_html(view: StudyView, trials: Sequence[TrialView]) -> str:
    """Return the study's state, its best-so-far curve and its five best trials."""
    sign = 1.0 if view.spec.get("objective", {}).get("mode") != "max" else -1.0
    line = escape(progress_line(view, datetime.now(UTC)))
    return (
        f'<div style="{_STYLE}"><p><b>{escape(view.name)}</b> (study {view.id})<br>{line}</p>'
        f"{_curve(trials, sign)}{_table(trials, sign)}</div>"
    )


def best_so_far(trials: Sequence[TrialView], sign: float) -> list[float]:
    """Return the best value after each ended trial that has one; `sign` is -1 to maximise."""
    ended = (t.value for t in trials if t.state is TrialState.ENDED and t.value is not None)
    best: list[float] = []
    for value in ended:
        better = not best or sign * value < sign * best[-1]
        best.append(value if better else best[-1])
    return best


def _curve(trials: Sequence[TrialView], sign: float) -> str:
    values = best_so_far(trials, sign)
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    width, height = _WIDTH - 2 * _PAD, _HEIGHT - 2 * _PAD
    scale = height / (high - low) if high > low else 0.0
    points = [
        f"{_PAD + width * i / (len(values) - 1):.1f},{_PAD + (high - v) * scale:.1f}"
        for i, v in enumerate(values)
    ]
    label = f"best value so far over {len(values)} trials: from {values[0]:.6g} to {values[-1]:.6g}"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{escape(label)}"><title>{escape(label)}</title><polyline fill="none" '
        f'stroke="#2563eb" stroke-width="2" points="{" ".join(points)}"/></svg>'
    )


def _table(trials: Sequence[TrialView], sign: float) -> str:
    with_value = [(sign * t.value, t) for t in trials if t.value is not None]
    top = [t for _, t in sorted(with_value, key=lambda pair: (pair[0], pair[1].number))[:_TOP]]
    if not top:
        return ""
    names = list(dict.fromkeys(name for t in top for name in t.params))
    head = "".join(f"<th>{escape(h)}</th>" for h in ["trial", "value", "outcome", *names])
    rows = "".join(_row(t, names) for t in top)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _row(trial: TrialView, names: Sequence[str]) -> str:
    cells = [str(trial.number), f"{trial.value:.6g}", str(trial.outcome or trial.state)]
    cells += [_text(trial.params.get(name)) for name in names]
    return "<tr>" + "".join(f"<td>{escape(c)}</td>" for c in cells) + "</tr>"


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
