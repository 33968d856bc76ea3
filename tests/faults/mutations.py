"""Break each promise on purpose: the test of the promise must then fail.

`python -m tests.faults.mutations [WORD...]` takes the mutations that any of the words occurs in, or
all. Each is applied to a copy of the tree, where its test runs in its short form. What can't be
shown so: `synchronous=FULL` and fsync guard against the loss of power, which `kill -9` is not.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.faults.mutations_of_the_store import MUTATIONS as OF_THE_STORE
from tests.faults.mutations_of_webhooks import MUTATIONS as OF_WEBHOOKS
from tests.faults.mutations_of_workers import MUTATIONS as OF_WORKERS
from tests.serving import ROOT, environment

PATIENCE_S = 600.0
_TESTS = Path("tests/faults")


class Mutation(NamedTuple):
    """What stands once in a file, what takes its place, and the test that must then fail."""

    promise: str
    file: str
    old: str
    new: str
    test: str

    def apply(self, root: Path) -> None:
        """Change the file under `root`."""
        file = root / self.file
        file.write_text(self.applied(file.read_text()))

    def applied(self, text: str) -> str:
        """Return a file's changed text. Raises ValueError if it has no one place for it."""
        if (places := text.count(self.old)) != 1:
            raise ValueError(f"{self.file} has {places} places for: {self.old.strip()}")
        return text.replace(self.old, self.new)


class Verdict(NamedTuple):
    """Whether a test did what was expected, and what it said."""

    good: bool
    said: str


MUTATIONS = [Mutation(*row) for row in (*OF_THE_STORE, *OF_WEBHOOKS, *OF_WORKERS)]


def copy_tree(target: Path) -> Path:
    """Copy the tree, as git sees it, and return a Python that imports from the copy."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (source := ROOT / name).is_file():
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place)
    venv.create(target / ".venv", symlinks=True)
    (packages,) = (target / ".venv").glob("lib/python*/site-packages")
    ours = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    lines = [str(target), *(f"import site; site.addsitedir({path!r})" for path in sorted(ours))]
    (packages / "copy.pth").write_text("".join(f"{line}\n" for line in lines))
    return target / ".venv/bin/python"


def run(test: str, mutation: Mutation | None) -> Verdict:
    """Run a test in a copy of the tree: it must fail if that was mutated, else pass."""
    with tempfile.TemporaryDirectory(prefix="tuner-mutation-") as folder:
        root = Path(folder)
        python = copy_tree(root)
        if mutation is not None:
            mutation.apply(root)
        command = [python, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
        command += ["--basetemp", root / "tmp", _TESTS / test]
        try:
            ran = subprocess.run(
                list(map(str, command)),
                cwd=root,
                env=environment(root, CI="1"),
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Verdict(good=False, said="it took too long")
    return _verdict(ran.returncode, ran.stdout + ran.stderr, mutated=mutation is not None)


def _verdict(code: int, output: str, *, mutated: bool) -> Verdict:
    said = re.findall(r"^E +(\S.*)$", output, re.MULTILINE) or output.splitlines()[-1:]
    failed = code == 1 and re.search(r"^.*\b\d+ failed\b", output, re.MULTILINE) is not None
    if not mutated:
        return Verdict(good=code == 0, said="passes" if code == 0 else said[0])
    return Verdict(good=failed, said=said[0] if failed else f"NOT FAILED ({code}): {said[0]}")


def chosen(words: Sequence[str]) -> list[Mutation]:
    """Return the mutations that any of the words occurs in, all if there are no words."""
    return [m for m in MUTATIONS if not words or any(w in "\n".join(m) for w in words)]


def lines(found: Sequence[Mutation], jobs: int) -> Iterator[tuple[bool, str]]:
    """Yield whether each run went as it must, and its line of the table."""
    tests = list(dict.fromkeys(m.test for m in found))
    with ThreadPoolExecutor(jobs) as pool:
        for test, verdict in zip(tests, pool.map(lambda t: run(t, None), tests), strict=True):
            yield verdict.good, f"{'unchanged':<42} {test:<48} {verdict.said[:90]}"
        for mutation, verdict in zip(found, pool.map(lambda m: run(m.test, m), found), strict=True):
            gone = next(iter(mutation.old.strip().splitlines()), "")
            yield verdict.good, f"{mutation.promise:<42} {mutation.test:<48} {verdict.said[:90]}"
            yield True, f"{'':<42} {mutation.file}: {gone[:90]}"


def main() -> int:
    """Print the table; return 1 if a mutation went unnoticed, or a test fails without any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    found, bad = chosen(given.words), 0
    for good, line in lines(found, given.jobs):
        bad += not good
        print(line if good else f"{line}   <-- WRONG", flush=True)
    print(f"{len(found)} mutations, {bad} wrong")
    return 1 if bad or not found else 0


if __name__ == "__main__":
    sys.exit(main())
