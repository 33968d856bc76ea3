"""What a report says of the best configuration and of the finalists."""

from __future__ import annotations

from html import escape

from tuner.report.facts import Facts
from tuner.report.tables import number, table
from tuner.trial import Origin
from tuner.wire import BestView

_RANKED = {
    "mean": "Ranked by mean",
    "worst": "Ranked by their worst run",
    "mean_minus_std": "Ranked by the mean and k standard deviations to its bad",
}
_LUCK = (
    "Luck is by how much the first value was better than the mean of fresh seeds: whoever chooses "
    "the best of many values chooses luck, too."
)


def best(facts: Facts) -> str:
    """Show the best configuration, with the interval of its mean if it ran on fresh seeds."""
    found = facts.view.best
    if found is None:
        return "<p>No trial has a value yet.</p>"
    metric = escape(facts.metric)
    text = f'<p><span class="value">{metric} {found.value:.4g}</span> in trial {found.number}'
    text += f" at step {found.step}.</p>"
    if found.mean is not None:
        text = f'<p><span class="value">{metric} {_mean(found)}</span></p>{_luck(found)}'
    params = [(name, number(value)) for name, value in found.params.items()]
    text += table(("parameter", "value"), params)
    points = [(f"{p.step}", f"{p.lr_factor:g}") for p in found.schedule]
    if len(points) > 1:
        text += table(("from step", "rate times"), points, "The rate as it ran")
    folk = facts.view.best_folk
    if found.origin is Origin.FOLK:
        text += "<p>It is a rule of thumb: the search found nothing better.</p>"
    elif folk is not None:
        text += _against(folk, found, facts.sign)
    return text


def _against(folk: BestView, found: BestView, sign: float) -> str:
    """Compare with the best rule of thumb; a mean over fresh seeds is what to expect."""
    own = found.value if found.mean is None else found.mean
    gain = sign * (folk.value - own)
    so = f"the search gained {gain:.3g}" if gain > 0 else "the search gained nothing over it"
    once = "" if found.mean is None else " in its one run"
    return f"<p>The best rule of thumb (trial {folk.number}) had {folk.value:.4g}{once}: {so}.</p>"


def _mean(found: BestView) -> str:
    if found.low is None or found.high is None:
        return f"{found.mean:.4g}"
    return f"{found.mean:.4g}, 95 % interval {found.low:.4g} to {found.high:.4g}"


def _luck(found: BestView) -> str:
    which = "better" if (found.luck or 0) > 0 else "worse"
    return (
        f"<p>The mean of {found.seeds} runs on fresh seeds, with Student's t interval. Trial "
        f"{found.number}, which was chosen, had {found.value:.4g} at step {found.step}: "
        f"{abs(found.luck or 0):.3g} {which} than that.</p>"
    )


def finalists(facts: Facts) -> str:
    """Compare the finalists' means with the values they were chosen for."""
    rows = [
        (
            f"{row.number}",
            f"{row.first:.4g}",
            f"{row.mean:.4g}",
            "" if row.low is None else f"{row.low:.4g} to {row.high:.4g}",
            f"{row.n}",
            "" if row.worst is None else f"{row.worst:.4g}",
            f"{row.luck:+.3g}",
        )
        for row in facts.view.finalists
    ]
    if not rows:
        return ""
    heads = ("trial", "first value", "mean", "95 % interval", "seeds", "worst", "luck")
    repeats = facts.view.spec.get("repeats") or {}
    found = table(heads, rows, _RANKED.get(str(repeats.get("choose")), _RANKED["mean"]))
    return f"{found}<p>{_LUCK}</p>{_close(facts)}"


def _close(facts: Facts) -> str:
    """Name the finalists that the fresh seeds can't tell from the winner."""
    first, *others = facts.view.finalists
    if first.low is None or first.high is None:
        return ""
    near = [
        f"{row.number}"
        for row in others
        if row.low is not None and row.high is not None
        if row.low <= first.high and first.low <= row.high
    ]
    if not near:
        return ""
    names = near[0] if len(near) == 1 else f"{', '.join(near[:-1])} and {near[-1]}"
    that = "that" if len(near) == 1 else "those"
    return (
        f"<p>The interval of trial {first.number} overlaps with {that} of {names}: so few seeds "
        "can't tell them apart.</p>"
    )
