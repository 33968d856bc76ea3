"""The files of the interactive page: which are served, where, and what a browser may do there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
PAGE = "/docs"
FILES: Mapping[str, tuple[str, str]] = {
    PAGE: ("docs.html", "text/html; charset=utf-8"),
    f"{PAGE}/docs.css": ("docs.css", "text/css; charset=utf-8"),
    f"{PAGE}/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    f"{PAGE}/swagger-ui.css": ("swagger-ui/swagger-ui.css", "text/css; charset=utf-8"),
    f"{PAGE}/swagger-ui-bundle.js": (
        "swagger-ui/swagger-ui-bundle.js",
        "text/javascript; charset=utf-8",
    ),
}
"""File and media type by path. They are the same on every server of a version, and open."""
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
