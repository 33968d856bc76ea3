"""A worker reads tables below the folders of its configuration, and none elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from api import queue
from api.views import document
from tests.unit.test_queue import study, worker
from tuner.errors import InvalidInput, NotAllowed
from tuner.spec import RunTable, StudySpec, check, parse_yaml
from tuner.worker.config import WorkerConfig
from tuner.worker.data import allowed_file, with_data
from tuner.worker.program import Program, read_program, refusal, tasks

RUN = {"task": "table", "data": "people.csv", "target": "buys", "ignore": ["id"]}


def _config(*folders: Path) -> WorkerConfig:
    return WorkerConfig(url="http://127.0.0.1:1", allow_data=folders)


def _program(data: str) -> Program:
    program = read_program({**RUN, "data": data})
    assert program is not None
    return program


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return an allowed folder and one beside it, each with a table."""
    for name in ("in", "out"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "people.csv").write_text("a,b\n")
        (tmp_path / name / "sub" / f"{name}.csv").write_text("a,b\n")
    (tmp_path / "in" / "link.csv").symlink_to(tmp_path / "out" / "people.csv")
    (tmp_path / "in" / "inner.csv").symlink_to(tmp_path / "in" / "people.csv")
    (tmp_path / "alias").symlink_to(tmp_path / "in")
    return tmp_path / "in", tmp_path / "out"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("people.csv", "people.csv"),
        ("sub/in.csv", "sub/in.csv"),
        ("sub/../people.csv", "people.csv"),
        ("{in}/people.csv", "people.csv"),
        ("inner.csv", "people.csv"),  # a link that stays inside
        ("../out/people.csv", None),
        ("sub/../../out/people.csv", None),
        ("{out}/people.csv", None),
        ("{in}/../out/people.csv", None),
        ("link.csv", None),  # a link that leads out
        ("none.csv", None),
        ("sub", None),  # no file
        ("/etc/passwd", None),
        ("a\0b.csv", None),
        ("x" * 5000, None),
    ],
)
def test_a_file_is_read_below_an_allowed_folder_only(
    name: str, found: str | None, folders: tuple[Path, Path]
) -> None:
    inside, outside = folders
    name = name.replace("{in}", str(inside)).replace("{out}", str(outside))
    expected = None if found is None else inside / found
    assert allowed_file([inside], name) == expected
    assert allowed_file([inside.parent / "alias"], name) == expected
    assert allowed_file([inside.parent / "gone", inside], name) == expected
    assert allowed_file([], name) is None


def test_a_worker_refuses_what_it_may_not_read(folders: tuple[Path, Path]) -> None:
    inside, outside = folders
    assert refusal(_program("people.csv"), _config(inside)) is None
    why = refusal(_program(f"{outside}/people.csv"), _config(inside))
    assert why is not None
    assert "in the folders that this worker lets studies read" in why
    assert "--allow-data" in (refusal(_program("people.csv"), _config()) or "")
    with pytest.raises(NotAllowed, match="in the folders"):
        with_data(_program("../out/people.csv"), _config(inside))


def test_a_trial_gets_the_whole_path(folders: tuple[Path, Path]) -> None:
    inside, outside = folders
    program = with_data(_program("sub/out.csv"), _config(inside, outside))
    assert program.options["table"] == {
        "data": str(outside / "sub/out.csv"),
        "target": "buys",
        "ignore": ["id"],
    }
    plain = Program(kind="task", name="digits-mlp")
    assert with_data(plain, _config()) is plain


def test_only_workers_with_folders_offer_the_task() -> None:
    assert "table" in tasks(_config(Path("/data")))
    assert "table" not in tasks(_config())
    assert "digits-mlp" in tasks(_config())
    waiting = study(1, run=RUN, objective={"metric": "val_loss"})
    assert "--allow-data" in (queue.why_not(waiting, [worker()]) or "")
    assert queue.why_not(waiting, [worker(tasks=("table",))]) is None


def test_a_document_says_what_to_learn() -> None:
    spec = check(
        parse_yaml(
            "objective: {metric: val_rmse}\n"
            "run: {task: table, data: houses.parquet, target: price, recipe: {loss: huber}}\n"
        )
    )
    assert isinstance(spec.run, RunTable)
    assert (spec.run.kind, spec.run.split_seed) == (None, 0)
    again = StudySpec.model_validate(document(spec))
    assert again == spec
    assert isinstance(again.run, RunTable)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"data": "people.pickle"}, "data"),
        ({"data": "a\0.csv"}, "data"),
        ({"target": ""}, "target"),
        ({"target": None}, "target"),
        ({"kind": "ranking"}, "kind"),
        ({"task": "digits-mlp"}, "run"),
        ({"split_seed": -1}, "split_seed"),
    ],
)
def test_a_document_that_says_it_wrong_is_refused(change: dict[str, object], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        check({"objective": {"metric": "val_loss"}, "run": RUN | change})
