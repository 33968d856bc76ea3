"""The README's figures: studies through the real server and workers, beside their peers.

    python benchmarks/figures.py [--seeds 10] [--skip-lstm]

For each seed: a study of `examples/digits-mlp.yaml`; its best rule-of-thumb trial; the same study
finished, that is with the choice left to finalists; and random search over the same space for the
same numbers of epochs, each configuration trained in full, without a service. A best value is
partly luck, so each method's choice is trained again on fresh seeds, with its rate schedule as it
ran. Then one study of `examples/adding-lstm.yaml`.
"""

from __future__ import annotations

import argparse
import math
import os
import secrets
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tuner.cli.demo import free_port, started, wait_until_ready
from tuner.client import Client, StudyHandle
from tuner.decision import Decision
from tuner.handle import ParamValue
from tuner.space import Categorical, Numeric, Space, default_space
from tuner.spec import load
from tuner.train import run
from tuner.train.local import LocalReport, LocalTrial
from tuner.wire import BestView

EXAMPLES = Path(__file__).parents[1] / "examples"
TASK = "digits-mlp"
EPOCHS = 27
FRESH = 5
REPEATS = {"finalists": 5, "seeds": 3}
METHODS = TUNER, RANDOM, FINALISTS, AS_MANY, RULE = (
    "tuner",
    "random search, same epochs",
    "tuner, finalists",
    "random search, as many epochs",
    "best rule of thumb",
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A method's choice.

    Args:
        val_loss: the validation loss (nats) it was chosen for: its own, or its mean as a finalist.
        again: mean of its best validation losses on `FRESH` fresh seeds.
        test_accuracy: mean of the test accuracies at those epochs.
    """

    val_loss: float
    again: float
    test_accuracy: float


@contextmanager
def service(workers: int) -> Iterator[Client]:
    """Serve on an empty database with `workers` workers."""
    folder = Path(tempfile.mkdtemp(prefix="tuner-figures-"))
    token, port = secrets.token_urlsafe(24), free_port()
    environment = {
        **os.environ, "TUNER_HOME": str(folder), "TUNER_ADMIN_TOKEN": token, "TUNER_TOKEN": token,
        "TUNER_URL": f"http://127.0.0.1:{port}", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = ["serve", "--db", f"sqlite:///{folder / 'tuner.db'}", "--port", str(port)]
    with ExitStack() as stack:
        server = stack.enter_context(started("server", command, environment, folder))
        wait_until_ready(environment["TUNER_URL"], server)
        for i in range(workers):
            stack.enter_context(started(f"worker {i}", ["worker"], environment, folder))
        yield stack.enter_context(Client(environment["TUNER_URL"], token))


def tune(client: Client, example: str, seed: int) -> StudyHandle:
    """Run an example study under a seed of its own."""
    spec = load(EXAMPLES / example)
    document: dict[str, Any] = spec.model_dump(mode="json", exclude_none=True)
    document["name"] = f"{spec.name}-seed-{seed}"
    document["sampler"] = {**document["sampler"], "seed": seed}
    return client.submit(document).wait(progress=True)


def found_by_study(best: BestView | None) -> Found:
    """Train a study's best trial again, with the rates it ran with."""
    if best is None:
        raise SystemExit("a study ended without a best trial")
    value = best.value if best.mean is None else best.mean
    return train_again(value, best.params, [(p.step, p.lr_factor) for p in best.schedule])


def train_again(
    value: float, params: Mapping[str, ParamValue], schedule: Sequence[tuple[int, float]]
) -> Found:
    """Train a configuration on fresh seeds. `schedule`: from each step on, the rate's factor."""

    def decide(reports: Sequence[LocalReport]) -> Decision:
        done = reports[-1].step
        return Decision(lr_factor=[factor for step, factor in schedule if step <= done][-1])

    best = [
        lowest(LocalTrial(params=params, seed=10**6 + i, steps=EPOCHS, decide=decide))
        for i in range(FRESH)
    ]
    return Found(
        val_loss=value,
        again=statistics.fmean(r.value for r in best),
        test_accuracy=statistics.fmean(r.metrics["test_accuracy"] for r in best),
    )


def lowest(trial: LocalTrial) -> LocalReport:
    """Train a trial and return its report with the lowest finite value."""
    run(trial, TASK, {"device": "cpu"})
    finite = [r for r in trial.reports if math.isfinite(r.value)]
    return min(finite or trial.reports, key=lambda r: r.value)


def draw(space: Space, rng: np.random.Generator) -> dict[str, ParamValue]:
    """Draw a point of an unconditional space at random."""
    return {name: _draw(parameter, rng) for name, parameter in space.parameters.items()}


def _draw(parameter: Numeric | Categorical, rng: np.random.Generator) -> ParamValue:
    if isinstance(parameter, Categorical):
        return parameter.values[int(rng.integers(len(parameter.values)))]
    if parameter.log:
        return float(math.exp(rng.uniform(math.log(parameter.low), math.log(parameter.high))))
    return float(rng.uniform(parameter.low, parameter.high))


def random_search(epochs: int, seed: int) -> Found:
    """Train random configurations in full until `epochs` are spent; return the best."""
    rng = np.random.default_rng(seed)
    points = [draw(default_space(), rng) for _ in range(round(epochs / EPOCHS))]
    values = [
        lowest(LocalTrial(params=point, seed=1000 * seed + i, steps=EPOCHS)).value
        for i, point in enumerate(points)
    ]
    best = min(range(len(points)), key=values.__getitem__)
    return train_again(values[best], points[best], [(0, 1.0)])


def line(name: str, found: Sequence[Found], epochs: Sequence[int]) -> str:
    """Return a row: mean ± standard deviation over the seeds."""
    cells = [
        _spread([f.val_loss for f in found], "{:.4f}"),
        _spread([f.again for f in found], "{:.4f}"),
        _spread([100 * f.test_accuracy for f in found], "{:.2f}") + " %",
        f"{statistics.fmean(epochs):.0f}",
    ]
    return f"| {name} | {' | '.join(cells)} |"


def _spread(values: Sequence[float], form: str) -> str:
    mean = form.format(statistics.fmean(values))
    return mean if len(values) < 2 else f"{mean} ± {form.format(statistics.stdev(values))}"


def digits(client: Client, seeds: Sequence[int]) -> None:
    """Print the table for digits-mlp."""
    rows: dict[str, list[Found]] = {name: [] for name in METHODS}
    epochs: dict[str, list[int]] = {name: [] for name in METHODS}

    def note(name: str, found: Found, spent: int) -> None:
        rows[name].append(found)
        epochs[name].append(spent)

    for seed in seeds:
        study = tune(client, f"{TASK}.yaml", seed)
        spent = study.view.steps_done
        note(TUNER, found_by_study(study.best), spent)
        note(RANDOM, random_search(spent, seed), spent)
        folk = [t for t in study.trials() if t.origin == "folk"]
        note(RULE, found_by_study(study.view.best_folk), sum(t.last_step for t in folk))
        study.finish(repeats=REPEATS).wait(progress=True)
        spent = study.view.steps_done
        note(FINALISTS, found_by_study(study.best), spent)
        note(AS_MANY, random_search(spent, seed), spent)
    print(f"\ndigits-mlp, 60 trials a study, {len(seeds)} studies (mean ± standard deviation)\n")
    print("| method | chosen for a validation loss of | on fresh seeds | test accuracy | epochs |")
    print("|---|---|---|---|---|")
    for name in METHODS:
        print(line(name, rows[name], epochs[name]))
    for ours, other in ((TUNER, RANDOM), (FINALISTS, AS_MANY), (FINALISTS, RULE)):
        pairs = zip(rows[ours], rows[other], strict=True)
        ratio = statistics.fmean(a.again / b.again for a, b in pairs)
        print(f"\n{ours} / {other}, loss on fresh seeds: {ratio:.2f} on average over the studies")


def adding(client: Client) -> None:
    """Print the line for adding-lstm."""
    study = tune(client, "adding-lstm.yaml", 0)
    best = study.best
    if best is None:
        raise SystemExit("adding-lstm ended without a best trial")
    verdict = "below" if best.value < 0.005 else "NOT below"
    print(f"\nadding-lstm: best validation error {best.value:.5f} ({verdict} 0.005; chance 0.167)")
    print(f"  trial {best.number} of {sum(study.view.counts.values())}, {best.params}")


def main() -> None:
    """Run what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--skip-lstm", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with service(workers=2) as client:
        digits(client, range(options.seeds))
        if not options.skip_lstm:
            adding(client)


if __name__ == "__main__":
    main()
