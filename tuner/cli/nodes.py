"""Commands about workers: `tuner workers` lists them, `tuner worker` is one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from tuner.cli.context import JsonOption, client, session
from tuner.cli.output import print_json, print_table

if TYPE_CHECKING:
    from tuner.wire import WorkerView

IDLE_S = "10"
UNTIL_IDLE = "--until-idle"


class WorkerCommand(TyperCommand):
    """A command whose `--until-idle` may come without a value."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Read the arguments."""
        return super().parse_args(ctx, with_idle_seconds(args))


def with_idle_seconds(args: list[str]) -> list[str]:
    """Return the arguments with a value after a bare `--until-idle`."""
    full: list[str] = []
    for i, arg in enumerate(args):
        full.append(arg)
        if arg == UNTIL_IDLE and not _is_number(args[i + 1] if i + 1 < len(args) else ""):
            full.append(IDLE_S)
    return full


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(workers)
    app.command(cls=WorkerCommand)(worker)


def workers(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List the workers."""
    with client(ctx) as found:
        views = found.workers()
    if as_json:
        print_json(views)
        return
    columns = (
        "id",
        "name",
        "host",
        "slots",
        "gpus",
        "labels",
        "alive",
        "running",
        "seen",
        "trouble",
    )
    print_table(
        columns,
        [
            (
                w.worker_id,
                w.name,
                w.host,
                w.slots,
                ",".join(w.gpus) or None,
                ",".join(f"{k}={v}" for k, v in w.labels.items()) or None,
                "yes" if w.alive else "no",
                len(w.running),
                w.seen_at,
                _trouble(w),
            )
            for w in views
        ],
    )


def _trouble(worker: WorkerView) -> str | None:
    if worker.trouble:
        return f"out of service: {worker.trouble}"
    return f"drained by {worker.drained_by}" if worker.drained_by else None


def worker(
    ctx: typer.Context,
    *,
    slots: Annotated[int, typer.Option(min=1, max=1024, help="Trials at the same time.")] = 1,
    gpus: Annotated[
        str, typer.Option(metavar="0,1", help="GPUs shared out over the slots; or `all`, `none`.")
    ] = "",
    labels: Annotated[
        list[str] | None,
        typer.Option(metavar="K=V,...", help="Labels studies may ask for; repeatable."),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Entrypoints that may run: pkg.module:*; repeatable."),
    ] = None,
    allow_command: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Commands that may run: 'python train.py *'; repeatable."
        ),
    ] = None,
    allow_env: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Variables studies may set for commands: WANDB_*; repeatable."
        ),
    ] = None,
    until_idle: Annotated[
        float | None,
        typer.Option(
            UNTIL_IDLE,
            metavar="[SECONDS]",
            min=0.0,
            help="Leave after so long without work; 10 if no number is given.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name shown to people.", show_default=False)
    ] = None,
    trials_per_child: Annotated[
        int | None,
        typer.Option(min=1, help="Trials after which a slot's process is replaced."),
    ] = None,
    max_quick_failures: Annotated[
        int | None,
        typer.Option(min=0, help="Trials failing at once in a row that end its service; 0: any."),
    ] = None,
    memory_per_slot: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Host memory a trial may use, as 8GiB."),
    ] = None,
    spool: Annotated[
        Path | None, typer.Option(help="Folder for reports while the server is away.")
    ] = None,
    logs: Annotated[Path | None, typer.Option(help="Folder for the trials' output.")] = None,
) -> None:
    """Train trials until told to leave.

    On SIGTERM or Ctrl-C running trials write a checkpoint and go back to the queue.
    """
    from tuner.client.address import from_environment
    from tuner.worker.agent import run_worker
    from tuner.worker.config import WorkerConfig

    options = session(ctx)
    url, token = from_environment(options.url, options.token)
    chosen: dict[str, Any] = {
        "name": name, "trials_per_child": trials_per_child, "spool": spool, "logs": logs,
        "max_quick_failures": max_quick_failures,
        "memory_per_slot": _size(memory_per_slot),
    }  # fmt: skip
    config = WorkerConfig(
        url=url,
        token=token,
        ca=options.ca,
        slots=slots,
        gpus=tuple(part.strip() for part in gpus.split(",") if part.strip()),
        labels=read_labels(labels or []),
        allow=tuple(allow or ()),
        allow_commands=tuple(allow_command or ()),
        allow_env=tuple(allow_env or ()),
        until_idle=until_idle,
    )
    config = dataclasses.replace(config, **{k: v for k, v in chosen.items() if v is not None})
    raise typer.Exit(run_worker(config))


def read_labels(texts: list[str]) -> dict[str, str]:
    """Read `k=v,k=v`, several merged."""
    labels: dict[str, str] = {}
    for part in (part.strip() for text in texts for part in text.split(",")):
        key, equals, value = part.partition("=")
        if not (key and equals and value):
            raise typer.BadParameter(f"{part!r} is not K=V", param_hint="--labels")
        labels[key] = value
    return labels


def _size(text: str | None) -> int | None:
    from tuner.size import read_size

    try:
        return None if text is None else read_size(text)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--memory-per-slot") from exc


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
