"""The queue: which study a worker serves next, and why none does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api import queue
from tuner.spec import check
from tuner.study import Study
from tuner.trial import EndReason, StudyState, Worker

START = datetime(2026, 1, 1, tzinfo=UTC)
ENTRY = {"entrypoint": "pkg.train:main"}
COMMAND = {"command": ["p", "train.py", "--lr", "{lr}", ["-x", "{trial.resume.path}"]]}


def study(number: int, **changes: Any) -> Study:
    state = changes.pop("state", StudyState.QUEUED)
    stopping = changes.pop("stopping", None)
    document = {"objective": {"metric": "loss"}, "run": ENTRY, **changes}
    return Study(
        study_id=number,
        name=f"s{number}",
        spec=check(document),
        created_at=START + timedelta(seconds=number),
        state=state,
        stopping=stopping,
    )


def worker(**changes: Any) -> Worker:
    fields: dict[str, Any] = {
        "worker_id": "w-1",
        "name": "w",
        "host": "h",
        "slots": 1,
        "gpus": (),
        "labels": {},
        "allow": ("pkg.train:*",),
        "tasks": ("digits-mlp",),
        "registered_at": START,
        "seen_at": START,
    }
    return Worker(**{**fields, **changes})


def queued(project: str = "p", priority: int = 0, **more: Any) -> dict[str, Any]:
    return {"queue": {"project": project, "priority": priority, **more}}


@pytest.mark.parametrize(
    ("studies", "by_study", "by_project", "expected"),
    [
        ([study(1), study(2)], {}, {}, [1, 2]),  # age
        ([study(1), study(2, **queued(priority=1))], {}, {}, [2, 1]),  # priority before age
        ([study(1, **queued(priority=-1)), study(2)], {}, {}, [2, 1]),
        (  # fewest running of the project
            [study(1, **queued("a")), study(2, **queued("b"))], {}, {"a": 2, "b": 1}, [2, 1],
        ),
        (  # priority before share
            [study(1, **queued("a", 1)), study(2, **queued("b"))], {}, {"a": 9}, [1, 2],
        ),
        ([study(1, budget={"parallel": 2})], {1: 1}, {}, [1]),  # a place is free
        ([study(1, budget={"parallel": 2})], {1: 2}, {}, []),  # none is
        ([study(1, state=StudyState.RUNNING)], {}, {}, [1]),
        ([study(1, state=StudyState.PAUSED)], {}, {}, []),
        ([study(1, state=StudyState.FINISHED)], {}, {}, []),
        ([study(1, state=StudyState.CANCELLED)], {}, {}, []),
        ([study(1, state=StudyState.RUNNING, stopping=EndReason.STOPPED)], {}, {}, []),
        ([study(1, run="external")], {}, {}, []),  # never for workers
        ([study(1, run={"entrypoint": "other:main"}), study(2)], {}, {}, [2]),
    ],
)  # fmt: skip
def test_order(
    studies: list[Study],
    by_study: dict[int, int],
    by_project: dict[str, int],
    expected: list[int],
) -> None:
    found = queue.order(studies, by_study, by_project, worker())
    assert [s.study_id for s in found] == expected


@pytest.mark.parametrize(
    ("run", "labels", "given", "sentence"),
    [
        (ENTRY, {}, {}, None),
        (ENTRY, {}, {"allow": ("pkg.train:main",)}, None),
        (ENTRY, {}, {"allow": ("pkg.*",)}, None),
        (ENTRY, {}, {"allow": ("*",)}, None),
        (ENTRY, {}, {"allow": ("pkg.train:Main",)}, "no worker allows pkg.train:main"),  # case
        (ENTRY, {}, {"allow": ("pkg.training:*",)}, "no worker allows pkg.train:main"),
        (ENTRY, {}, {"allow": ("kg.train:*",)}, "no worker allows pkg.train:main"),  # whole
        (ENTRY, {}, {"allow": ()}, "no worker allows pkg.train:main"),
        (COMMAND, {}, {"allow_commands": ("p train.py *",)}, None),
        (COMMAND, {}, {"allow_commands": ("p train.py --lr *",)}, None),
        (  # a placeholder is matched by a wildcard only
            COMMAND,
            {},
            {"allow_commands": ("p train.py --lr {lr} *",)},
            "no worker allows the command p train.py --lr {lr} [-x {trial.resume.path}]",
        ),
        (  # with all groups and with none
            COMMAND,
            {},
            {"allow_commands": ("p train.py --lr *  -x *", "p other.py *")},
            "no worker allows the command p train.py --lr {lr} [-x {trial.resume.path}]",
        ),
        (
            COMMAND,
            {},
            {},
            "no worker allows the command p train.py --lr {lr} [-x {trial.resume.path}]",
        ),
        (
            {**COMMAND, "env": {"A": "1"}},
            {},
            {"allow_commands": ("p *",), "allow_env": ("A",)},
            None,
        ),
        (
            {**COMMAND, "env": {"B": "1", "A": "2"}},
            {},
            {"allow_commands": ("p *",), "allow_env": ("A",)},
            "no worker that allows the command lets studies set A, B",
        ),
        ({"task": "digits-mlp"}, {}, {}, None),
        ({"task": "digits-cnn"}, {}, {}, "no worker knows the task digits-cnn"),
        (ENTRY, {"gpu": "a100"}, {"labels": {"gpu": "a100", "rack": "1"}}, None),
        (
            ENTRY,
            {"gpu": "a100", "rack": "1"},
            {"labels": {"gpu": "a100"}},
            "no worker that could run it has the labels gpu=a100, rack=1",
        ),
    ],
)
def test_why_not(
    run: Any, labels: dict[str, str], given: dict[str, Any], sentence: str | None
) -> None:
    found = queue.why_not(study(1, run=run, **queued(labels=labels)), [worker(**given)])
    assert found == sentence


def test_why_not_of_a_fleet() -> None:
    assert queue.why_not(study(1), []) == "no worker is connected"
    fleet = [worker(allow=()), worker(allow=("pkg.train:*",))]
    assert queue.why_not(study(1), fleet) is None
    # one may run it and the other has the label: none can serve it
    apart = [worker(allow=(), labels={"gpu": "a100"}), worker()]
    wanted = study(1, **queued(labels={"gpu": "a100"}))
    assert "labels gpu=a100" in str(queue.why_not(wanted, apart))
