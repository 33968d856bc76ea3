"""The command of a W&B sweep, with its macros.

https://docs.wandb.ai/guides/sweeps/define-sweep-configuration#sweep-command-example
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from tuner.convert.source import Source, fault

Pair = tuple[str, str]
"""A parameter's name in the sweep, and ours."""

_DEFAULT = ("${env}", "${interpreter}", "${program}", "${args}")
_MACRO = re.compile(r"\$\{([^{}]*)\}")


def command_of(source: Source, parameters: Sequence[Pair]) -> Any:
    """Return the `run` section: a command, or `external` where no program is named."""
    program = source.text("program")
    given = source.items("command") if source.peek("command") is not None else None
    source.use("command")
    if given is None and program is None:
        return "external"
    words: list[str] = []
    for i, word in enumerate(_DEFAULT if given is None else given):
        if not isinstance(word, str | int | float):
            raise fault(("command", i), "should be a text")
        words += _word(source, str(word), program, parameters, ("command", i))
    if not words:
        raise fault(("command",), "names no program")
    if "{" in words[0]:
        raise fault(("command",), "the program, which comes first, can't be a parameter")
    return {"command": words}


def _word(
    source: Source,
    word: str,
    program: str | None,
    parameters: Sequence[Pair],
    path: tuple[Any, ...],
) -> Iterator[str]:
    match word:
        case "${env}":
            return
        case "${args}":
            yield from (f"--{escape(foreign)}={{{name}}}" for foreign, name in parameters)
        case "${args_no_hyphens}":
            yield from (f"{escape(foreign)}={{{name}}}" for foreign, name in parameters)
        case "${args_no_boolean_flags}":
            yield from (f"--{escape(foreign)}={{{name}}}" for foreign, name in parameters)
            source.change(path, "true and false are written out: a flag can't be left out by value")
        case "${args_json}":
            source.change(path, "the parameters as JSON are in the variable TUNER_PARAMS")
        case "${args_json_file}":
            source.change(path, "no file is written: the parameters as JSON are in TUNER_PARAMS")
        case _:
            yield _filled(source, word, program, path)


def _filled(source: Source, word: str, program: str | None, path: tuple[Any, ...]) -> str:
    """Return a word with the macros within it replaced."""
    plain: list[str] = []
    end = 0
    for macro in _MACRO.finditer(word):
        plain += escape(word[end : macro.start()]), _macro(source, macro, program, path)
        end = macro.end()
    return "".join([*plain, escape(word[end:])])


def _macro(source: Source, macro: re.Match[str], program: str | None, path: tuple[Any, ...]) -> str:
    match macro[1]:
        case "env":
            return "/usr/bin/env"
        case "interpreter":
            return "python"
        case "program":
            if program is None:
                raise fault(path, "${program} stands in the command, and no program is named")
            return escape(program)
    variable = macro[1].removeprefix("envvar:")
    if variable != macro[1]:
        why = f"variables are not filled in: let the program read {variable[:60]}"
    else:
        why = "this macro is unknown"
    source.change(path, f"{macro[0][:80]}: {why}")
    return escape(macro[0])


def escape(text: str) -> str:
    """Return a text as it stands in a command, where single braces are placeholders."""
    return text.replace("{", "{{").replace("}", "}}")
