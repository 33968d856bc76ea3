"""The audit passes without a look only where the service of vulnerabilities is out of reach."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.serving import ROOT

PYTHON = """#!/usr/bin/env bash
# pip-audit first, then the look whether the service answers.
if [ "$1 $2" = "-m pip_audit" ]; then
  while [ $# -gt 0 ]; do [ "$1" = --output ] && out=$2; shift; done
  printf '%s' "$FOUND" > "$out"
  echo 'what went wrong' >&2
  exit "$AUDIT"
fi
exit "$PROBE"
"""


@pytest.mark.parametrize(
    ("audit", "found", "probe", "code", "says"),
    [
        (0, "", 0, 0, "audited: no known vulnerabilities"),
        # It found something, whether or not the service can be reached any more.
        (1, "requests 2.0 PYSEC-1", 0, 1, "PYSEC-1"),
        (1, "requests 2.0 PYSEC-1", 1, 1, "PYSEC-1"),
        # It broke off where the service answers: a crash, a time-out, a file it can't read.
        (1, "", 0, 1, "error: not audited, although"),
        (124, "", 0, 1, "what went wrong"),
        (2, "", 0, 1, "error: not audited, although"),
        # Nothing answers.
        (1, "", 1, 0, "NOTICE: not audited"),
        (124, "", 1, 0, "NOTICE: not audited"),
    ],
)
def test_what_the_audit_ends_with(
    tmp_path: Path, audit: int, found: str, probe: int, code: int, says: str
) -> None:
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o700)
    ran = subprocess.run(
        [ROOT / ".ci" / "audit", python],
        env={**os.environ, "AUDIT": str(audit), "FOUND": found, "PROBE": str(probe)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == code, ran.stderr
    assert says in ran.stdout + ran.stderr
