"""Command lines of studies: templates of arguments, and how a trial's values fill them.

An argument holds placeholders, `{lr}` for a parameter or `{trial.seed}` for what the trial's handle
calls so; `{{` and `}}` stand for braces. A value that may be absent stands in a group, a list of
arguments within the list, which is left out whole where one of its values is absent. Nothing ever
passes through a shell: an argument of the template is one argument of the program, or none.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

from tuner.errors import InvalidInput
from tuner.handle import ParamValue

Item = str | tuple[str, ...]
"""An argument, or a group of them."""

Values = Mapping[str, str]

TRIAL_NAMES = (
    "trial.study",
    "trial.number",
    "trial.attempt",
    "trial.seed",
    "trial.steps",
    "trial.lr_factor",
    "trial.resume.path",
    "trial.resume.step",
    "trial.folder",
)
"""What a placeholder may name besides parameters."""

MAY_BE_ABSENT = frozenset({"trial.resume.path", "trial.resume.step"})
"""Names of the trial's that have no value in a trial that starts afresh."""

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_LONGEST_SHOWN = 200
_ANY = "\ue000"
"""Stands for a value that is not known yet: a private character that no pattern spells out."""


def items_of(command: Sequence[str | Sequence[str]]) -> tuple[Item, ...]:
    """Return a document's command as a value."""
    return tuple(item if isinstance(item, str) else tuple(item) for item in command)


def names_in(argument: str) -> list[str]:
    """Return the names of an argument's placeholders, in order.

    Raises:
        InvalidInput: a brace stands alone.
    """
    return [name for name, _ in _parts(argument) if name is not None]


def fill(items: Sequence[Item], values: Values) -> list[str]:
    """Return the program's arguments; groups with an absent value are left out.

    Raises:
        InvalidInput: a value is absent outside of a group.
    """
    argv: list[str] = []
    for item in items:
        group = (item,) if isinstance(item, str) else item
        absent = next((n for text in group for n in names_in(text) if n not in values), None)
        if absent is None:
            argv += [_filled(text, values) for text in group]
        elif isinstance(item, str):
            raise InvalidInput(f"{absent} has no value in this trial, which {item!r} needs")
    return argv


def without(items: Sequence[Item], absent: Collection[str]) -> list[Item]:
    """Return a command less the groups that need one of the names `absent`."""
    return [
        item
        for item in items
        if isinstance(item, str) or not any(n in absent for text in item for n in names_in(text))
    ]


@lru_cache(maxsize=1024)
def outline(items: tuple[Item, ...], *, groups: bool) -> tuple[str, ...]:
    """Return the arguments with the values left open, with all groups or with none.

    What is open is matched by wildcards only.
    """
    kept = [item for item in items if groups or isinstance(item, str)]
    texts = [text for item in kept for text in ((item,) if isinstance(item, str) else item)]
    return tuple(
        "".join(_ANY if name is not None else text for name, text in _parts(t)) for t in texts
    )


def shown(items: Sequence[Item]) -> str:
    """Return a command for a sentence, cut if it is long."""
    texts = (item if isinstance(item, str) else f"[{' '.join(item)}]" for item in items)
    text = " ".join(texts)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]} ..."


def param_texts(params: Mapping[str, ParamValue]) -> dict[str, str]:
    """Return parameters as they stand in arguments and variables.

    Numbers are written so that they read back equal, truth values as `true` and `false`.
    """
    return {name: text_of(value) for name, value in params.items()}


def text_of(value: ParamValue) -> str:
    """Return one value as it stands in an argument."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def stem(items: Sequence[Item]) -> str:
    """Return a short name for a command: its script's or module's, else its program's."""
    plain = [item for item in items if isinstance(item, str) and not names_in(item)]
    first = plain[0] if plain else ""
    after = plain[plain.index("-m") + 1 :] if "-m" in plain else []
    scripts = [text for text in plain[1:] if re.fullmatch(r"[^-].*\.(py|sh|R|jl|lua|js)", text)]
    chosen = next(iter([*scripts[:1], *after[:1]]), first).rpartition("/")[2]
    chosen = re.sub(r"\.(py|sh|R|jl|lua|js)$", "", chosen)
    return re.sub(r"[^A-Za-z0-9_.-]", "-", chosen).strip("-.") or "command"


def _filled(argument: str, values: Values) -> str:
    return "".join(text if name is None else values[name] for name, text in _parts(argument))


@lru_cache(maxsize=4096)
def _parts(argument: str) -> tuple[tuple[str | None, str], ...]:
    """Cut an argument into (None, literal text) and (placeholder's name, "")."""
    parts: list[tuple[str | None, str]] = []
    for token in _TOKEN.finditer(argument):
        text = token[0]
        if text in ("{{", "}}"):
            parts.append((None, text[0]))
        elif text in ("{", "}"):
            raise InvalidInput(f"a single {text} in {argument[:100]!r}; write {text * 2} for one")
        elif token[1] is not None:
            parts.append((token[1], ""))
        else:
            parts.append((None, text))
    return tuple(parts)
