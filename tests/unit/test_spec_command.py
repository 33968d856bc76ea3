"""The `run.command` section of the study document."""

from __future__ import annotations

from typing import Any

import pytest

from tuner.errors import InvalidInput
from tuner.spec import RunCommand, check

SPACE = {
    "lr": {"min": 1e-3, "max": 1.0, "log": True},
    "optimizer": {"values": ["sgd", "adam"]},
    "momentum": {"min": 0.8, "max": 0.99, "when": {"optimizer": "sgd"}},
}


def document(run: Any, **changes: Any) -> dict[str, Any]:
    return {
        "objective": {"metric": "val_loss", "mode": "min"},
        "space": SPACE,
        "budget": {"trials": 3, "steps": 9},
        "run": run,
        **changes,
    }


def test_a_command_is_read() -> None:
    run = check(
        document(
            {
                "command": ["python", "t.py", "--lr={lr}", ["--m", "{momentum}"], "{trial.steps}"],
                "env": {"WANDB_MODE": "offline"},
                "report": {"line": "epoch {step} val_loss {value}"},
                "on_stop": "SIGUSR1",
                "on_rate": "SIGUSR2",
                "stop_grace": 5.0,
            }
        )
    ).run
    assert isinstance(run, RunCommand)
    assert run.items == (
        "python",
        "t.py",
        "--lr={lr}",
        ("--m", "{momentum}"),
        "{trial.steps}",
    )
    assert run.progress_timeout == 1800.0


@pytest.mark.parametrize(
    ("run", "where", "said"),
    [
        ({"command": []}, "run.command", "should have 1 or more entries"),
        ({"command": "python t.py"}, "run.command", "should be a list"),
        ({"command": ["p", 3]}, "run.command.1", "should be a text"),
        ({"command": ["p"] * 201}, "run.command", "at most 200"),
        ({"command": ["{optimizer}"]}, "run.command", "without placeholders"),
        ({"command": [["p"]]}, "run.command", "without placeholders"),
        ({"command": [""]}, "run.command", "without placeholders"),
        ({"command": ["p", []]}, "run.command.1", "should have 1 or more entries"),
        ({"command": ["p", "{lrr}"]}, "run.command.1", "did you mean 'lr'?"),
        ({"command": ["p", "{seed}"]}, "run.command.1", "did you mean 'trial.seed'?"),
        ({"command": ["p", ["-m", "{momentums}"]]}, "run.command.1.1", "'momentum'?"),
        ({"command": ["p", "{lr"]}, "run.command.1", "a single {"),
        ({"command": ["p", "{momentum}"]}, "run.command.1", "momentum may be absent"),
        ({"command": ["p", "{trial.resume.path}"]}, "run.command.1", "may be absent"),
        ({"command": ["p"], "env": {"TUNER_TOKEN": "x"}}, "run.env", "worker's own"),
        ({"command": ["p"], "env": {"a-b": "x"}}, "run.env", "should be a letter or _"),
        ({"command": ["p"], "env": {"A": 1}}, "run.env.A", "should be a text"),
        ({"command": ["p"], "report": {}}, "run.report", "either line or pattern"),
        (
            {"command": ["p"], "report": {"line": "{value}", "pattern": "x"}},
            "run.report",
            "either line or pattern",
        ),
        ({"command": ["p"], "report": {"line": "x"}}, "run.report.line", "objective is missing"),
        (
            {"command": ["p"], "report": {"pattern": "(?P<value>"}},
            "run.report.pattern",
            "no regular expression",
        ),
        ({"command": ["p"], "on_stop": "SIGKILL"}, "run.on_stop", "should be one of 'SIGTERM'"),
        ({"command": ["p"], "on_stpo": "SIGINT"}, "run.on_stpo", "did you mean 'on_stop'?"),
        ({"command": ["p"], "stop_grace": -1.0}, "run.stop_grace", "should be 0 or more"),
    ],
)
def test_a_wrong_one_is_refused(run: Any, where: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check(document(run))
    assert [f.message for f in caught.value.faults if f.where.startswith(where)], caught.value
    assert said in " ".join(f.message for f in caught.value.faults)


def test_steps_are_absent_where_the_budget_names_none() -> None:
    run = {"command": ["p", "{trial.steps}"]}
    assert check(document(run))
    with pytest.raises(InvalidInput, match=r"trial\.steps may be absent"):
        check(document(run, budget={"trials": 3}))


def test_variables_of_two_parameters_must_differ() -> None:
    space = {"lr": {"value": 0.1}, "LR": {"value": 0.2}}
    with pytest.raises(InvalidInput, match="TUNER_PARAM_LR"):
        check(document({"command": ["p"]}, space=space))
    assert check(document("external", space=space))


def test_what_run_may_be_is_said() -> None:
    with pytest.raises(InvalidInput, match="command"):
        check(document({"program": "x"}))
