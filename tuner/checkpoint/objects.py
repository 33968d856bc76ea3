"""The state of objects that hold one: taken out to be saved, and put back into one made anew."""

from __future__ import annotations

import difflib
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any

from tuner.checkpoint.tree import Saved
from tuner.errors import InvalidInput

_NOT_FITTING = (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError)


def capture(value: Any, where: str) -> Saved | None:
    """Return the state of an object, None if it is of no kind that has one."""
    del where
    kind = kind_of(value)
    if kind is None:
        return None
    return Saved(kind=kind, state=_CAPTURE[kind](_bare(value)))


def kind_of(value: Any) -> str | None:
    """Return the name of what kind of object it is, None if it is none that can be saved."""
    if value is None or isinstance(value, int | float | str | bytes):
        return None
    return next((kind for kind, holds in _KINDS.items() if holds(value)), None)


def _is(library: str, name: str) -> Callable[[Any], bool]:
    """Return a test for instances of a class of a library, which is not loaded for it."""

    def holds(value: Any) -> bool:
        module = sys.modules.get(library)
        return module is not None and isinstance(value, attrgetter(name)(module))

    return holds


def _has_state_dict(value: Any) -> bool:
    return all(callable(getattr(value, name, None)) for name in ("state_dict", "load_state_dict"))


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "random.Random": _is("random", "Random"),
    "numpy.Generator": _is("numpy", "random.Generator"),
    "numpy.RandomState": _is("numpy", "random.RandomState"),
    "torch.Generator": _is("torch", "Generator"),
    "module": _is("torch", "nn.Module"),
    "optimizer": _is("torch", "optim.Optimizer"),
    "state_dict": _has_state_dict,
    "DataLoader": _is("torch", "utils.data.DataLoader"),
}


def put_back(target: Any, saved: Saved, where: str) -> None:
    """Give an object the state it was saved with.

    Raises:
        InvalidInput: it is another kind of object, or the state does not fit it.
    """
    kind = kind_of(target)
    if kind != saved.kind:
        what = kind or type(target).__name__
        raise InvalidInput(f"{where} was saved as a {saved.kind}; this is a {what}")
    try:
        _PUT_BACK[kind](_bare(target), saved.state)
    except _NOT_FITTING as problem:
        said = str(problem) or type(problem).__name__
        raise InvalidInput(f"what was saved as {where} does not fit this one: {said}") from problem


def _bare(value: Any) -> Any:
    """Return the module inside what torch.compile or data parallelism laid around it."""
    torch = sys.modules.get("torch")
    while torch is not None and isinstance(value, torch.nn.Module):
        parallel = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
        inner = value.module if isinstance(value, parallel) else getattr(value, "_orig_mod", None)
        if inner is None:
            break
        value = inner
    return value


def _capture_module(module: Any) -> Any:
    state = module.state_dict()
    # torch keeps the versions of modules' states in an attribute; loading asks for them.
    return {"state": dict(state), "versions": dict(getattr(state, "_metadata", {}))}


def _load_module(module: Any, saved: Mapping[str, Any]) -> None:
    state = OrderedDict(saved["state"])
    _same_keys(state, module.state_dict().keys())
    state._metadata = OrderedDict(saved["versions"])  # type: ignore[attr-defined]
    module.load_state_dict(state)


def _same_keys(saved: Iterable[str], here: Iterable[str]) -> None:
    saved, here = list(saved), list(here)
    for name in here:
        if name not in saved:
            raise ValueError(f"it has no {name!r}{nearest(name, saved)}")
    for name in saved:
        if name not in here:
            raise ValueError(f"it has {name!r}, which is not here{nearest(name, here)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return an addition to a sentence that names the known name nearest to `name`, or nothing."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; the nearest name is {found[0]!r}" if found else ""


def _load_optimizer(optimizer: Any, state: dict[str, Any]) -> None:
    groups = [dict(group) for group in state["param_groups"]]
    for group, now in zip(groups, optimizer.param_groups, strict=True):
        _same_shapes(group["params"], state["state"], now["params"])
        for key, value in group.items():
            # torch moves the states of parameters, but no rate that is a tensor.
            if hasattr(value, "fill_") and hasattr(now.get(key), "fill_"):
                group[key] = value.to(now[key].device)
    optimizer.load_state_dict({**state, "param_groups": groups})


_SHAPED = (
    "exp_avg",
    "exp_avg_sq",
    "exp_inf",
    "max_exp_avg_sq",
    "momentum_buffer",
    "square_avg",
    "sum",
)


def _same_shapes(numbers: list[int], states: Mapping[int, Any], parameters: list[Any]) -> None:
    for number, parameter in zip(numbers, parameters, strict=True):
        for key, value in states.get(number, {}).items():
            if key in _SHAPED and value is not None and value.shape != parameter.shape:
                shapes = f"{list(value.shape)}, the parameter {list(parameter.shape)}"
                raise ValueError(f"{key} of parameter {number} has the shape {shapes}")


def _capture_loader(loader: Any) -> Any:
    return {name: _capture_source(source) for name, source in _sources(loader).items()}


def _capture_source(source: Any) -> Any:
    return source.get_state() if hasattr(source, "get_state") else {"epoch": source.epoch}


def _load_loader(loader: Any, saved: Mapping[str, Any]) -> None:
    sources = _sources(loader)
    _same_keys(saved, sources)
    for name, source in sources.items():
        if hasattr(source, "set_state"):
            source.set_state(saved[name])
        else:
            source.epoch = saved[name]["epoch"]


def _sources(loader: Any) -> dict[str, Any]:
    """Return what decides about the next epoch's order: generators, a distributed sampler."""
    samplers = {"sampler": loader.sampler, "batch_sampler": loader.batch_sampler}
    inner = getattr(loader.batch_sampler, "sampler", None)
    if inner is not None and inner is not loader.sampler:
        samplers["batch_sampler.sampler"] = inner
    found = {"generator": loader.generator}
    for name, sampler in samplers.items():
        found[f"{name}.generator"] = getattr(sampler, "generator", None)
        if isinstance(getattr(sampler, "epoch", None), int):
            found[name] = sampler
    return {name: source for name, source in found.items() if source is not None}


def _set_numpy(generator: Any, state: Any) -> None:
    generator.bit_generator.state = state


_CAPTURE = {
    "random.Random": lambda value: value.getstate(),
    "numpy.Generator": lambda value: value.bit_generator.state,
    "numpy.RandomState": lambda value: value.get_state(legacy=False),
    "torch.Generator": lambda value: value.get_state(),
    "module": _capture_module,
    "optimizer": lambda value: value.state_dict(),
    "state_dict": lambda value: value.state_dict(),
    "DataLoader": _capture_loader,
}
_PUT_BACK = {
    "random.Random": lambda value, state: value.setstate(state),
    "numpy.Generator": _set_numpy,
    "numpy.RandomState": lambda value, state: value.set_state(state),
    "torch.Generator": lambda value, state: value.set_state(state),
    "module": _load_module,
    "optimizer": _load_optimizer,
    "state_dict": lambda value, state: value.load_state_dict(state),
    "DataLoader": _load_loader,
}
