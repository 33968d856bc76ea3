"""What projects use of their quotas: `tuner projects`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from tuner.cli.context import JsonOption, client
from tuner.cli.output import print_json, print_table

if TYPE_CHECKING:
    from tuner.wire import QuotaView


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(projects)


def projects(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List the projects: what each uses, and may use. Quotas are options of `tuner serve`."""
    with client(ctx) as found:
        views = found.projects()
    if as_json:
        print_json(views)
        return
    rows = [
        (v.project, v.studies, _of(v.parallel), _of(v.queued), _of(v.artifact_bytes)) for v in views
    ]
    print_table(("project", "studies", "running", "open", "file bytes"), rows)


def _of(quota: QuotaView) -> str:
    return str(quota.used) if quota.limit is None else f"{quota.used}/{quota.limit}"
