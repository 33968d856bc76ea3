"""What a report says of studies that follow this one, or that this one follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from types import MappingProxyType

from tuner.report.facts import Facts, Follower
from tuner.wire import StudyView

Metrics = Mapping[str, float]


def drift(facts: Facts) -> str:
    """Say how the best of the study that this one runs again does here."""
    found = facts.view.drift
    return "" if found is None else f"<p>{escape(_sentence(found.text))}</p>"


def after(facts: Facts) -> str:
    """Say what the studies that follow this one found."""
    return "".join(_followed(one, facts) for one in facts.followers)


def _followed(one: Follower, facts: Facts) -> str:
    view = one.view
    title, text = "The best again", "" if view.drift is None else _sentence(view.drift.text)
    if view.drift is None:
        kind, _ = _KINDS.get(_kind(view), ("Study", None))
        title, text = kind, result(view, one.metrics) or f"{view.state.value}, no result yet."
        text += _beside_snapshots(view, facts) if one.metrics else ""
    where = f"{view.name}, study {view.id}"
    return f"<p><b>{title}</b> ({escape(where)}): {escape(text)}</p>"


def result(view: StudyView, metrics: Metrics) -> str | None:
    """Say in a sentence what a study found that follows another, None of others and without.

    Args:
        view: the study.
        metrics: of its trial's last report, with the objective as `value`.
    """
    _, words = _KINDS.get(_kind(view), ("", None))
    return words(metrics) if words is not None and metrics else None


def _kind(view: StudyView) -> str:
    run = view.spec.get("run")
    after = run.get("after") if isinstance(run, Mapping) else None
    return str((after or {}).get("kind"))


def _beside_snapshots(view: StudyView, facts: Facts) -> str:
    """Say what the configuration has that snapshots were trained with, in another way."""
    best = facts.view.best
    run = view.spec.get("run")
    after = (run.get("after") or {}) if isinstance(run, Mapping) else {}
    if best is None or after.get("snapshots", 1) == 1:
        return ""
    own = best.value if best.mean is None else best.mean
    return f" They are snapshots of one training; trained as in the search, the best has {own:.4g}."


def _ensemble(m: Metrics) -> str:
    return (
        f"{m.get('members', 0):.0f} networks together {m['value']:.4g}, their best alone "
        f"{m.get('best_member', 0):.4g}: a gain of {m.get('gain', 0):+.3g} on the rows that chose "
        f"it, of {m.get('test_gain', 0):+.3g} on the test rows."
    )


def _data_doctor(m: Metrics) -> str:
    flagged, rows = m.get("flagged", 0), m.get("rows", 0)
    return (
        f"{flagged:.0f} of {rows:.0f} training labels are doubted; doubted_labels.csv lists them "
        "for a person to decide."
    )


def _neighbours(m: Metrics) -> str:
    text = (
        f"in doubt about {m.get('unsure', 0):.1%} of the validation rows; neighbours change the "
        f"accuracy by {m.get('gain', 0):+.3g}"
    )
    if "rare_recall" not in m:
        return f"{text}."
    alone = m.get("network_rare_recall", 0)
    return f"{text}, and find {m['rare_recall']:.1%} of the rare classes instead of {alone:.1%}."


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


_KINDS: Mapping[str, tuple[str, Callable[[Metrics], str]]] = MappingProxyType(
    {
        "ensemble": ("Ensemble", _ensemble),
        "data_doctor": ("Data doctor", _data_doctor),
        "neighbours": ("Neighbours", _neighbours),
    }
)
