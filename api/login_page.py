"""The log-in page: HTML and CSS without scripts, nothing from elsewhere."""

from __future__ import annotations

from html import escape

POLICY = (
    "default-src 'none'; style-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in · tuner</title>
<link rel="stylesheet" href="login.css">
</head>
<body>
<main>
<h1>tuner</h1>
<form method="post" action="session">
{fault}<input type="hidden" name="next" value="{target}">
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button type="submit">Log in</button>
</form>
<p>An admin makes one with <code>tuner token create</code>. The first one was printed when the
server started first.</p>
</main>
</body>
</html>
"""
CSS = """:root { color-scheme: light dark; font-family: system-ui, sans-serif; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; }
main { width: min(22rem, 90vw); }
h1 { font-weight: 600; }
form { display: grid; gap: .5rem; }
input, button { font: inherit; padding: .5rem .75rem; border-radius: .4rem; border: 1px solid; }
button { cursor: pointer; margin-top: .5rem; }
.fault { margin: 0; padding: .5rem .75rem; border-left: 4px solid #c0392b; }
p { opacity: .8; font-size: .9rem; }
"""


def page(target: str, fault: str = "") -> str:
    """Return the page, which leads to `target` after the log-in."""
    told = f'<p class="fault" role="alert">{escape(fault)}</p>\n' if fault else ""
    return _PAGE.format(fault=told, target=escape(target, quote=True))


def safe_target(given: str | None) -> str:
    """Return a path of this server to lead to: what was given, if it is one.

    One that begins with `./` is taken from where the server's own pages are, below any prefix.
    """
    path = (given or "").removeprefix(".")
    if given and path.startswith("/") and path[1:2] not in ("/", "\\") and given.isprintable():
        return given
    return "./"
