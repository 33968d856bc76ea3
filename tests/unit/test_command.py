"""Command lines as templates, and what workers allow of them."""

from __future__ import annotations

from typing import Any

import pytest

from tuner.allow import allows_command, allows_entrypoint, allows_variable, words_of
from tuner.command import fill, items_of, names_in, outline, param_texts, shown, stem
from tuner.errors import InvalidInput

VALUES = {"lr": "0.1", "opt": "sgd", "trial.seed": "7"}


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        (["python", "train.py"], ["python", "train.py"]),
        (["p", "--lr", "{lr}"], ["p", "--lr", "0.1"]),
        (["p", "--lr={lr},{opt}"], ["p", "--lr=0.1,sgd"]),  # several in one argument
        (["p", "{trial.seed}"], ["p", "7"]),
        (["p", "{{lr}}", "{{{lr}}}"], ["p", "{lr}", "{0.1}"]),  # braces
        (["p", "", "a b", "$HOME;`ls`"], ["p", "", "a b", "$HOME;`ls`"]),  # as they are
        (["p", ["--opt", "{opt}"]], ["p", "--opt", "sgd"]),  # a group
        (["p", ["--m", "{momentum}"], "x"], ["p", "x"]),  # its value is absent
        (["p", ["--a", "{lr}", "{momentum}"]], ["p"]),  # one is enough
        (["p", ["--verbose"]], ["p", "--verbose"]),  # nothing to be absent
    ],
)
def test_a_trial_s_values_fill_a_command(command: list[Any], argv: list[str]) -> None:
    assert fill(items_of(command), VALUES) == argv


def test_a_value_stays_within_its_argument() -> None:
    values = {"name": "a b; rm -rf / --evil {lr} *"}
    assert fill(("p", "--name={name}"), values) == ["p", "--name=" + values["name"]]


def test_a_value_absent_outside_of_a_group_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"momentum has no value .* '--m=\{momentum\}'"):
        fill(("p", "--m={momentum}"), VALUES)


@pytest.mark.parametrize("text", ["{", "}", "a{b", "{{}", "{a}}", "{a{b}}"])
def test_a_single_brace_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"a single [{}] in"):
        names_in(text)


def test_values_read_back_equal() -> None:
    texts = param_texts({"a": 0.1 + 0.2, "b": 1e-5, "c": 3, "d": True, "e": False, "f": "x y"})
    assert texts == {
        "a": "0.30000000000000004",
        "b": "1e-05",
        "c": "3",
        "d": "true",
        "e": "false",
        "f": "x y",
    }


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["python", "train.py", "--lr", "{lr}"], "train"),
        (["python", "-u", "src/vision/train.py"], "train"),
        (["python", "-m", "pkg.train", "--x"], "pkg.train"),
        (["bash", "run.sh"], "run"),
        (["./train", "--data", "x"], "train"),
        (["/opt/my tool/go!"], "go"),
        (["../.."], "command"),
    ],
)
def test_a_command_has_a_short_name(command: list[Any], name: str) -> None:
    assert stem(items_of(command)) == name


def test_a_command_is_shown_as_it_was_written() -> None:
    assert shown(("python", "t.py", ("--m", "{m}"))) == "python t.py [--m {m}]"
    assert len(shown(("p", "x" * 1000))) < 210


ALLOWED = [
    ("python train.py", ["python", "train.py"], True),
    ("python train.py", ["python", "train.py", "--lr"], False),  # no more than said
    ("python train.py *", ["python", "train.py"], True),  # the rest may be empty
    ("python train.py *", ["python", "train.py", "--lr", "a/../b", "; rm -rf /"], True),
    ("python train.py *", ["python", "other.py", "--lr"], False),
    ("python train.py *", ["python"], False),
    ("python train.py *", ["python", "train.py --lr 1"], False),  # an argument is not words
    ("python train.py *", ["sh", "-c", "python train.py x"], False),
    ("python", ["python", "-c", "evil"], False),
    ("*", ["python"], True),  # a word alone is a program
    ("*", ["python", "x"], False),
    ("*", ["/bin/sh"], False),
    ("** *", ["/bin/sh", "-c", "x"], True),  # all that there is
    ("python * --safe", ["python", "a.py", "--safe"], True),  # in the middle: one argument
    ("python * --safe", ["python", "a.py", "b.py", "--safe"], False),
    ("python * --safe", ["python", "/tmp/a.py", "--safe"], False),
    ("python * --safe", ["python", "-c", "--safe"], False),  # a wildcard begins no option
    ("python ** --safe", ["python", "-c", "--safe"], False),
    ("python ?c *", ["python", "-c", "evil"], False),
    ("p --x * --y *", ["p", "--x", "-0.5", "--y", "-1"], True),  # a number is none
    ("python -* x", ["python", "-u", "x"], True),  # spelled out
    ("python scripts/*.py *", ["python", "scripts/a.py", "x"], True),
    ("python scripts/*.py *", ["python", "scripts/b/a.py"], False),  # no further down
    ("python scripts/**.py *", ["python", "scripts/b/a.py"], True),
    ("python scripts/**.py *", ["python", "scripts/../../tmp/a.py"], False),  # never up
    ("python scripts/*/a.py", ["python", "scripts/../a.py"], False),
    ("python scripts/*/a.py", ["python", "scripts/./a.py"], False),
    ("python ../*/a.py", ["python", "../b/a.py"], True),  # spelled out
    ("python ../*/a.py", ["python", "../../a.py"], False),
    ("python *.py", ["python", "/tmp/evil.py"], False),
    ("p --data=**", ["p", "--data=/mnt/x"], True),
    ("p --data=**", ["p", "--data=.."], False),
    ("p --data=*", ["p", "--data=/mnt/x"], False),
    ("p epoch?", ["p", "epoch1"], True),
    ("p epoch?", ["p", "epoch/"], False),
    ("p [ab].py", ["p", "a.py"], False),  # brackets are brackets
    ("p [ab].py", ["p", "[ab].py"], True),
    ("'my tool' 'a b'", ["my tool", "a b"], True),  # words are quoted as in a shell
    ("Python x", ["python", "x"], False),  # case counts
    ("p x", ["p", "x\n"], False),
    ("p x*", ["p", "x\ny"], True),
]


@pytest.mark.parametrize(("pattern", "argv", "allowed"), ALLOWED)
def test_commands_are_allowed_word_by_word(pattern: str, argv: list[str], allowed: bool) -> None:
    assert allows_command([pattern], argv) is allowed


def test_one_pattern_of_several_is_enough() -> None:
    assert allows_command(["python a.py", "python b.py"], ["python", "b.py"])
    assert not allows_command([], ["python"])
    assert allows_entrypoint(["a:*", "b:*"], "b:main")
    assert allows_variable(["WANDB_*"], "WANDB_MODE")
    assert not allows_variable(["WANDB_*"], "LD_PRELOAD")


def test_what_is_not_known_yet_is_matched_by_wildcards_only() -> None:
    command = items_of(["p", "{opt}", "--lr={lr}", ["-m", "{m}"]])
    full, bare = outline(command, groups=True), outline(command, groups=False)
    assert (len(full), len(bare)) == (5, 3)
    assert allows_command(["p * --lr=* -m *"], full)
    assert not allows_command(["p {opt} --lr=* -m *"], full)
    assert not allows_command(["p sgd *"], bare)
    assert allows_command(["p *"], full)
    assert allows_command(["p * --lr=*"], bare)


@pytest.mark.parametrize("pattern", ["", "  ", "python 'train.py"])
def test_a_pattern_that_can_not_be_cut_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidInput):
        words_of(pattern)


def test_a_nasty_argument_does_not_take_for_ever() -> None:
    assert not allows_command(["p " + "*a" * 30 + "b"], ["p", "a" * 2000])
    assert not allows_command(["p " + "**a" * 30 + "b"], ["p", "a" * 2000])
