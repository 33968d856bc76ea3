"""The reference of the command line in Markdown, rendered from the application.

`python -m tuner.cli.reference docs/cli.md` rewrites that page from its mark on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from tuner.cli.app import app

MARK = "<!-- rendered by tuner.cli.reference -->\n"


def render() -> str:
    """Return the sections of all commands."""
    root: Any = get_command(app)
    sections = [_section("tuner", root), *_commands("tuner", root)]
    return "\n\n".join(sections) + "\n"


def commands(group: Any, name: str = "tuner") -> Iterator[tuple[str, Any]]:
    """Iterate over all commands by their full names."""
    for part, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} {part}")
        else:
            yield f"{name} {part}", command


def _commands(name: str, group: Any) -> Iterator[str]:
    for full, command in commands(group, name):
        yield _section(full, command)


def _section(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    usage = [name, *(p.metavar for p in arguments if p.metavar)]
    if options:
        usage.append("[OPTIONS]")
    if hasattr(command, "commands"):
        usage.append("COMMAND")
    lines = [f"### `{' '.join(usage)}`", command.help or ""]
    rows = [f"| `{p.metavar}` | {_help(p)} |" for p in arguments]
    rows += [f"| `{_option(p)}` | {_help(p)} |" for p in options]
    if rows:
        lines += ["", "| | |", "|---|---|", *rows]
    return "\n".join(lines)


def _option(param: Any) -> str:
    names = ", ".join(sorted([*param.opts, *param.secondary_opts], key=len))
    if param.is_flag:
        return names
    metavar = param.metavar or _kind(param)
    return f"{names} {metavar}".replace("|", "\\|")


def _kind(param: Any) -> str:
    return param.name.upper().replace("_", "-") if param.name else "VALUE"


def _help(param: Any) -> str:
    text = (param.help or "").rstrip(".")
    default = param.default
    if default not in (None, False, "", []) and param.param_type_name == "option":
        shown = f"{default:g}" if isinstance(default, float) else default
        text += f" [default: {shown}]"
    variables = param.envvar if isinstance(param.envvar, list) else [param.envvar]
    text += "".join(f" (`{v}`)" for v in variables if v)
    return text.replace("|", "\\|")


def main() -> None:
    """Rewrite the pages named on the command line."""
    for page in map(Path, sys.argv[1:]):
        head = page.read_text(encoding="utf-8").partition(MARK)[0]
        page.write_text(f"{head}{MARK}{render()}", encoding="utf-8")


if __name__ == "__main__":
    main()
