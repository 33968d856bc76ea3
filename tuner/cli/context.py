"""What every command gets: the client, and where to write."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from tuner.client import Client, StudyHandle

PATIENCE_S = 2.0
"""A person waits: commands give up on an absent server sooner than programs do."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """The global options."""

    url: str | None
    token: str | None
    ca: Path | None = None
    quiet: bool = False

    def say(self, text: str) -> None:
        """Write a line for people to standard error, unless quiet."""
        if not self.quiet:
            typer.echo(text, err=True)


def session(ctx: typer.Context) -> Session:
    """Return the global options of this invocation."""
    return cast(Session, ctx.find_object(Session))


@contextmanager
def client(ctx: typer.Context, *, patience_s: float = PATIENCE_S) -> Iterator[Client]:
    """Give a client of the server that was named."""
    from tuner.client import Client

    options = session(ctx)
    with Client(options.url, options.token, ca=options.ca, patience_s=patience_s) as found:
        yield found


@contextmanager
def study(ctx: typer.Context, name: str) -> Iterator[StudyHandle]:
    """Give a study by its id or name."""
    with client(ctx) as found:
        yield found.study(name)


def stdout_is_terminal() -> bool:
    """Tell whether people read standard output."""
    return sys.stdout.isatty()


def complete_study(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """Offer the names of the server's newest studies; nothing when it does not answer at once."""
    from tuner.client import Client

    options = ctx.find_root().params
    try:
        with Client(
            options.get("url"),
            options.get("token"),
            ca=options.get("ca"),
            timeout_s=1.0,
            patience_s=0.0,
        ) as found:
            for view in islice(found.studies(), 200):
                if view.name.startswith(incomplete):
                    yield view.name
    except Exception:
        return


StudyArgument = Annotated[
    str,
    typer.Argument(metavar="STUDY", help="Id or name of a study.", autocompletion=complete_study),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
