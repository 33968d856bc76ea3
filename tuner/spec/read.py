"""Reading study documents: JSON and YAML 1.2 in, models or a full list of faults out."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import UnionType
from typing import Any, NoReturn, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError

from tuner.constraints import parse as parse_constraint
from tuner.errors import Fault, InvalidInput, Malformed
from tuner.spec.command import RunCommand
from tuner.spec.command import faults as command_faults
from tuner.spec.lifting import lifted, origins
from tuner.spec.models import StudySpec
from tuner.spec.words import words
from tuner.text import unknown

M = TypeVar("M", bound=BaseModel)
MAX_DOCUMENT = 250_000
"""Characters of a YAML document, which takes seconds to read."""
_MAX_DEPTH = 50
_MOST_NODES = 200_000
_UNTELLABLE = re.compile("[\0\ud800-\udfff]")
_MOST_FAULTS = 50


def load(source: str | Path | Mapping[str, Any]) -> StudySpec:
    """Read a study document from a file (`.json`, else YAML) or a mapping.

    Raises:
        InvalidInput: the document breaks the rules.
        Malformed: the file is neither JSON nor YAML.
        FileNotFoundError: there is no such file.
    """
    if isinstance(source, Mapping):
        return check(source)
    path = Path(source)
    text = path.read_text(encoding="utf-8")
    return check(parse_json(text) if path.suffix == ".json" else parse_yaml(text))


def check(document: object) -> StudySpec:
    """Validate a document that was read already.

    Raises:
        InvalidInput: with every fault found.
    """
    spec = validate(StudySpec, document)
    space = spec.build_space()
    faults = []
    for i, text in enumerate(spec.constraints):
        try:
            parse_constraint(text, space.parameters)
        except InvalidInput as exc:
            faults.append(Fault(where=f"constraints.{i}", message=exc.detail))
    if isinstance(spec.run, RunCommand):
        metric, steps = spec.objective.metric, spec.budget.steps
        faults += command_faults(spec.run, space, metric=metric, steps=steps)
    if faults:
        raise InvalidInput(_summary(faults), faults)
    return spec


def validate(model: type[M], document: object) -> M:
    """Validate a document against a model of this project.

    Raises:
        InvalidInput: with every fault found, each unknown key with the nearest known one.
    """
    try:
        return model.model_validate(document)
    except ValidationError as exc:
        _refuse(model, document, exc)


def parse_json(text: str | bytes) -> Any:
    """Read JSON; refuse duplicate keys, non-finite and huge numbers, and deep nesting.

    Raises:
        Malformed: it is not JSON of this kind.
        InvalidInput: a whole number has more than 20 digits.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant,
            parse_float=_finite, parse_int=_short_int,
        )  # fmt: skip
    except RecursionError as exc:
        raise Malformed("the JSON is nested too deeply") from exc
    except ValueError as exc:
        raise Malformed(f"the body is not valid JSON: {exc}") from exc
    _check_tree(value)
    return value


def parse_yaml(text: str | bytes) -> Any:
    """Read one YAML 1.2 document; refuse duplicate keys, anchors' blow-up and deep nesting.

    Raises:
        Malformed: it is not YAML of this kind.
    """
    if len(text) > MAX_DOCUMENT:
        raise Malformed(f"the document is longer than {MAX_DOCUMENT} characters")
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    yaml.version = (1, 2)
    try:
        value = yaml.load(text)
    except RecursionError as exc:
        raise Malformed("the YAML is nested too deeply") from exc
    except (YAMLError, ValueError) as exc:
        raise Malformed(f"the document is not valid YAML: {exc}") from exc
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError) as exc:
        # The library raises these, too, at documents that are not YAML, such as `!!bool x`.
        raise Malformed("the document is not valid YAML: a value does not fit its tag") from exc
    _check_tree(value)
    return value


class _Constructor(SafeConstructor):
    """Makes values of YAML; merge keys (`<<`) may not make one larger than what is taken."""

    entries = 0

    def flatten_mapping(self, node: Any) -> Any:
        super().flatten_mapping(node)
        self.entries += len(node.value)
        if self.entries > _MOST_NODES:
            raise Malformed("the document's merge keys (<<) make it too large")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"key {twice[:100]!r} stands twice in one object")
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _short_int(text: str) -> int:
    if len(text) > 20:
        raise InvalidInput("a whole number has more than 20 digits")
    return int(text)


def _check_tree(value: object) -> None:
    budget = _MOST_NODES
    stack: list[tuple[object, int]] = [(value, 0)]
    while stack:
        node, depth = stack.pop()
        budget -= 1
        if depth > _MAX_DEPTH or budget < 0:
            raise Malformed("the document is nested too deeply or too large")
        if isinstance(node, dict):
            stack += [(x, depth + 1) for pair in node.items() for x in pair]
        elif isinstance(node, list):
            stack += [(x, depth + 1) for x in node]
        elif isinstance(node, str) and _UNTELLABLE.search(node):
            raise Malformed("a text holds NUL or half of a surrogate pair")


def _refuse(model: type[BaseModel], document: object, exc: ValidationError) -> NoReturn:
    found: dict[str, list[str]] = {}
    searched = origins(document)
    with suppress(ValueError):
        document = lifted(document)
    for error in exc.errors(include_url=False)[:_MOST_FAULTS]:
        message = _words(model, error)
        where = _where(error["loc"], document, error["type"] in ("missing", "extra_forbidden"))
        section, _, rest = where.partition(".")
        if section == "space" and rest.partition(".")[0] in searched:
            where = f"run.recipe.{rest}"
        found.setdefault(where, []).append(message[:500])
    faults = [
        Fault(where=k[:300], message="; or ".join(dict.fromkeys(v))) for k, v in found.items()
    ]
    more = exc.error_count() - _MOST_FAULTS
    if more > 0:
        faults.append(Fault(where="", message=f"{more} more faults are not listed"))
    raise InvalidInput(_summary(faults), faults) from exc


def _words(model: type[BaseModel], error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if error["type"] == "extra_forbidden":
        refusals: Mapping[str, str] = getattr(model, "REFUSALS", {})
        if len(error["loc"]) == 1 and error["loc"][0] in refusals:
            return refusals[str(error["loc"][0])]
        return unknown("key", str(error["loc"][-1]), _known_keys(model, error["loc"][:-1]))
    if error["type"] == "union_tag_invalid":
        tags = [t.strip(" '") for t in context["expected_tags"].split(",")]
        return unknown(context["discriminator"].strip("'"), context["tag"], tags)
    if error["type"] == "string_pattern_mismatch" and error["loc"][-1] == "entrypoint":
        return "should look like package.module:function"
    return words(error)


def _where(loc: tuple[int | str, ...], document: object, keep_last: bool) -> str:
    """Return the dotted path into the document, without the union tags pydantic puts between."""
    path: list[str] = []
    node = document
    for i, part in enumerate(loc):
        try:
            node = node[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            if not (keep_last and i == len(loc) - 1):
                continue
        path.append(str(part))
    return ".".join(path)


def _summary(faults: list[Fault]) -> str:
    first = f"{faults[0].where}: {faults[0].message}" if faults[0].where else faults[0].message
    return first if len(faults) == 1 else f"{first} (and {len(faults) - 1} more)"


def _known_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Return the field names of the models that `path` may lead to."""
    models: list[type[BaseModel]] = [model]
    for part in path:
        fields = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        found = [m for f in fields for m in _models_in(f)]
        models = found or [m for m in models if part in (m.__name__, _tag(m))] or models
    return [name for m in models for name in m.model_fields]


def _tag(model: type[BaseModel]) -> object:
    field = model.model_fields.get("name")
    args = get_args(field.annotation) if field is not None else ()
    return args[0] if args else None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType, list, dict) or get_args(annotation):
        return [m for a in get_args(annotation) for m in _models_in(a)]
    return []
