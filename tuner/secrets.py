"""Secrets in text that is stored or shown, replaced by a mark."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

MASK = "***"
_SHORTEST = 8
_WORD = r"(?:pass(?:word|wd|phrase)|secret|token|credential|api_?key|access_?key|auth(?!or))"
_NAMES = re.compile(_WORD, re.IGNORECASE)
_FORMS = re.compile(
    r"""
      AKIA[0-9A-Z]{16}                                     # AWS access key id
    | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_\w{20,}      # GitHub
    | glpat-[\w-]{20,}                                     # GitLab
    | hf_[A-Za-z0-9]{20,} | sk-[A-Za-z0-9_-]{20,}          # Hugging Face, OpenAI
    | xox[abprs]-[\w-]{10,}                                # Slack
    | tnr_[A-Za-z0-9_-]{20,}                               # tuner's own
    | eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}             # JSON web tokens
    | (?<=://)[^\s/:@]{0,200}:[^\s/@]{1,200}(?=@)          # user:password in a URL
    """,
    re.VERBOSE,
)
_PRIVATE_KEY = re.compile(
    r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)(.{1,20000}?)(?=-----END )", re.DOTALL
)
_ASSIGNED = re.compile(
    rf"""(?P<head>\b\w{{0,40}}{_WORD}\w{{0,40}}["']?\s{{0,4}}[:=]\s{{0,4}})"""
    r"""(?P<quote>["'])(?P<value>[^"'\s]{6,500})(?P=quote)""",
    re.IGNORECASE,
)


def names_secret(name: str) -> bool:
    """Tell whether a variable of this name holds a secret."""
    return _NAMES.search(name) is not None


def secret_values(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of variables that hold secrets, the longest first."""
    found = {v for k, v in variables.items() if names_secret(k) and len(v) >= _SHORTEST}
    return tuple(sorted(found, key=len, reverse=True))


def mask(text: str, known: Iterable[str] = ()) -> tuple[str, int]:
    """Replace secrets in `text` by `MASK`: the `known` values, and what has a secret's form.

    Forms are keys of well-known services, private keys, passwords in URLs, and quoted values
    assigned to names such as `password`. Line ends stay, so that a diff keeps its shape.

    Returns:
        The text, and how many were replaced.
    """
    count = 0
    for value in known:
        count += text.count(value)
        text = text.replace(value, MASK)
    text, keys = _PRIVATE_KEY.subn(lambda m: m[1] + _each_line(m[2]), text)
    text, forms = _FORMS.subn(MASK, text)
    text, assigned = _ASSIGNED.subn(_masked_value, text)
    return text, count + keys + forms + assigned


def _each_line(body: str) -> str:
    return re.sub(r"(?m)^([+\- ]?+)\S.*$", lambda m: m[1] + MASK, body)


def _masked_value(found: re.Match[str]) -> str:
    return f"{found['head']}{found['quote']}{MASK}{found['quote']}"
