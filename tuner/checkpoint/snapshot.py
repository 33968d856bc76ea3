"""What a checkpoint holds: a step, the state of a training by name, and random streams."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tuner.checkpoint import file, objects, streams
from tuner.checkpoint.tree import Packer, Saved, Unpacker
from tuner.errors import InvalidInput

FORMAT = "tuner-2"
"""Files written before had the format `tuner-1`, which `tuner.train.state` reads."""

_NO_CHECKPOINT = (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError)


class Restored(int):
    """The step a trial goes on from, 0 for a fresh start.

    `state` holds what was saved besides objects: numbers, tensors, lists, by name.
    """

    state: Mapping[str, Any]

    def __new__(cls, step: int, state: Mapping[str, Any] | None = None) -> Restored:
        """Return the step with what was saved beside it."""
        found = super().__new__(cls, step)
        found.state = MappingProxyType(dict(state or {}))
        return found


def save(
    path: Path, step: int, state: Mapping[str, Any], *, random: list[Any] | None = None
) -> None:
    """Write a checkpoint; what it holds is copied before the function returns.

    Args:
        path: where; it holds the whole checkpoint or what it held before, after any crash.
        step: finished steps.
        state: objects with a state, and plain values, by name.
        random: the random streams of each process that takes part; by default this one's.

    Raises:
        InvalidInput: something can't be saved; the message says where it is and what can be.
    """
    try:
        for name, value in state.items():
            _refuse_mixed(value, name)
    except RecursionError as problem:
        raise InvalidInput("the state is nested too deeply, or holds itself") from problem
    processes = [streams.capture()] if random is None else random
    write_tree(path, {"step": step, "state": dict(state), "random": processes})


def restore(
    path: Path, step: int | None, targets: Mapping[str, Any], *, rank: int = 0
) -> dict[str, Any]:
    """Give `targets` the state they were saved with, and put the random streams where they were.

    Args:
        path: a file that `save` wrote.
        step: the step it must be of. None: of any, written by another trial, whose random streams
            are not put back.
        targets: objects by the names they were saved under.
        rank: this process's among those that train together.

    Returns:
        What was saved besides objects, by name.

    Raises:
        InvalidInput: the file can't be read or is of another step; names are missing on one side;
            or a state does not fit.
    """
    tree = read_tree(path)
    saved, random = tree.get("state"), tree.get("random")
    if not isinstance(saved, dict) or not isinstance(random, list):
        raise InvalidInput(f"trial.checkpoint(step, **state) did not write {path.name}")
    if step is not None and tree.get("step") != step:
        raise InvalidInput(f"{path.name} is of step {tree.get('step')}, not {step}")
    _names_agree(saved, targets)
    for name, target in targets.items():
        _put_back(target, saved[name], name)
    if step is not None and rank < len(random):
        try:
            streams.put_back(random[rank])
        except (*_NO_CHECKPOINT, RuntimeError) as problem:
            raise InvalidInput(f"{path.name} has no random streams: {problem}") from problem
    return {name: value for name, value in saved.items() if name not in targets}


def write_tree(path: Path, tree: Mapping[str, Any]) -> None:
    """Write nested values and objects' states under names."""
    packer = Packer(objects.capture)
    document = {name: packer.pack(value, name) for name, value in tree.items()}
    file.write(path, FORMAT, document, packer.arrays)


def read_tree(path: Path) -> dict[str, Any]:
    """Return what `write_tree` wrote, objects as `Saved`.

    Raises:
        InvalidInput: there is no such file, or it is cut short or no checkpoint.
    """
    return unpack_tree(path, *file.read(path))


def unpack_tree(
    path: Path, format_name: str, document: Any, arrays: Mapping[str, file.Array]
) -> dict[str, Any]:
    """Return the values of a file that was read.

    Raises:
        InvalidInput: it is no checkpoint of this format.
    """
    if format_name != FORMAT or not isinstance(document, dict):
        raise InvalidInput(f"the checkpoint {path.name} is not in the format {FORMAT}")
    try:
        unpacker = Unpacker(arrays)
        return {name: unpacker.unpack(value) for name, value in document.items()}
    except _NO_CHECKPOINT as problem:
        raise InvalidInput(f"the checkpoint {path.name} can't be read: {problem}") from problem


def _names_agree(saved: Mapping[str, Any], targets: Mapping[str, Any]) -> None:
    for name in targets:
        if name not in saved:
            near = objects.nearest(name, saved)
            there = ", ".join(saved) or "nothing"
            raise InvalidInput(f"the checkpoint holds no {name!r}{near}; it holds {there}")
    for name, value in saved.items():
        if name not in targets and _holds_objects(value):
            near = objects.nearest(name, targets)
            raise InvalidInput(
                f"the checkpoint holds the state of {name!r}, which no argument takes{near}: "
                f"restore({name}=...)"
            )


def _refuse_mixed(value: Any, where: str) -> None:
    """Refuse a container that could neither be put back nor be returned."""
    items = list(_items(value))
    live = [_holds(one, objects.kind_of) for one in items]
    if any(live) and not all(live):
        raise InvalidInput(f"{where} holds both objects and plain values: save them apart")
    for one in items:
        _refuse_mixed(one, where)


def _holds_objects(value: Any) -> bool:
    return _holds(value, lambda one: isinstance(one, Saved))


def _holds(value: Any, is_object: Callable[[Any], object]) -> bool:
    return bool(is_object(value)) or any(_holds(one, is_object) for one in _items(value))


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _put_back(target: Any, saved: Any, where: str) -> None:
    if isinstance(saved, Saved):
        objects.put_back(target, saved, where)
        return
    if not _holds_objects(saved):
        raise InvalidInput(
            f"{where} was saved as a plain value, which can't be put back into something: leave it "
            f"out here and take it from what restore returns, as .state[{where!r}]"
        )
    there, here = _named(saved), _named(target)
    if there.keys() != here.keys():
        raise InvalidInput(f"{where} was saved as a {type(saved).__name__} of other length or keys")
    for name, one in here.items():
        _put_back(one, there[name], f"{where}/{name}")


def _named(value: Any) -> dict[Any, Any]:
    return dict(value) if isinstance(value, Mapping) else dict(enumerate(_items(value)))
