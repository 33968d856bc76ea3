"""Secrets in text that is stored or shown: found by the environment's names and by their shape.

A secret that a program makes up or fetches by itself, and that has no shape of its own, is not
known here and stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

MASK = "***"
_LEAST = 6
"""Characters of a value that is masked; shorter ones would be found in every other word."""
_LONGEST_PART = 20
"""Characters of a part of a path; a key that starts with a slash has longer ones."""
_NAME = re.compile(
    r"(?:TOKENS?|SECRETS?|PASSWORDS?|PASSWD|PASSPHRASE|CREDENTIALS?|APIKEYS?|AUTHORIZATION)$"
    r"|(?:^|_)(?:PASS|KEYS?|AUTH|ACCESS_KEY_ID)$|^SSHPASS$|_PWD$"
    r"|(?:^|_)(?:TOKEN|SECRET|PASSWORD)_(?!TYPE|NAME|FILE|PATH|DIR|UR[IL])[A-Z0-9]{1,12}$"
    r"|^AWS_.*(?:KEY|SECRET|TOKEN|CREDENTIAL)",
    re.IGNORECASE,
)
_IN_URL = re.compile(r"://[^\s/:@'\"]{0,200}:([^\s/@'\"]{1,500})@")
_INNOCENT = re.compile(r"true|false|none|null|default|[0-9]{1,7}", re.IGNORECASE)
_FORMS = (
    # A long name before the password is a token, too: some services take it for the user's.
    r"(?P<user>://[^\s/:@'\"]{0,19}:)[^\s/@'\"]{1,500}(?=@)"
    r"|(?P<scheme>://)[^\s/:@'\"]{20,200}:[^\s/@'\"]{1,500}(?=@)"
    r"|\b(?:tnr_|gh[oprsu]_|github_pat_|glpat-|hf_|whsec_)[A-Za-z0-9_-]{16,}"
    r"|\bxox[abeprs]-[A-Za-z0-9_-]{10,}"
    r"|\bsk-[A-Za-z0-9_-]{20,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"
)
_HEADERS = (
    r"(?P<header>\b(?:authorization|x-api-key)['\"]?\s{0,3}[:=]\s{0,3}['\"]?"
    r"(?:(?:bearer|basic|token)\s{1,3})?)(?!(?:bearer|basic|token)\b)[^\s'\",;]{4,}"
    r"|(?P<bearer>\bbearer\s{1,3})[A-Za-z0-9._~+/=-]{8,}"
)
_OF_CODE = re.compile(_FORMS, re.IGNORECASE)
_OF_OUTPUT = re.compile(f"{_HEADERS}|{_FORMS}", re.IGNORECASE)
_HINTS = (
    *("://", "bearer", "authorization", "api-key", "tnr_", "github_pat_", "glpat-", "hf_", "xox"),
    *("gho_", "ghp_", "ghr_", "ghs_", "ghu_", "whsec_", "sk-", "akia", "asia", "eyj"),
)
_PRIVATE_KEY = re.compile(
    r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)(.{1,20000}?)(?=-----END )", re.DOTALL
)
_WORD = r"(?:pass(?:word|wd|phrase)|secret|token|credential|api_?key|access_?key|auth(?!or))"
_ASSIGNED = re.compile(
    rf"""(?P<head>\b\w{{0,40}}{_WORD}\w{{0,40}}["']?\s{{0,4}}[:=]\s{{0,4}})"""
    r"""(?P<quote>["'])(?P<value>[^"'\s]{6,500})(?P=quote)""",
    re.IGNORECASE,
)


class Masker:
    """Puts `***` in place of secrets.

    Args:
        secrets: texts that are hidden wherever they stand, as they are, percent-encoded, or as
            strings of JSON or Python.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        lines = {line.strip() for secret in secrets for line in secret.splitlines()}
        known = {one for line in lines if len(line) >= _LEAST for one in _spellings(line)}
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
        """Return what a program printed or raised without secrets."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        lower = text.lower()
        if not any(hint in lower for hint in _HINTS):
            return text
        return _OF_OUTPUT.sub(_hidden, text)

    def mask_code(self, text: str) -> tuple[str, int]:
        """Return code, or a part of it, without secrets, and how many were replaced.

        Code speaks of headers and holds none, so those are left; private keys go, and quoted values
        given to names such as `password`. Line ends stay, so that a diff keeps its shape.
        """
        count = 0
        if self._known is not None:
            text, count = self._known.subn(MASK, text)
        text, keys = _PRIVATE_KEY.subn(lambda m: m[1] + _each_line(m[2]), text)
        text, forms = _OF_CODE.subn(_hidden, text)
        text, assigned = _ASSIGNED.subn(_masked_value, text)
        return text, count + keys + forms + assigned

    def cut(self, text: str, most: int) -> int:
        """Return where to cut a text, at `most` or before, so that no secret is cut in two."""
        at = most
        for pattern in (self._known, _OF_OUTPUT):
            for found in pattern.finditer(text) if pattern is not None else ():
                if found.start() < at < found.end():
                    at = found.start()
        return at


def is_secret(name: str, value: str) -> bool:
    """Tell whether an environment variable holds a secret, by its name and its value's look."""
    if _INNOCENT.fullmatch(value) or _is_path(value):
        return False
    return _NAME.search(name) is not None


def _is_path(value: str) -> bool:
    return value.startswith("/") and max(map(len, value.split("/"))) < _LONGEST_PART


def _spellings(secret: str) -> tuple[str, ...]:
    return secret, quote(secret, ""), json.dumps(secret)[1:-1], repr(secret)[1:-1]


def _hidden(found: re.Match[str]) -> str:
    return next((text for text in found.groups() if text is not None), "") + MASK


def _each_line(body: str) -> str:
    return re.sub(r"(?m)^([+\- ]?+)\S.*$", lambda m: m[1] + MASK, body)


def _masked_value(found: re.Match[str]) -> str:
    return f"{found['head']}{found['quote']}{MASK}{found['quote']}"
