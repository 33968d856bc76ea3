"""Moves what a recipe searches into the study's space, where all that searches finds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from tuner.space import default_space
from tuner.spec.recipe import RecipeSpec
from tuner.spec.space import ParameterSpec, space_document

RATE = "lr"
"""A fixed rate becomes a parameter of one value, since policies that cut it need its start."""


def lifted(document: object) -> object:
    """Return a document whose recipe holds values alone, and whose space has its entries.

    Where there is no `space`, the recipe's entries join the default space, less what it fixes.
    Documents of another shape are returned as they are, and fields that no recipe has are left in
    it, for the models to refuse.

    Raises:
        ValueError: a field stands both in the recipe and in the space.
    """
    recipe = _recipe(document)
    if not isinstance(document, Mapping) or not recipe:
        return document
    given = document.get("space")
    if given is not None and not isinstance(given, Mapping):
        return document
    known = RecipeSpec.model_fields
    entries = {name: value for name, value in recipe.items() if _is_entry(value) and name in known}
    if RATE in recipe and RATE not in entries:
        entries[RATE] = {"value": recipe[RATE]}
    fixed = {name: value for name, value in recipe.items() if name not in entries}
    if given is None:
        given = {k: v for k, v in space_document(default_space()).items() if k not in recipe}
    elif twice := [name for name in recipe if name in given]:
        raise ValueError(
            f"{twice[0]} stands both in run.recipe and in space: leave one of them out"
        )
    if not given and not entries:
        raise ValueError("nothing is left to search: give one field as {values: [...]}, or a space")
    return {**document, "space": {**given, **entries}, "run": _with_recipe(document["run"], fixed)}


def origins(document: object) -> frozenset[str]:
    """Return the names of the parameters that a document gives in its recipe."""
    recipe = _recipe(document)
    return frozenset(n for n, v in recipe.items() if _is_entry(v) or n == RATE)


def _recipe(document: object) -> Mapping[str, Any]:
    run = document.get("run") if isinstance(document, Mapping) else None
    if isinstance(run, BaseModel):
        run = run.model_dump(exclude_none=True)
    recipe = run.get("recipe") if isinstance(run, Mapping) else None
    if isinstance(recipe, BaseModel):
        recipe = recipe.model_dump(exclude_none=True)
    if not isinstance(recipe, Mapping):
        return {}
    return {str(name): value for name, value in recipe.items() if value is not None}


def _is_entry(value: object) -> bool:
    return isinstance(value, Mapping | ParameterSpec)


def _with_recipe(run: Any, recipe: Mapping[str, Any]) -> Any:
    if isinstance(run, BaseModel):
        run = run.model_dump(exclude_unset=True)
    rest = {key: value for key, value in run.items() if key != "recipe"}
    return {**rest, "recipe": dict(recipe)} if recipe else rest
