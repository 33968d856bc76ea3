"""The sections of a report, each from the facts to HTML; empty where there is nothing to say."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from tuner.decision import Outcome
from tuner.report.best import best, finalists
from tuner.report.charts import Series, bars, plot
from tuner.report.facts import AGAIN, Facts
from tuner.report.followed import after, drift
from tuner.report.tables import table
from tuner.trial import TrialState
from tuner.wire import TrialDetail

_COLOURS = 6
_FINDINGS = 50


def lead(facts: Facts) -> str:
    """Say in a line what the study did."""
    view, run = facts.view, facts.view.spec.get("run")
    ended = sum(view.counts.get(outcome, 0) for outcome in Outcome)
    what = run if isinstance(run, str) else _program(run or {})
    parts = [
        f"study {view.id}, {view.state.value}",
        f"{ended} trials",
        f"{view.steps_done:,} steps",
    ]
    if what:
        parts.insert(1, what)
    note = f"<p>{escape(view.remark)}</p>" if view.remark else ""
    return f'<p class="soft">{escape(", ".join(parts))}</p>{note}'


def _program(run: Mapping[str, Any]) -> str:
    """Name what a trial runs."""
    words = [word for word in run.get("command", ()) if isinstance(word, str)]
    return str(run.get("task") or run.get("entrypoint") or " ".join(words))


def search(facts: Facts) -> str:
    """Plot the values in the order of the trials, and the best so far."""
    ended = [
        (float(t.number), t.value)
        for t in facts.trials
        if t.state is TrialState.ENDED and t.value is not None and t.origin not in AGAIN
    ]
    so_far: list[tuple[float, float]] = []
    for at, value in ended:
        if so_far:
            so_far.append((at, so_far[-1][1]))
        if not so_far or facts.sign * value < facts.sign * so_far[-1][1]:
            so_far.append((at, value))
    return plot(
        [
            Series(label="trials", points=ended, css="c5", dots=True),
            Series(label="best so far", points=so_far, css="c0"),
        ],
        title=f"Values and the best so far over {len(ended)} trials",
        x="trial",
        y=facts.metric,
        sign=facts.sign,
    )


def curves(facts: Facts) -> str:
    """Plot the best trials' curves, with the cuts of the rate."""
    series = [_curve(trial, i) for i, trial in enumerate(facts.shown[:_COLOURS])]
    cuts = "; triangles are cuts of the rate" if any(one.marks for one in series) else ""
    return plot(
        series,
        title=f"The best trials as they trained{cuts}",
        x="step",
        y=facts.metric,
        sign=facts.sign,
    )


def _curve(trial: TrialDetail, colour: int) -> Series:
    last: dict[int, tuple[float, float]] = {}
    for report in trial.reports:
        if report.value is not None:
            last[report.step] = (report.value, report.lr_factor)
    points = [(float(step), value) for step, (value, _) in sorted(last.items())]
    levels = [level for _, (_, level) in sorted(last.items())]
    marks = [points[i] for i in range(len(points) - 1) if levels[i + 1] < levels[i]]
    return Series(label=f"trial {trial.number}", points=points, css=f"c{colour}", marks=marks)


def importance(facts: Facts) -> str:
    """Show which parameters matter, if the server says so."""
    if facts.importance:
        return bars(facts.importance, "Share of what tells the best trials from all")
    return f"<p>Not told: {escape(facts.unimportant.rstrip('.'))}.</p>"


def steering(facts: Facts) -> str:
    """Say what pruning and halving did."""
    view = facts.view
    outcomes = [(name, f"{n}") for name, n in view.counts.items() if n]
    whole = view.steps_done + view.steps_saved
    saved = "no steps were saved by ending trials early"
    if view.steps_saved:
        share = view.steps_saved / whole
        saved = (
            f"ending trials early saved {view.steps_saved:,} ({share:.0%} of what all would have "
            "taken)"
        )
    times = {0: "never cut", 1: "cut once"}.get(view.halvings, f"cut {view.halvings} times")
    text = f"<p>{view.steps_done:,} steps were trained; {saved}. The rate was {times}.</p>"
    if view.halving_worth is not None:
        said = view.halving_worth.text
        text += f"<p>{escape(said[:1].upper() + said[1:])}.</p>"
    rows = [
        (rule, kind, f"{n}")
        for (kind, rule), n in sorted(facts.decisions.items())
        if rule != "budget"
    ]
    if outcomes:
        text += table(("outcome", "trials"), outcomes)
    return text + (table(("rule", "decision", "times"), rows) if rows else "")


def findings(facts: Facts) -> str:
    """List what the diagnostics said, the newest ones if there are many."""
    if not facts.findings:
        return ""
    rows = [
        (
            "" if event.number is None else f"{event.number}",
            "" if event.step is None else f"{event.step}",
            str(event.data.get("reason", "")),
        )
        for event in facts.findings[-_FINDINGS:]
    ]
    more = len(facts.findings) - len(rows)
    note = f"<p>{more} earlier ones are left out.</p>" if more else ""
    return table(("trial", "step", "finding"), rows) + note


def again(facts: Facts) -> str:
    """Say how to train the best trial again, with which versions and seed."""
    found = facts.view.best
    if found is None:
        return ""
    name = facts.view.name
    trial = next((t for t in facts.trials if t.number == found.number), None)
    rows = [] if trial is None else [("seed", f"{trial.seed}")]
    if (env := facts.environment) is not None:
        machine, code = env.machine, env.code
        rows += [
            ("tuner", machine.tuner),
            ("Python", machine.python),
            ("system", f"{machine.os}, {machine.cpu}"),
            ("GPUs", ", ".join(machine.gpus) or "none"),
            ("commit", f"{(code.commit or '-')[:12]}{' with changes' if code.diff_size else ''}"),
        ]
        shown = ("torch", "numpy", "optuna", "scikit-learn", "lightning", "transformers", "keras")
        rows += [(package, env.packages[package]) for package in shown if package in env.packages]
    word = shlex.quote(name)
    own_loop = facts.view.spec.get("run") == "external"
    commands = f"tuner export {word} -o best.yaml   # the document below\n"
    commands += (
        f"tuner submit best.yaml   # {'for your own loop' if own_loop else 'on the workers'}"
    )
    if not own_loop:
        here = f"tuner reproduce {word} {found.number}   # here, and compares the curves"
        commands = f"{here}\n{commands}"
    return (
        table(("", "as it ran"), rows)
        + f"<pre>{escape(commands)}</pre><p>The study that trains it again:</p>"
        + f"<pre>{escape(facts.replay.strip())}</pre>"
    )


ALL: tuple[tuple[str, Callable[[Facts], str]], ...] = (
    ("Best configuration", best),
    ("Finalists on fresh seeds", finalists),
    ("Does the old best still hold?", drift),
    ("The search", search),
    ("Curves", curves),
    ("Which parameters matter", importance),
    ("What pruning and halving did", steering),
    ("Findings", findings),
    ("After the search", after),
    ("How to reproduce", again),
)
