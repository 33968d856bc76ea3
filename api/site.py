"""The dashboard's files: found at start, compressed once, served under a name of their content."""

from __future__ import annotations

import gzip
import hashlib
import json
import posixpath
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

FOLDER = Path(__file__).parent / "dashboard"
PAGE = "/"
ASSETS = "/assets/{version}/{file:path}"
_INDEX = "index.html"
_MEDIA = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_MODULES = {
    "preact": "vendor/preact.js",
    "preact/hooks": "vendor/preact-hooks.js",
    "@preact/signals-core": "vendor/signals-core.js",
    "@preact/signals": "vendor/signals.js",
    "htm": "vendor/htm.js",
    "uplot": "vendor/uplot.js",
    "echarts": "vendor/echarts.js",
    "js-yaml": "vendor/js-yaml.js",
}
"""What modules import by name, and the file it is."""
_FIRST = "main.js"
_IMPORTS = re.compile(r"""^import\b[^"'(]*["']([^"']+)["']""", re.MULTILINE)
"""What a module needs before it runs; not `import(...)`, by which it reads others later."""


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A file of the dashboard."""

    body: bytes
    media: str

    @cached_property
    def packed(self) -> bytes:
        """The body, compressed by gzip."""
        return gzip.compress(self.body, 9, mtime=0)


@dataclass(frozen=True, kw_only=True)
class Site:
    """The dashboard: the page, its files by path, and what the browser may do there."""

    page: bytes
    files: Mapping[str, Asset]
    headers: Mapping[str, str]


@cache
def site() -> Site:
    """Return the dashboard as it stands on disk when first asked for.

    The files' paths carry a digest of all of them, so that browsers may keep them for ever and
    never mix two versions; relative ones, so that the page works under any path prefix.
    """
    bodies = {
        path.relative_to(FOLDER).as_posix(): path.read_bytes()
        for path in sorted(FOLDER.rglob("*"))
        if path.suffix in _MEDIA
    }
    digest = hashlib.sha256()
    for name, body in bodies.items():
        digest.update(f"{name}\0{len(body)}\0".encode() + body)
    root = f"assets/{digest.hexdigest()[:12]}"
    imports = json.dumps({"imports": {k: f"./{root}/{v}" for k, v in _MODULES.items()}})
    early = _needed(bodies)
    links = "\n".join(f'<link rel="modulepreload" href="{root}/{name}">' for name in early)
    page = (FOLDER / _INDEX).read_text("utf-8")
    for mark, text in (("{root}", root), ("{imports}", imports), ("{preloads}", links)):
        page = page.replace(mark, text)
    return Site(
        page=page.encode(),
        files={
            f"/{root}/{name}": Asset(body=body, media=_MEDIA[Path(name).suffix])
            for name, body in bodies.items()
        },
        headers=_headers(imports),
    )


def _needed(bodies: Mapping[str, bytes]) -> list[str]:
    """Return the modules that run before the page shows anything, by their names."""
    found: list[str] = []
    open_ = [_FIRST]
    while open_:
        name = open_.pop()
        if name in found:
            continue
        found.append(name)
        if name.startswith("vendor/"):
            continue
        for target in _IMPORTS.findall(bodies[name].decode()):
            near = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
            open_.append(_MODULES.get(target, near))
    return sorted([*found, "vendor/signals-core.js"])


def _headers(imports: str) -> dict[str, str]:
    """Return the page's headers: nothing from elsewhere, no script in the page but the map."""
    allowed = b64encode(hashlib.sha256(imports.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'self' 'sha256-{allowed}'; style-src 'self'; "
        "img-src 'self' data: blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "same-origin",
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
    }
