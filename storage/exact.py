"""Parameters in their own types, so that what is read back is what was given."""

from __future__ import annotations

from tuner.handle import ParamValue
from tuner.space import Numeric, Params, Space


def exact(space: Space, params: Params) -> dict[str, ParamValue]:
    """Return a point with each number of the kind its parameter says."""
    exact: dict[str, ParamValue] = {}
    for name, value in params.items():
        parameter = space.parameters[name]
        if isinstance(parameter, Numeric):
            exact[name] = int(value) if parameter.integer else float(value)
        else:
            exact[name] = value
    return exact
