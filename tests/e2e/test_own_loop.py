"""Own loops through the client against a real server: decisions, restarts, leases."""

from __future__ import annotations

import runpy
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import torch

from tests.serving import TOKEN, ServerProcess
from tuner import Client
from tuner.decision import Outcome
from tuner.errors import (
    DuplicateName,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    NoTrial,
    StaleAttempt,
)
from tuner.trial import StudyState, TrialState

ROOT = Path(__file__).parents[2]
HALVING = {
    "objective": {"metric": "loss"},
    "space": {"lr": {"value": 0.1}},
    "pruner": {"name": "none"},
    "policies": [{"name": "halve_on_plateau", "factor": 0.5, "patience": 1, "min_lr": 0.02}],
    "budget": {"trials": 2, "steps": 100},
    "run": "external",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with Client(server.url, TOKEN) as client:
        yield client


def test_a_plateau_halves_until_the_trial_converged(client: Client) -> None:
    study = client.submit(HALVING)
    trial = client.ask(study.id)
    levels = []
    for step in range(1, 100):
        decision = trial.report(step, 1.0, metrics={"epoch": float(step)})
        levels.append(decision.lr_factor)
        if decision.stop:
            break
    assert levels == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.25]
    assert decision.outcome is Outcome.CONVERGED
    assert trial.finish().outcome is Outcome.CONVERGED
    best = study.best
    assert best is not None
    assert [(p.step, p.lr_factor) for p in best.schedule] == [(0, 1.0), (3, 0.5), (5, 0.25)]
    assert study.trial(0).reports[2].metrics == {"epoch": 3.0}


def test_the_life_of_a_study(client: Client) -> None:
    study = client.submit({**HALVING, "name": "life"})
    with pytest.raises(DuplicateName) as taken:
        client.submit({**HALVING, "name": "life"})
    assert taken.value.extra["study_id"] == study.id
    assert client.study("life").id == study.id
    assert study.id in [study.id for study in client.studies()]
    released, finished = client.ask("life"), client.ask(study.id)
    with pytest.raises(NoTrial):
        client.ask(study.id)
    assert released.release("not now").state is TrialState.WAITING
    assert finished.finish(0.5).outcome is Outcome.COMPLETE
    again = client.ask(study.id)
    assert (again.number, again.attempt) == (released.number, 2)
    again.fail("broken", retry=False)
    assert study.wait(timeout=60).state is StudyState.FINISHED
    assert [t.outcome for t in study.trials()] == [Outcome.FAILED, Outcome.COMPLETE]
    assert "polyline" not in study._repr_html_()
    assert study.extend(trials=1).state is StudyState.RUNNING
    assert study.enqueue({"lr": 0.1}).number == 2
    assert study.pause().state is StudyState.PAUSED
    assert study.resume().state is StudyState.RUNNING
    copy = study.clone("life-2", {"budget": {"trials": 1}})
    assert copy.view.spec["budget"]["trials"] == 1
    assert copy.cancel().state is StudyState.CANCELLED
    study.stop()
    assert study.wait(timeout=60).state is StudyState.FINISHED
    kinds = [event.kind for event in study.events()]
    assert {"submitted", "leased", "released", "extended", "paused", "finished"} <= set(kinds)
    assert [e.seq for e in study.events()] == sorted(e.seq for e in study.events())


def test_what_a_server_refuses(server: ServerProcess, client: Client) -> None:
    with pytest.raises(InvalidInput) as caught:
        client.submit({**HALVING, "budgets": {}})
    assert caught.value.faults[0].where == "budgets"
    with pytest.raises(NotFound):
        client.study("no-such-study")
    with Client(server.url, "wrong-token-0123456789") as stranger, pytest.raises(NotAuthenticated):
        stranger.workers()


def test_a_dry_run_stores_nothing(client: Client) -> None:
    before = [study.id for study in client.studies()]
    checked = client.submit({**HALVING, "name": "dry"}, dry_run=True)
    assert checked.spec["policies"][0]["patience"] == 1
    assert [study.id for study in client.studies()] == before


def test_the_example_runs(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUNER_URL", server.url)
    monkeypatch.setenv("TUNER_TOKEN", TOKEN)
    runpy.run_path(str(ROOT / "examples" / "own_loop.py"), run_name="__main__")
    assert "best loss" in capsys.readouterr().out


def test_a_loop_outlives_a_restart_of_the_server(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server, Client(server.url, TOKEN) as client:
        study = client.submit(HALVING)
        trial = client.ask(study.id, report_timeout_s=0.0)
        levels = [trial.report(1, 1.0).lr_factor, trial.report(2, 1.0).lr_factor]
        server.stop()
        levels.append(trial.report(3, 1.0).lr_factor)
        server.start()
        levels.append(trial.report(4, 1.0).lr_factor)
        trial.finish()
        assert levels == [1.0, 1.0, 1.0, 0.5]
        assert [r.step for r in study.trial(0).reports] == [1, 2, 3, 4]


@pytest.mark.parametrize("seed", range(3))
def test_rates_are_those_of_torch_s_scheduler(client: Client, seed: int) -> None:
    random = Random(seed)
    factor, patience = random.choice([0.5, 0.2]), random.randrange(4)
    options = {"factor": factor, "patience": patience, "cooldown": 2, "min_lr": 0.0}
    policy = {"name": "halve_on_plateau", **options}
    study = client.submit({**HALVING, "policies": [policy], "budget": {"trials": 1, "steps": 80}})
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=factor, patience=patience, cooldown=2
    )
    with client.ask(study.id) as trial:
        for step in range(1, 81):
            value = random.random()
            optimizer.step()
            scheduler.step(value)
            rate = 0.1 * trial.report(step, value).lr_factor
            assert rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
    assert study.refresh().view.halvings > 3


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serve with leases of three seconds."""
    options = ("--lease", "3", "--heartbeat", "0.2", "--sweep", "0.1")
    with ServerProcess(tmp_path_factory.mktemp("hasty"), *options) as server:
        yield server


def test_heartbeats_hold_a_lease_beyond_its_term(hasty: ServerProcess) -> None:
    with Client(hasty.url, TOKEN) as client:
        study = client.submit(HALVING)
        trial = client.ask(study.id)
        ends = time.monotonic() + 5
        while time.monotonic() < ends:
            assert not trial.should_stop
            time.sleep(0.05)
        trial.report(1, 0.5)
        assert trial.finish().outcome is Outcome.COMPLETE
        assert study.trial(0).attempt == 1


def test_a_silent_loop_loses_its_trial(hasty: ServerProcess) -> None:
    with Client(hasty.url, TOKEN) as client:
        study = client.submit({**HALVING, "budget": {"trials": 1, "steps": 9}})
        silent = client.ask(study.id)
        silent._heart.stop()
        again = client.ask(study.id, wait_s=60)
        assert (again.number, again.attempt) == (0, 2)
        with pytest.raises(StaleAttempt):
            silent.report(1, 0.1)
        with pytest.raises(StaleAttempt):
            silent.finish(0.1)
        again.finish(0.5)
        assert study.trial(0).value == 0.5
