"""Secrets in what trials print and raise: found by the environment's names and by their shape.

A secret that a trial makes up or fetches by itself, and that has no shape of its own, is not known
here and stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

MASK = "***"
_LEAST = 6
"""Characters of a value that is masked; shorter ones would be found in every other word."""
_NAME = re.compile(
    r"(?:^|_)(?:TOKENS?|SECRETS?|PASSWORDS?|PASSWD|PASSPHRASE|PASS|CREDENTIALS?|KEYS?|APIKEYS?"
    r"|ACCESS_KEY_ID|AUTHORIZATION)$"
    r"|(?:^|_)(?:TOKEN|SECRET|PASSWORD)_(?!TYPE|NAME|FILE|PATH|DIR|UR[IL])[A-Z0-9]{1,12}$"
    r"|^AWS_.*(?:KEY|SECRET|TOKEN|CREDENTIAL)",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"://[^\s/:@'\"]{0,200}:([^\s/@'\"]{1,500})@")
_INNOCENT = re.compile(r"true|false|none|null|default|[0-9]{1,7}", re.IGNORECASE)
_SHAPES = re.compile(
    r"(?P<header>\b(?:authorization|x-api-key)['\"]?\s{0,3}[:=]\s{0,3}['\"]?"
    r"(?:(?:bearer|basic|token)\s{1,3})?)(?!(?:bearer|basic|token)\b)[^\s'\",;]{4,}"
    r"|(?P<bearer>\bbearer\s{1,3})[A-Za-z0-9._~+/=-]{8,}"
    r"|(?P<user>://[^\s/:@'\"]{0,200}:)[^\s/@'\"]{1,500}(?=@)"
    r"|\b(?:tnr_|gh[oprsu]_|github_pat_|glpat-|hf_|xox[abeprs]-|whsec_)[A-Za-z0-9_-]{16,}"
    r"|\bsk-[A-Za-z0-9_-]{20,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    re.IGNORECASE,
)
_HINTS = (
    *("://", "bearer", "authorization", "api-key", "tnr_", "github_pat_", "glpat-", "hf_", "xox"),
    *("gho_", "ghp_", "ghr_", "ghs_", "ghu_", "whsec_", "sk-", "akia", "asia"),
)


class Masker:
    """Puts `***` in place of secrets.

    Args:
        secrets: texts that are hidden wherever they stand, as they are or percent-encoded.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        lines = {line.strip() for secret in secrets for line in secret.splitlines()}
        known = {one for line in lines if len(line) >= _LEAST for one in (line, quote(line, ""))}
        self._known = (
            re.compile("|".join(re.escape(one) for one in sorted(known, key=len, reverse=True)))
            if known
            else None
        )
        self.longest = max(map(len, known), default=0)

    @classmethod
    def of(cls, environment: Mapping[str, str], *more: str | None) -> Masker:
        """Return one that knows the secrets of an environment, by the names there, and `more`."""
        held = [value for name, value in environment.items() if is_secret(name, value)]
        held += [word for value in environment.values() for word in _IN_URL.findall(value)]
        return cls([*held, *(one for one in more if one)])

    def mask(self, text: str) -> str:
        """Return the text without secrets."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        lower = text.lower()
        if not any(hint in lower for hint in _HINTS):
            return text
        return _SHAPES.sub(_hidden, text)

    def cut(self, text: str, most: int) -> int:
        """Return where to cut a text, at `most` or before, so that no secret is cut in two."""
        at = most
        for pattern in (self._known, _SHAPES):
            for found in pattern.finditer(text) if pattern is not None else ():
                if found.start() < at < found.end():
                    at = found.start()
        return at


def is_secret(name: str, value: str) -> bool:
    """Tell whether an environment variable holds a secret, by its name and its value's look."""
    if _INNOCENT.fullmatch(value) or value.startswith("/"):
        return False
    return _NAME.search(name) is not None


def _hidden(found: re.Match[str]) -> str:
    return next((text for text in found.groups() if text is not None), "") + MASK
