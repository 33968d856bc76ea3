"""docs/spec.md says what the models say, and its examples are valid."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from tuner.defaults import normalise
from tuner.spec import check, models, parse_yaml, reference, steering
from tuner.spec.base import Document

PAGE = Path(__file__).parents[2] / "docs" / "spec.md"


def test_page_is_rendered_from_the_models() -> None:
    rendered = PAGE.read_text(encoding="utf-8").split(reference.MARK)[1]
    assert rendered.strip() == reference.render().strip(), "run: make reference"


def test_every_model_and_key_is_described() -> None:
    shown = {model for _, model in reference.SECTIONS}
    for module in (models, steering):
        for name, model in inspect.getmembers(module, inspect.isclass):
            if issubclass(model, Document) and not name.startswith("_"):
                assert model in shown | {Document}
    for model in shown:
        told = [field.description for field in model.model_fields.values()]
        assert all(text and "\n" not in text for text in told), model  # a row of a table


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL))
def test_examples_are_valid(example: str) -> None:
    normalise(check(parse_yaml(example)))
