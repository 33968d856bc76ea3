"""Your own training loop under tuner: it asks for parameters, reports, and obeys.

Start a server (`tuner serve`), then run `python examples/own_loop.py`. The "network" is a parabola,
so that this file needs nothing but tuner; put your training where `train_epoch` is.
"""

from __future__ import annotations

from tuner import Client, LeasedTrial

STUDY = {
    "objective": {"metric": "loss", "mode": "min"},
    "space": {
        "lr": {"min": 1e-4, "max": 3.0, "log": True},
        "momentum": {"min": 0.0, "max": 0.95},
    },
    "policies": [
        {"name": "halve_on_plateau", "min_lr": 1e-5},
        {"name": "divergence"},
    ],
    "budget": {"trials": 20, "steps": 30},
    "run": "external",
}


class Parabola:
    """Momentum descent on `10 * x**2`, starting from 1."""

    def __init__(self, momentum: float) -> None:
        self.momentum = momentum
        self.x = 1.0
        self.velocity = 0.0

    def train_epoch(self, lr: float) -> float:
        """Take one step and return the loss."""
        self.velocity = self.momentum * self.velocity - lr * 20.0 * self.x
        self.x += self.velocity
        return 10.0 * self.x**2


def train(trial: LeasedTrial) -> None:
    """Train one trial. What the server answers to a report is obeyed before the next epoch."""
    model = Parabola(momentum=float(trial.params["momentum"]))
    start = float(trial.params["lr"])
    for epoch in range(1, (trial.steps or 30) + 1):
        lr = start * trial.lr_factor
        loss = model.train_epoch(lr)
        decision = trial.report(epoch, loss, metrics={"lr": lr})
        if decision.stop:
            return


def main() -> None:
    """Submit the study, train its trials one after another, show the best."""
    with Client() as client:
        study = client.submit(STUDY)
        for trial in study.loop():
            with trial:
                train(trial)
        best = study.best
        print(f"study {study.id}: {study.view.counts}")
        if best is not None:
            print(f"best loss {best.value:.3g} with {best.params}")
            print("rate:", ", ".join(f"x{p.lr_factor:g} from step {p.step}" for p in best.schedule))


if __name__ == "__main__":
    main()
