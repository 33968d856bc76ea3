"""The gradient check of something named in code of one's own."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tuner.errors import InvalidInput
from tuner.torch.gradcheck import Checked, gradcheck

_SHAPE = re.compile(r"(\d+(?:x\d+)*)(?::(\d+))?")


def check(
    target: str,
    shapes: Sequence[str],
    arguments: Mapping[str, Any] | None = None,
    *,
    entries: int = 50,
    seed: int = 0,
) -> tuple[Checked, ...]:
    """Check what `package.module:name` names, on random inputs of these shapes.

    Args:
        target: a module; a class or function that makes one; an `autograd.Function`.
        shapes: of its arguments: `4x10`, or `4x10:100` for whole numbers below 100.
        arguments: of what makes it, by name.
        entries: how many of each tensor are compared at most.
        seed: of inputs and initial weights.

    Raises:
        InvalidInput: there is nothing of this name, it can't be made, or it fails on the inputs.
    """
    torch.manual_seed(seed)
    module = _made(find(target), target, arguments or {})
    draw = torch.Generator().manual_seed(seed)
    inputs = [random_input(shape, draw) for shape in shapes]
    try:
        return gradcheck(module, *inputs, entries=entries, seed=seed)
    except InvalidInput:
        raise
    except Exception as problem:
        said = f"{type(problem).__name__}: {problem}"
        raise InvalidInput(f"{target} fails on inputs {', '.join(shapes)}: {said}") from problem


def find(target: str) -> Any:
    """Return what `package.module:name` names; modules in the working directory are found, too.

    Raises:
        InvalidInput: there is none.
    """
    place, colon, name = target.partition(":")
    if not (place and colon and name):
        raise InvalidInput(f"{target!r} is not written package.module:name")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = import_module(place)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as problem:
        raise InvalidInput(f"{target}: {problem}") from problem
    return found


def random_input(text: str, draw: torch.Generator) -> Tensor:
    """Return an input of a shape such as `4x10`, normal; or `4x10:100`, whole numbers below 100.

    Raises:
        InvalidInput: it is no such shape.
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise InvalidInput(f"{text!r} is no shape such as 4x10, or 4x10:100 for whole numbers")
    shape = [int(n) for n in match[1].split("x")]
    if match[2] is not None:
        return torch.randint(int(match[2]), shape, generator=draw)
    return torch.randn(shape, generator=draw)


def _made(found: Any, target: str, arguments: Mapping[str, Any]) -> Callable[..., Any]:
    if inspect.isclass(found) and issubclass(found, torch.autograd.Function):
        applied: Callable[..., Any] = found.apply
        return applied
    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise InvalidInput(f"{target} is no module and makes none")
    if not inspect.isclass(found) and _takes_more(found, arguments):
        return found  # type: ignore[no-any-return]
    try:
        made = found(**arguments)
    except Exception as problem:
        said = f"{type(problem).__name__}: {problem}"
        raise InvalidInput(f"{target} can't be made with {dict(arguments)}: {said}") from problem
    if not callable(made):
        raise InvalidInput(f"{target} makes no module, but {type(made).__name__}")
    return made  # type: ignore[no-any-return]


def _takes_more(function: Callable[..., Any], arguments: Mapping[str, Any]) -> bool:
    """Tell whether a function needs arguments beyond those given by name: its inputs."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return True
    return any(
        p.default is p.empty
        and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        and p.name not in arguments
        for p in parameters
    )
