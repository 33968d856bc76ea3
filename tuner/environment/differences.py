"""What two environments differ in, and what that says of repeating a trial."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

from tuner.environment import packages
from tuner.wire.environments import Code, EnvironmentView

_NUMERIC = (
    "accelerate", "flax", "jax", "jaxlib", "keras", "lightning", "numpy", "optax",
    "pytorch-lightning", "scikit-learn", "scipy", "tensorflow", "torch", "torchvision",
    "transformers", "triton", "tuner",
)  # fmt: skip
_SHORT = 12


class Weight(IntEnum):
    """How much a difference may change: nothing likely, the last digits, or everything."""

    SLIGHT = 0
    DIGITS = 1
    CODE = 2


class Difference(NamedTuple):
    """One thing that is not as recorded."""

    what: str
    recorded: str
    here: str
    weight: Weight


def differences(recorded: EnvironmentView, here: EnvironmentView) -> list[Difference]:
    """Return what differs, the weightiest first."""
    found = [
        *_code(recorded.code, here.code),
        *_packages(recorded.packages, here.packages),
        *_machine(recorded, here),
    ]
    return sorted(found, key=lambda one: -one.weight)


def verdict(found: Sequence[Difference]) -> str:
    """Say in a sentence what to expect of a repetition."""
    weight = max((one.weight for one in found), default=None)
    if weight is None:
        return "the environment is as recorded"
    if weight is Weight.CODE:
        return "other code than recorded: the curve may differ in everything"
    if weight is Weight.DIGITS:
        return "same code, other machine or packages: the curve may differ in its last digits"
    return "same code and machine but for details that should not matter"


def _code(recorded: Code, here: Code) -> Iterator[Difference]:
    if recorded.kind == "none":
        note = recorded.note or "unknown"
        yield Difference("code", note, here.commit or here.kind, Weight.CODE)
        return
    if recorded.kind != here.kind:
        yield Difference("code", _named(recorded), _named(here), Weight.CODE)
        return
    if recorded.commit != here.commit:
        yield Difference("commit", _named(recorded), _named(here), Weight.CODE)
    if _changes(recorded) != _changes(here):
        yield Difference("uncommitted changes", _dirt(recorded), _dirt(here), Weight.CODE)
    elif recorded.masked != here.masked:
        before, now = (f"{code.masked} masked" for code in (recorded, here))
        yield Difference("secrets in the code", before, now, Weight.SLIGHT)
    yield from _files(recorded, here)
    if recorded.branch != here.branch:
        yield Difference("branch", recorded.branch or "-", here.branch or "-", Weight.SLIGHT)


def _files(recorded: Code, here: Code) -> Iterator[Difference]:
    """Compare hashes; a file that is new here, beside a commit, changes nothing by itself."""
    for name in sorted(recorded.files.keys() | here.files.keys()):
        old, new = recorded.files.get(name), here.files.get(name)
        if old == new:
            continue
        slight = recorded.kind == "git" and old is None
        weight = Weight.SLIGHT if slight else Weight.CODE
        yield Difference(name, (old or "absent")[:_SHORT], (new or "absent")[:_SHORT], weight)


def _packages(recorded: dict[str, str], here: dict[str, str]) -> Iterator[Difference]:
    for name, (old, new) in packages.changed(recorded, here).items():
        weight = Weight.DIGITS if name.lower() in _NUMERIC else Weight.SLIGHT
        yield Difference(name, old or "absent", new or "absent", weight)


def _machine(recorded: EnvironmentView, here: EnvironmentView) -> Iterator[Difference]:
    old, new = recorded.machine, here.machine
    facts = (
        ("python", old.python, new.python, Weight.DIGITS),
        ("processor", old.cpu, new.cpu, Weight.DIGITS),
        ("GPUs", ", ".join(old.gpus), ", ".join(new.gpus), Weight.DIGITS),
        ("GPU driver", old.driver, new.driver, Weight.DIGITS),
        ("CUDA", old.cuda, new.cuda, Weight.DIGITS),
        ("system", old.os, new.os, Weight.SLIGHT),
        ("host", old.host, new.host, Weight.SLIGHT),
    )
    for what, before, now, weight in facts:
        if before != now:
            yield Difference(what, before or "none", now or "none", weight)
    for name in sorted(old.variables.keys() | new.variables.keys()):
        before, now = old.variables.get(name, "unset"), new.variables.get(name, "unset")
        if before != now:
            yield Difference(name, before, now, Weight.DIGITS)


def _changes(code: Code) -> str:
    """Return the diff without git's hashes of files, which stand for masked secrets, too."""
    lines = code.diff.splitlines()
    kept = [line for line in lines if not line.startswith("index ")]
    return "\n".join([*kept, str(code.diff_size)])


def _named(code: Code) -> str:
    if code.kind != "git":
        return "files without git" if code.kind == "files" else "unknown"
    branch = f" ({code.branch})" if code.branch else ""
    return f"{(code.commit or 'no commit')[:_SHORT]}{branch}"


def _dirt(code: Code) -> str:
    if not code.diff_size:
        return "none"
    files = code.diff.count("\ndiff --git ") + code.diff.startswith("diff --git ")
    masked = f", {_count(code.masked, 'secret')} masked" if code.masked else ""
    return f"{_count(files, 'file')}, {code.diff_size} characters{masked}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else f'{noun}s'}"
