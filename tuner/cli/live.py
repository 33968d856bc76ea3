"""The live display of `tuner watch` on a terminal: the study, and its running trials as bars."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tuner.cli.output import params_text
from tuner.client import StudyHandle
from tuner.client.progress import progress, progress_line
from tuner.wire import EventView, StudyView, TrialView

MOST_ROWS = 12
MOST_FINDINGS = 3


def show_live(handle: StudyHandle, every: float, console: Console | None = None) -> None:
    """Follow a study until it is over."""
    console = console or Console()
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for view in handle.watch(poll_s=every, live=True):
            running = handle.running_trials(MOST_ROWS)
            found = handle.findings(MOST_FINDINGS)
            live.update(render(view, running, datetime.now(UTC), found), refresh=True)


def render(
    view: StudyView,
    running: Sequence[TrialView],
    now: datetime,
    findings: Sequence[EventView] = (),
) -> RenderableType:
    """Return one frame."""
    at = progress(view, now)
    head = Table.grid()
    head.add_row(Text(progress_line(view, now)))
    head.add_row(ProgressBar(total=1.0, completed=at.share, width=60))
    parts: list[RenderableType] = [head]
    if running:
        parts.append(_trials(view, running))
    for event in findings:
        said = f"! trial {event.number}, step {event.step}: {event.data.get('reason', '')}"
        parts.append(Text(said, style="yellow", overflow="ellipsis", no_wrap=True))
    return Group(*parts) if len(parts) > 1 else head


def _trials(view: StudyView, running: Sequence[TrialView]) -> Table:
    steps = view.spec.get("budget", {}).get("steps")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("trial", "step", "", "last", "factor", "params"):
        table.add_column(column)
    for trial in running:
        last = "-" if trial.last_value is None else f"{trial.last_value:.5g}"
        bar = ProgressBar(total=steps, completed=trial.last_step, width=20) if steps else Text("")
        table.add_row(
            Text(str(trial.number)),
            Text(f"{trial.last_step}/{steps}" if steps else str(trial.last_step)),
            bar,
            Text(last),
            Text(f"{trial.lr_factor:g}"),
            Text(params_text(trial.params), overflow="ellipsis", no_wrap=True),
        )
    return table
