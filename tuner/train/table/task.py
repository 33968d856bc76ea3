"""The task that a table makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from tuner.errors import InvalidInput
from tuner.train import scores
from tuner.train.catalog import TASKS, told
from tuner.train.table.network import TableMlp
from tuner.train.table.prepare import Prepared, prepare
from tuner.train.table.read import read
from tuner.train.table.target import Amount, Classes, Kind
from tuner.train.tasks import Task, cross_entropy, right_class, squared_error


def of_file(table: Mapping[str, Any], say: Callable[[str], None]) -> Task:
    """Return the task of a file, the same one as long as the file is; `say` gets what to know.

    Args:
        table: what the study says of it: `data`, `target`, and perhaps `kind`, `ignore` and
            `split_seed`.
        say: takes lines for the table's owner.

    Raises:
        InvalidInput: the file can't be read, or not be learned as the study says.
    """
    if "data" not in table or "target" not in table:
        raise InvalidInput("the task table needs data: FILE and target: COLUMN")
    path = Path(table["data"])
    try:
        stat = path.stat()
    except OSError as problem:
        raise InvalidInput(f"the table {path.name} can't be read: {problem.strerror}") from problem
    ignore, seed = tuple(table.get("ignore") or ()), int(table.get("split_seed") or 0)
    made, lines = _made(
        path, (stat.st_mtime_ns, stat.st_size), table["target"], table.get("kind"), ignore, seed
    )
    for line in lines:
        say(line)
    return made


@lru_cache(maxsize=1)  # trials of a study follow one another in a process
def _made(
    path: Path, _: object, target: str, kind: Kind | None, ignore: tuple[str, ...], seed: int
) -> tuple[Task, tuple[str, ...]]:
    table = read(path)
    ready = prepare(table, target, kind=kind, ignore=ignore, seed=seed)
    return _task(ready, {"file": table.digest, "target": target, "split_seed": seed}), _said(ready)


def _task(ready: Prepared, origin: Mapping[str, Any]) -> Task:
    goal = ready.target
    classes = goal.outputs if isinstance(goal, Classes) else 0
    measured = scores.distances(goal.std) if isinstance(goal, Amount) else scores.balanced(classes)
    about = {**origin, "inputs": ready.inputs, "classes": classes, "prepared": ready.document()}
    places = dict(zip(("train", "val", "test"), ready.rows, strict=True))
    places["unlabelled"] = ready.unlabelled_rows
    return Task(
        info=told(TASKS["table"], goal.kind),
        data=lambda: ready.data,
        model=partial(TableMlp, inputs=ready.inputs, classes=classes),
        loss=cross_entropy if classes else squared_error,
        accuracy=right_class if classes else None,
        scores=measured,
        identity={"table": about},
        labels=goal.names if isinstance(goal, Classes) else (),
        rows={name: (rows + 1).tolist() for name, rows in places.items()},
    )


def _said(ready: Prepared) -> tuple[str, ...]:
    data, goal = ready.data, ready.target
    rows = " / ".join(str(len(part)) for part in (data.train, data.val, data.test))
    what = f"{goal.outputs} classes" if isinstance(goal, Classes) else "a number"
    first = f"table: {rows} rows to train / validate / test, {ready.inputs} inputs, predicts {what}"
    return first, *(f"table: {note}" for note in ready.notes)
