"""docs/cli.md says what the command line says of itself."""

from __future__ import annotations

from pathlib import Path

from typer.main import get_command

from tuner.cli import reference
from tuner.cli.app import app

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_is_rendered_from_the_application() -> None:
    rendered = PAGE.read_text(encoding="utf-8").split(reference.MARK)[1]
    assert rendered == reference.render(), "run: python -m tuner.cli.reference docs/cli.md"


def test_everything_is_described() -> None:
    for name, command in reference.commands(get_command(app)):
        assert command.help, name
        for param in command.params:
            assert param.help, (name, param.name)
