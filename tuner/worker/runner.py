"""Runs one trial in this process and says honestly how it ended."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

from tuner.errors import InvalidInput, NotFound, TrialInterrupted
from tuner.handle import TrialHandle
from tuner.worker.channel import ChannelClosed
from tuner.worker.messages import Done, Start
from tuner.worker.raised import raised
from tuner.worker.reset import reset_libraries


class Runnable(TrialHandle, Protocol):
    """A handle that tells how far its trial came."""

    @property
    def stopped(self) -> bool:
        """Whether a decision to stop has been returned."""

    @property
    def left(self) -> bool:
        """Whether the trial knows that it was asked to leave."""

    @property
    def last_step(self) -> int | None:
        """The highest step reported."""


def run(handle: Runnable, start: Start) -> Done:
    """Run the trial that `start` names; every way it can end is a `Done`.

    Raises:
        ChannelClosed: the parent is gone.
    """
    assert start.kind != "command"
    try:
        function = load(start.kind, start.name)
    except NotFound as exc:
        return Done(outcome="failed", error=exc.detail, retry=False)
    except BaseException as exc:
        return raised(exc)
    # The user's module may have loaded torch and drawn random numbers just now.
    reset_libraries(start.seed, start.threads)
    return _call(handle, start, function)


def load(kind: Literal["task", "entrypoint"], name: str) -> Callable[..., Any]:
    """Return the function a trial calls.

    Raises:
        NotFound: the entrypoint's module or function does not exist.
        Exception: whatever importing the user's module raises.
    """
    if kind == "task":
        from tuner.train import run as train

        return train
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (module_name + ".").startswith(exc.name + "."):
            raise NotFound(f"entrypoint {name}: there is no module {exc.name}") from exc
        raise
    function = getattr(module, function_name, None)
    if not callable(function):
        raise NotFound(f"entrypoint {name}: {module_name} has no function {function_name}")
    return function  # type: ignore[no-any-return]


def _call(handle: Runnable, start: Start, function: Callable[..., Any]) -> Done:
    try:
        if start.kind == "task":
            options = dict(start.options)
            recipe, fetched = options.pop("recipe", None), options.pop("sources", {})
            table = options.pop("table", None)
            sources = {field: tuple(map(Path, paths)) for field, paths in fetched.items()}
            returned = function(
                handle, start.name, options, metric=start.metric, folder=Path(start.work),
                recipe=recipe, sources=sources, table=table,
            )  # fmt: skip
        else:
            returned = function(handle)
    except ChannelClosed:
        raise
    except TrialInterrupted:
        return Done(outcome="left")
    except InvalidInput as exc:
        # What the built-in trainer refuses it says in a sentence; of user code a traceback helps.
        if start.kind == "task":
            return Done(outcome="failed", error=exc.detail, retry=False)
        return raised(exc)
    except SystemExit as exc:
        if exc.code not in (None, 0):
            return Done(outcome="failed", error=f"sys.exit({exc.code!r}) was called", clean=False)
        returned = None
    except BaseException as exc:
        return raised(exc)
    return _returned(handle, returned)


def _returned(handle: Runnable, value: object) -> Done:
    if handle.stopped:
        return Done(outcome="complete")
    ran_out = handle.steps is not None and (handle.last_step or 0) >= handle.steps
    if handle.left and not ran_out:
        return Done(outcome="left")
    if handle.last_step is not None or handle.resume is not None:
        return Done(outcome="complete")
    number = _number(value)
    if number is None:
        what = "nothing" if value is None else type(value).__name__
        why = f"the function returned {what} and reported nothing"
        return Done(outcome="failed", error=f"{why}: there is no value", retry=False)
    if not math.isfinite(number):
        return Done(outcome="diverged")
    return Done(outcome="complete", value=number)


def _number(value: object) -> float | None:
    if value is None or isinstance(value, str | bytes | bool):
        return None
    try:
        return float(value)  # type: ignore[arg-type]  # tensors and numpy's numbers have __float__
    except (TypeError, ValueError, RuntimeError):
        return None
