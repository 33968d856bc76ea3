"""The state of code, packages and machine: recorded with real repositories, and compared."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tuner.environment import (
    Recorder,
    Weight,
    What,
    differences,
    digest_of,
    variables_again,
    verdict,
)
from tuner.environment.code import CodeWatcher
from tuner.environment.machine import devices as devices_of
from tuner.environment.packages import changed, installed, installed_for
from tuner.wire import Code, EnvironmentView, GivenCode, Machine
from tuner.wire.environments import LONGEST_DIFF

HIDDEN = "Zq8vK2mW4xYt6bNc"


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example")
    done = subprocess.run(
        ["git", *identity, "-C", str(folder), *arguments],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    package = root / "src" / "pkg"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "train.py").write_text("def main(trial):\n    return 1.0\n")
    (root / "train.py").write_text("print('hello')\n")
    (root / ".gitignore").write_text("ignored.py\n")
    git(tmp_path, "init", "-q", "-b", "work", str(root))
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    return root


def entrypoint(root: Path) -> What:
    return What(kind="entrypoint", words=("pkg.train:main",), folder=root / "src")


def command(root: Path, *words: str) -> What:
    return What(kind="command", words=words or ("python", "train.py"), folder=root)


def state(what: What) -> GivenCode:
    return CodeWatcher().state(what)


def test_a_clean_commit(repository: Path) -> None:
    found = state(entrypoint(repository))
    assert found.kind == "git"
    assert found.commit == git(repository, "rev-parse", "HEAD")
    assert (found.branch, found.folder, found.diff, found.files) == ("work", "src", "", {})
    assert found.root == str(repository)
    assert state(command(repository)).commit == found.commit


def test_changes_and_files_that_git_does_not_track(repository: Path) -> None:
    (repository / "train.py").write_text("print('changed')\n")
    (repository / "new file.py").write_text("x = 1\n")
    (repository / "ignored.py").write_text("x = 1\n")
    (repository / "data.bin").write_bytes(b"\0")
    found = state(command(repository))
    assert "+print('changed')" in found.diff
    assert found.diff_size == len(found.diff)
    assert list(found.files) == ["new file.py"]


def test_a_diff_restores_the_files(repository: Path, tmp_path: Path) -> None:
    (repository / "train.py").write_text("print('changed')\n")
    (repository / "src" / "pkg" / "blob.bin").write_bytes(bytes(range(256)))
    git(repository, "add", "-A")
    git(repository, "mv", "src/pkg/train.py", "src/pkg/moved.py")
    found = state(command(repository))
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    subprocess.run(["git", "-C", str(clone), "apply", "-"], input=found.diff.encode(), check=True)
    assert (clone / "train.py").read_text() == "print('changed')\n"
    assert (clone / "src" / "pkg" / "moved.py").exists()
    assert (clone / "src" / "pkg" / "blob.bin").read_bytes() == bytes(range(256))


def test_secrets_in_a_diff_are_masked(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_TOKEN", HIDDEN)
    (repository / "train.py").write_text(f"use({HIDDEN!r})\npassword = 'correct-horse'\n")
    found = state(command(repository))
    assert HIDDEN not in found.diff
    assert "correct-horse" not in found.diff
    assert found.masked == 2
    (repository / "train.py").write_text("print('hello')\n")
    git(repository, "remote", "add", "origin", f"https://ann:{HIDDEN}@git.example/x.git")
    assert state(command(repository)).remote == "https://ann:***@git.example/x.git"


def test_a_long_diff_is_cut_and_says_so(repository: Path) -> None:
    (repository / "train.py").write_text("x = 1\n" * 100_000)
    found = state(command(repository))
    assert len(found.diff) == LONGEST_DIFF < found.diff_size
    assert "cut" in found.note


def test_text_that_is_not_unicode_can_be_sent(repository: Path) -> None:
    (repository / "train.py").write_bytes(b"x = '\xff\xed\xa0\x80'\n# \0\n")
    found = state(command(repository))
    assert found.diff.encode()
    assert "\0" not in found.diff


def test_only_what_changed_is_looked_at_again(repository: Path) -> None:
    watcher, what = CodeWatcher(), command(repository)
    first = watcher.state(what)
    watcher._seen[what] = _expired(watcher, what)
    assert watcher.state(what) is first
    (repository / "train.py").write_text("print('changed')\n")
    watcher._seen[what] = _expired(watcher, what)
    assert "changed" in watcher.state(what).diff


def _expired(watcher: CodeWatcher, what: What) -> Any:
    from dataclasses import replace

    return replace(watcher._seen[what], until=0.0)


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", str(tmp_path))
    (tmp_path / "train.py").write_text("")
    git(tmp_path, "add", "-A")
    found = state(command(tmp_path))
    assert (found.kind, found.commit) == ("git", None)


def test_without_git_files_are_hashed(tmp_path: Path) -> None:
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "train.py").write_text("a = 1\n")
    (package / "notes.txt").write_text("")
    what = What(kind="entrypoint", words=("pkg.train:main",), folder=tmp_path)
    found = state(what)
    assert (found.kind, sorted(found.files)) == ("files", ["__init__.py", "train.py"])
    (package / "train.py").write_text("a = 2\n")
    assert state(what).files["train.py"] != found.files["train.py"]


def test_a_script_outside_of_git(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    found = state(command(tmp_path, "python", "train.py", "--lr={lr}"))
    assert (found.kind, list(found.files)) == ("files", ["train.py"])


def test_an_environment_in_a_repository_is_not_that_repositorys_code(repository: Path) -> None:
    """What git ignores, such as installed packages, is hashed by itself."""
    inner = repository / "venv" / "lib"
    (inner / "pkg").mkdir(parents=True)
    (inner / "pkg" / "__init__.py").write_text("")
    (repository / ".gitignore").write_text("venv\n")
    git(repository, "commit", "-q", "-a", "-m", "second")
    what = What(kind="entrypoint", words=("pkg:main",), folder=inner)
    assert state(what).kind == "files"


def test_code_that_is_not_there(tmp_path: Path) -> None:
    found = state(What(kind="entrypoint", words=("nowhere_at_all:main",), folder=tmp_path))
    assert found.kind == "none"
    assert "nowhere_at_all" in found.note


@pytest.mark.parametrize(
    ("run", "kind", "words"),
    [
        ({"task": "digits-mlp", "device": "cpu"}, "task", ("digits-mlp",)),
        ({"entrypoint": "a.b:c"}, "entrypoint", ("a.b:c",)),
        (
            {"command": ["python", ["--r", "{x}"], "t.py"]},
            "command",
            ("python", "--r", "{x}", "t.py"),
        ),
        ("external", "loop", None),
    ],
)
def test_what_a_study_runs(run: object, kind: str, words: tuple[str, ...] | None) -> None:
    found = What.of_run(run, Path.cwd())
    assert found.kind == kind
    assert words is None or found.words == words


def test_a_module_of_a_command_is_found(repository: Path) -> None:
    what = What(kind="command", words=("python", "-m", "pkg.train"), folder=repository / "src")
    assert what.places() == (repository / "src" / "pkg",)


def test_packages_of_this_interpreter_and_of_another() -> None:
    assert installed()["pydantic"] == version("pydantic")
    assert installed_for(sys.executable) is None
    assert installed_for("/nowhere/python") is None
    other = Path("/usr/bin/python3")
    if other.exists() and other.resolve() != Path(sys.executable).resolve():
        answer = installed_for(str(other))
        assert answer is not None
        assert answer[0].startswith("3.")


def test_packages_that_differ() -> None:
    before = {"torch": "2.1", "Foo_Bar": "1", "gone": "3"}
    now = {"torch": "2.2", "foo-bar": "1", "new": "1"}
    assert changed(before, now) == {
        "torch": ("2.1", "2.2"),
        "gone": ("3", ""),
        "new": ("", "1"),
    }


def test_a_record_names_its_parts_and_holds_no_other_variables(repository: Path) -> None:
    variables = {"OMP_NUM_THREADS": "2", "MY_TOKEN": HIDDEN, "HOME": "/home/ann"}
    parts = Recorder("node-7").record(command(repository), variables)
    machine = parts.machine
    assert machine.variables == {"OMP_NUM_THREADS": "2"}
    assert machine.packages == digest_of(parts.packages)
    assert machine.code == digest_of(parts.code.model_dump(mode="json"))
    assert (machine.worker, machine.host) == ("node-7", platform.node())
    assert machine.program == ["python", "train.py"]
    assert machine.cores == len(os.sched_getaffinity(0))
    message = parts.message(1, frozenset({"code"}))
    assert message.packages is None
    assert message.code == parts.code


@pytest.mark.parametrize(
    ("visible", "devices"),
    [
        (None, []),  # it may use all, or there are none
        ("", []),  # none
        ("-1", []),  # none, as some write it
        ("2", ["2"]),
        ("0, 1", ["0", "1"]),
        ("GPU-bb-2,GPU-aa-1", ["1", "0"]),  # as the driver orders them
        ("GPU-b", ["1"]),  # CUDA takes the beginning of a UUID
        ("GPU-", ["GPU-"]),  # not told
        ("GPU-cc-3", ["GPU-cc-3"]),  # of no GPU here
        ("MIG-aa-1", ["MIG-aa-1"]),  # a part of one
    ],
)
def test_the_gpus_that_an_environment_gives(visible: str | None, devices: list[str]) -> None:
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert devices_of(environment, ["GPU-aa-1", "GPU-bb-2"]) == devices


def test_recording_changes_nothing_in_the_repository(repository: Path) -> None:
    (repository / "train.py").write_text("print('changed')\n")
    before = _tree(repository)
    Recorder().record(command(repository))
    assert _tree(repository) == before


def _tree(root: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in root.rglob("*")}


def environment(**changes: Any) -> EnvironmentView:
    machine = {
        "tuner": "1", "python": "3.12", "host": "a", "os": "Linux", "cpu": "x", "gpus": ["H100"],
        "variables": {"OMP_NUM_THREADS": "1"}, "packages": "0" * 64, "code": "0" * 64,
    }  # fmt: skip
    code = {"kind": "git", "commit": "a" * 40, "branch": "main"}
    return EnvironmentView(
        attempt=1,
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        machine=Machine.model_validate(machine | changes.get("machine", {})),
        packages=changes.get("packages", {"torch": "2.1", "rich": "1"}),
        code=Code.model_validate(code | changes.get("code", {})),
    )


@pytest.mark.parametrize(
    ("changes", "what", "weight"),
    [
        ({"code": {"commit": "b" * 40}}, "commit", Weight.CODE),
        ({"code": {"diff": "diff --git a b", "diff_size": 14}}, "uncommitted changes", Weight.CODE),
        ({"code": {"kind": "files", "commit": None}}, "code", Weight.CODE),
        ({"code": {"branch": None}}, "branch", Weight.SLIGHT),
        ({"code": {"files": {"new.py": "c" * 64}}}, "new.py", Weight.SLIGHT),  # only here
        ({"packages": {"torch": "2.2", "rich": "1"}}, "torch", Weight.DIGITS),
        ({"packages": {"torch": "2.1", "rich": "2"}}, "rich", Weight.SLIGHT),
        ({"machine": {"gpus": []}}, "GPUs", Weight.DIGITS),
        ({"machine": {"variables": {}}}, "OMP_NUM_THREADS", Weight.DIGITS),
        ({"machine": {"host": "b"}}, "host", Weight.SLIGHT),
    ],
)
def test_what_differs(changes: dict[str, Any], what: str, weight: Weight) -> None:
    (found,) = differences(environment(), environment(**changes))
    assert (found.what, found.weight) == (what, weight)


def test_a_recorded_file_that_is_not_here_is_other_code() -> None:
    recorded = environment(code={"files": {"gone.py": "c" * 64}})
    (found,) = differences(recorded, environment())
    assert found.weight is Weight.CODE


def test_the_weightiest_difference_comes_first_and_decides() -> None:
    here = environment(code={"commit": "b" * 40}, machine={"host": "b", "python": "3.13"})
    found = differences(environment(), here)
    assert [one.what for one in found] == ["commit", "python", "host"]
    assert "other code" in verdict(found)
    assert "last digits" in verdict(found[1:])
    assert "should not matter" in verdict(found[2:])
    assert verdict([]) == "the environment is as recorded"


def test_masked_secrets_alone_are_no_other_code() -> None:
    """Git's hashes of the files stand for what was masked, too."""
    diff = "diff --git a/t b/t\nindex {}..2 100644\n+password = '***'\n"
    recorded = environment(code={"diff": diff.format(1), "diff_size": 60, "masked": 1})
    restored = environment(code={"diff": diff.format(7), "diff_size": 60, "masked": 0})
    (found,) = differences(recorded, restored)
    assert found.weight is Weight.SLIGHT
    assert differences(recorded, recorded) == []


def test_a_repetition_gets_the_recorded_variables_but_its_own_devices() -> None:
    recorded = {"OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "3", "LD_PRELOAD": "/evil.so"}
    here = {"HOME": "/home/ann", "MKL_NUM_THREADS": "8", "CUDA_VISIBLE_DEVICES": "0"}
    assert variables_again(recorded, here) == {
        "HOME": "/home/ann",
        "OMP_NUM_THREADS": "2",
        "CUDA_VISIBLE_DEVICES": "0",
    }
