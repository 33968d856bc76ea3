"""What a worker's configuration lets studies run. Pure; asked by the server and by the worker.

Patterns of entrypoints are shell patterns over `package.module:function`. A pattern of commands is
written as a command line and cut into words as a shell cuts it. Each word must match one argument,
as a whole: `?` is a character and `*` any number of them, but neither ever stands for a `/`; `**`
stands for any characters at all. No wildcard stands for a part `..` or `.` of a path, nor begins an
option. A last word `*` alone stands for all further arguments, whatever they are.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache

from tuner.errors import InvalidInput

_STARS = re.compile(r"(\*+)")
_DOTS = re.compile(r"(?<![\w.-])\.{1,2}(?![\w.-])")
_OPTION = re.compile(r"-(?![0-9.])")
_REST = "*"


def allows_entrypoint(patterns: Iterable[str], entrypoint: str) -> bool:
    """Tell whether one of the patterns lets a function run."""
    return any(fnmatchcase(entrypoint, pattern) for pattern in patterns)


def allows_variable(patterns: Iterable[str], name: str) -> bool:
    """Tell whether one of the patterns lets a study set an environment variable."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def allows_command(patterns: Iterable[str], argv: Sequence[str]) -> bool:
    """Tell whether one of the patterns lets a program run with these arguments."""
    return any(_matches(words_of(pattern), argv) for pattern in patterns)


@lru_cache(maxsize=4096)
def words_of(pattern: str) -> tuple[str, ...]:
    """Cut a pattern of commands into its words.

    Raises:
        InvalidInput: a quote is left open, or there is no word.
    """
    try:
        words = tuple(shlex.split(pattern))
    except ValueError as exc:
        raise InvalidInput(f"the pattern {pattern!r} can't be cut into words: {exc}") from exc
    if not words:
        raise InvalidInput("a pattern of commands names at least the program")
    return words


def checked_pattern(pattern: str) -> str:
    """Return a pattern of commands as it is.

    Raises:
        ValueError: a quote is left open, or there is no word.
    """
    try:
        words_of(pattern)
    except InvalidInput as exc:
        raise ValueError(exc.detail) from exc
    return pattern


def _matches(words: Sequence[str], argv: Sequence[str]) -> bool:
    if len(words) > 1 and words[-1] == _REST:
        words = words[:-1]
        argv = argv[: len(words)]
    return len(words) == len(argv) and all(
        _is_like(word, argument) for word, argument in zip(words, argv, strict=True)
    )


def _is_like(word: str, argument: str) -> bool:
    if word == argument:
        return True
    if word.startswith(("*", "?")) and _OPTION.match(argument):
        return False
    return _regex(word).fullmatch(argument) is not None and _dots(argument) <= _dots(word)


def _dots(text: str) -> int:
    """Count the parts of a path that lead elsewhere than they read."""
    return len(_DOTS.findall(text))


@lru_cache(maxsize=4096)
def _regex(word: str) -> re.Pattern[str]:
    """Translate a word; each star takes the shortest text that fits, so that time stays linear."""
    first, *rest = _STARS.split(word)
    pairs = list(zip(rest[::2], rest[1::2], strict=True))
    parts = [_literal(first)]
    for i, (stars, text) in enumerate(pairs):
        some = "[^/]" if stars == "*" else "."
        last = i == len(pairs) - 1
        parts.append(f"{some}*{_literal(text)}" if last else f"(?>{some}*?{_literal(text)})")
    return re.compile("".join(parts), re.DOTALL)


def _literal(text: str) -> str:
    return "[^/]".join(map(re.escape, text.split("?")))
