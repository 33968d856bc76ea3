"""The mutations of the promises: each has its place in the code."""

from __future__ import annotations

import ast

import pytest

from tests.faults.mutations import MUTATIONS, Mutation
from tests.serving import ROOT


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: f"{m.promise}: {m.file}")
def test_a_mutation_applies(mutation: Mutation) -> None:
    before = (ROOT / mutation.file).read_text()
    after = mutation.applied(before)
    assert ast.dump(ast.parse(after)) != ast.dump(ast.parse(before))
    assert (ROOT / "tests/faults" / mutation.test.partition("::")[0]).is_file()


@pytest.mark.parametrize("text", ["", "a b a"])
def test_a_mutation_without_one_place_is_an_error(text: str) -> None:
    mutation = Mutation("p", "f.py", "a", "c", "t.py")
    with pytest.raises(ValueError, match=r"f.py has \d places"):
        mutation.applied(text)
