"""The reference of the study document in Markdown, rendered from the models.

`python -m tuner.spec.reference docs/spec.md` rewrites that page from its mark on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tuner.spec import after, command, models, recipe, steering
from tuner.spec.recipe_values import fixed_type
from tuner.spec.space import ParameterSpec

MARK = "<!-- rendered by tuner.spec.reference -->\n"
SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("The document", models.StudySpec),
    ("objective", models.Objective),
    ("space: one parameter", ParameterSpec),
    ("sampler", models.Sampler),
    ("pruner: asha", steering.AshaPruner),
    ("pruner: hyperband", steering.HyperbandPruner),
    ("pruner: median", steering.MedianPruner),
    ("pruner: percentile", steering.PercentilePruner),
    ("pruner: none", steering.NoPruner),
    ("policies: halve_on_plateau", steering.HalveOnPlateau),
    ("policies: rate_schedule", steering.RateSchedule),
    ("policies: rate_schedule, one point", steering.RateChange),
    ("policies: warm_restarts", steering.WarmRestarts),
    ("policies: update_ratio", steering.UpdateRatio),
    ("policies: early_stopping", steering.EarlyStopping),
    ("policies: divergence", steering.Divergence),
    ("budget", models.Budget),
    ("repeats", models.Repeats),
    ("after", after.After),
    ("after: ensemble", after.Ensemble),
    ("after: data_doctor", after.DataDoctor),
    ("after: neighbours", after.NeighbourFallback),
    ("again", after.Again),
    ("run: a built-in task", models.RunTask),
    ("run: a table", models.RunTable),
    ("run: a built-in task, recipe", recipe.RecipeSpec),
    *((f"run: a built-in task, recipe: {name}", group) for name, group in recipe.GROUPS.items()),
    ("run: a built-in task, after", after.AfterRun),
    ("run: a built-in task, after: a member", after.Member),
    ("run: a built-in task, after: a level", after.Level),
    ("run: a function of one's own", models.RunEntrypoint),
    ("run: a program of one's own", command.RunCommand),
    ("run: a program of one's own, report", command.Lines),
    ("retry", models.Retry),
    ("queue", models.Queue),
)
_WORDS = {int: "whole number", float: "number", bool: "true or false", str: "text"}


def render() -> str:
    """Return the reference as Markdown, a table a section."""
    return "\n".join(line for title, model in SECTIONS for line in _section(title, model))


def _section(title: str, model: type[BaseModel]) -> Iterator[str]:
    yield f"### {title}"
    yield f"{(model.__doc__ or '').strip()}\n"
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    groups = [base for base in recipe.GROUPS.values() if base in model.__bases__]
    grouped = {name for base in groups for name in base.model_fields}
    for name, field in model.model_fields.items():
        if name in grouped:
            continue
        yield f"| `{name}` | {_kind(field)} | {_default(field)} | {field.description or ''} |"
    yield ""


def _kind(field: FieldInfo) -> str:
    bounds = [text for m in field.metadata for text in _bounds(m)]
    return ", ".join([_type(field.annotation), *bounds]).replace("|", "\\|")


def _bounds(meta: object) -> Iterator[str]:
    for attribute, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
        bound = getattr(meta, attribute, None)
        if bound is not None:
            yield f"{sign} {bound:,}" if isinstance(bound, int) else f"{sign} {bound:g}"


def _type(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if fixed := fixed_type(annotation):
        return _type(fixed)
    if origin is Annotated:
        fields = [m for m in args[1:] if isinstance(m, FieldInfo)]
        bounds = [b for f in fields for m in f.metadata for b in _bounds(m)]
        return ", ".join([_type(args[0]), *bounds])
    if origin is Literal:
        return " or ".join(f"`{a}`" for a in args)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_type(a) for a in args if a is not NoneType))
    if origin in (list, dict):
        return f"{'list of' if origin is list else 'mapping of name to'} {_type(args[-1])}"
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return "mapping" if is_model else _WORDS.get(annotation, str(annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ({}, []) or isinstance(value, BaseModel):
        return "-"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _rewrite(page: Path) -> None:
    head, _, _ = page.read_text(encoding="utf-8").partition(MARK)
    page.write_text(head + MARK + render(), encoding="utf-8")


if __name__ == "__main__":
    _rewrite(Path(sys.argv[1]))
