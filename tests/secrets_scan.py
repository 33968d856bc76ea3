"""Look for secrets in the repository's files; `python -m tests.secrets_scan` writes the baseline.

What is found and harmless (examples, checksums) is in the baseline by file and hash, not by line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import default_settings

ROOT = Path(__file__).parents[1]
BASELINE = ROOT / ".secrets.baseline"
FOLDERS = (".ci", "api", "benchmarks", "docs", "examples", "storage", "tests", "tuner")
NOT_OURS = (".ci/tsc/node_modules/", "api/dashboard/vendor/", "api/static/swagger-ui/")
BINARY = (".db", ".gz", ".npz", ".png", ".pyc", ".zip", ".zst")
Found = set[tuple[str, str, str]]


def files(root: Path) -> Iterator[str]:
    """Yield the files that are looked through, relative to the root."""
    beside = (path for path in root.iterdir() if path.is_file() and path != BASELINE)
    within = (path for folder in FOLDERS for path in (root / folder).rglob("*") if path.is_file())
    for path in (*beside, *within):
        name = path.relative_to(root).as_posix()
        if path.suffix not in BINARY and not name.startswith(NOT_OURS):
            yield name


def scan(root: Path) -> Found:
    """Return what looks like a secret: file, kind and hash."""
    secrets = SecretsCollection(root=str(root))
    with default_settings():
        for name in files(root):
            secrets.scan_file(name)
    return {(name, secret.type, secret.secret_hash) for name, secret in secrets}


def known() -> Found:
    """Return what the baseline says is harmless."""
    return {(*row,) for row in json.loads(BASELINE.read_text())}


if __name__ == "__main__":
    rows = ",\n".join(json.dumps(row) for row in sorted(scan(ROOT)))
    BASELINE.write_text(f"[\n{rows}\n]\n")
