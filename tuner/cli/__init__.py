"""The command `tuner`."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its code."""
    from tuner.cli.app import app

    app(prog_name="tuner")
