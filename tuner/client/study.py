"""A study on a server, in the hands of who submitted it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self, TextIO

from tuner.client.asking import ask
from tuner.client.html import study_html
from tuner.client.live import News
from tuner.client.progress import ProgressLine
from tuner.client.record import TrialRecord
from tuner.client.retry import Patience
from tuner.client.transport import Transport
from tuner.client.trial import LeasedTrial
from tuner.errors import NotFound, NoTrial
from tuner.errors import StudyState as WrongState
from tuner.handle import ParamValue
from tuner.trial import StudyState
from tuner.wire import (
    BestView,
    CloneStudy,
    Enqueue,
    EventPage,
    EventView,
    Extend,
    SpecPage,
    SpecView,
    StudyPatch,
    StudyView,
    TrialPage,
    TrialView,
)

OUTAGE = Patience(total=600.0)
"""How long `wait` sits out a server that is away."""
OVER = (StudyState.FINISHED, StudyState.CANCELLED)

TABLE_S = 110.0
"""Seconds more that a server may take to begin with a table."""


class StudyHandle:
    """A study on a server.

    `view` is the study as it was last read; `refresh` reads it anew. In a notebook it shows itself
    as it was last read, without a further request.
    """

    def __init__(self, transport: Transport, view: StudyView) -> None:
        self._transport = transport
        self._seen_trials: list[TrialView] = []
        self.view = view

    @property
    def id(self) -> int:
        """The study's id."""
        return self.view.id

    @property
    def name(self) -> str:
        """The study's name."""
        return self.view.name

    @property
    def state(self) -> StudyState:
        """The state as last read."""
        return self.view.state

    @property
    def version(self) -> str:
        """What `if_match` compares, as last read. It changes when a person changes the study."""
        return self.view.version

    @property
    def is_over(self) -> bool:
        """Whether the study was finished or cancelled when it was last read."""
        return self.view.state in OVER

    @property
    def best(self) -> BestView | None:
        """The best trial now: parameters, value and the rate schedule as applied; None without any.

        A study that was over when last read is not asked again.
        """
        if not self.is_over:
            self.refresh()
        try:
            return self._transport.get(BestView, f"{self._path}/best")
        except NotFound:
            return None

    def refresh(self) -> Self:
        """Read the study anew and return this handle."""
        self.view = self._transport.get(StudyView, self._path)
        return self

    def trials(self, **query: str | float | None) -> list[TrialView]:
        """Return trials without their curves: all in order of their numbers, or those asked for.

        Args:
            query: `state`, `outcome`, `origin`, `min_value`, `max_value` choose; `sort` is
                `number`, `value` (best first) or `duration`, with `-` in front the other way round.

        Raises:
            InvalidInput: there is no such filter or order.
        """
        path = f"{self._path}/trials"
        found: list[TrialView] = list(self._transport.pages(TrialPage, path, **query))
        if not query:
            self._seen_trials = list(found)
        return found

    def trial(self, number: int) -> TrialRecord:
        """Return one trial with the reports and events of all its attempts, and its files."""
        path = f"{self._path}/trials/{number}"
        return self._transport.get(TrialRecord, path).at(self._transport, path)

    def events(self, after: int | None = None) -> Iterator[EventView]:
        """Iterate over the events stored so far, from the one after sequence number `after`."""
        while True:
            page = self._transport.get(EventPage, f"{self._path}/events", after=after)
            yield from page.items
            if page.next_cursor is None or not page.items:
                return
            after = page.items[-1].seq

    def running_trials(self, most: int = 100) -> list[TrialView]:
        """Return up to `most` of the running trials."""
        page = self._transport.get(TrialPage, f"{self._path}/trials", state="running", limit=most)
        return page.items

    def watch(self, poll_s: float = 1.0, *, live: bool = False) -> Iterator[StudyView]:
        """Iterate over what the study looks like, every `poll_s` seconds until it is over.

        With `live`, only when the event stream tells of a change, if there is one.

        Raises:
            ServerUnreachable: the server was away for ten minutes.
        """
        news = News(self._transport, f"{self._path}/events") if live else None
        try:
            while True:
                self._look(OUTAGE)
                yield self.view
                if self.is_over:
                    return
                news.wait(poll_s) if news is not None else time.sleep(poll_s)
        finally:
            if news is not None:
                news.close()

    def wait(
        self,
        timeout: float | None = None,
        progress: bool = False,
        *,
        poll_s: float = 1.0,
        stream: TextIO | None = None,
    ) -> Self:
        """Wait until the study is over and return this handle. Interrupting it stops nothing.

        Args:
            timeout: seconds after which to give up; None waits for ever.
            progress: whether to keep a line of progress on `stream`.
            poll_s: seconds between two looks.
            stream: standard error by default.

        Raises:
            TimeoutError: the study is not over after `timeout` seconds.
            ServerUnreachable: the server was away for ten minutes, or until the time-out.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        line = ProgressLine(stream if stream is not None else sys.stderr) if progress else None
        try:
            while True:
                left = max(0.0, deadline - time.monotonic())
                self._look(Patience(total=min(OUTAGE.total, left)))
                if line is not None:
                    line.show(self.view)
                if self.is_over:
                    self.trials()
                    return self
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"study {self.name!r} is not over after {timeout} s")
                time.sleep(min(poll_s, left))
        finally:
            if line is not None:
                line.close()

    def pause(self) -> Self:
        """Start no further trial; what runs goes on."""
        return self._change(StudyPatch(state="paused"))

    def resume(self) -> Self:
        """Go on after a pause."""
        return self._change(StudyPatch(state="running"))

    def stop(self) -> Self:
        """Start no further trial and finish with the last running one."""
        return self._change(StudyPatch(state="stopped"))

    def cancel(self) -> Self:
        """End the study and its running trials now."""
        return self._change(StudyPatch(state="cancelled"))

    def change(
        self,
        *,
        priority: int | None = None,
        parallel: int | None = None,
        space: Mapping[str, Any] | None = None,
        if_match: str | None = None,
    ) -> Self:
        """Change the priority, how many trials may run at once, or the space.

        Args:
            priority: higher ones go first.
            parallel: trials at once.
            space: parameters with other ranges or choices, each whole, as in the study document.
            if_match: the `version` that the study must still have.

        Raises:
            errors.InvalidInput: the space can't be changed so.
            errors.PreconditionFailed: a person changed the study meanwhile.
        """
        other = None if space is None else dict(space)
        return self._change(StudyPatch(priority=priority, parallel=parallel, space=other), if_match)

    def update(self, *, priority: int | None = None, parallel: int | None = None) -> Self:
        """Change the priority or how many trials may run at once; see `change`."""
        return self.change(priority=priority, parallel=parallel)

    def specs(self) -> list[SpecView]:
        """Return the documents the study had, oldest first: one for each change of its space."""
        return list(self._transport.pages(SpecPage, f"{self._path}/specs"))

    def extend(self, trials: int = 0, hours: float = 0.0, *, if_match: str | None = None) -> Self:
        """Add to the budget; a finished study goes on. See `change` for `if_match`."""
        body = Extend(trials=trials, hours=float(hours))
        path = f"{self._path}/extend"
        self.view = self._transport.post(StudyView, path, body, if_match=if_match)
        return self

    def clone(
        self, name: str | None = None, changes: Mapping[str, Any] | None = None
    ) -> StudyHandle:
        """Submit the same document again, with `changes` merged into it, under a new name."""
        body = CloneStudy(name=name, changes=dict(changes or {}))
        view = self._transport.post(StudyView, f"{self._path}/clone", body)
        return StudyHandle(self._transport, view)

    def enqueue(
        self,
        params: Mapping[str, ParamValue] | None = None,
        *,
        like: int | None = None,
        from_checkpoint: bool | tuple[int, int] = False,
    ) -> TrialView:
        """Run these parameters next; absent ones take their middle, or those of trial `like`.

        Args:
            params: parameters by name.
            like: a trial of this study.
            from_checkpoint: whether to go on from trial `like`'s newest checkpoint; or a trial and
                the step of a checkpoint that it keeps.

        Raises:
            errors.Conflict: the trial keeps no such checkpoint.
        """
        step = None
        if isinstance(from_checkpoint, tuple):
            like, step = from_checkpoint
        body = Enqueue(
            params=dict(params or {}), like=like, from_checkpoint=bool(from_checkpoint), step=step
        )
        return self._transport.post(TrialView, f"{self._path}/trials", body)

    def delete(self, *, if_match: str | None = None) -> StudyView:
        """Delete the study for good, which must be over; return how it was.

        Raises:
            errors.PreconditionFailed: it no longer has the version `if_match`.
            errors.StudyState: it is not over.
        """
        return self._transport.delete(StudyView, self._path, if_match=if_match)

    def export(
        self,
        path: str | Path | None = None,
        format: Literal["yaml", "json"] = "yaml",  # noqa: A002
    ) -> str:
        """Return the document that replays the best trial; write it to `path` if one is given.

        Raises:
            NotFound: no trial has a value yet.
        """
        response = self._transport.send("GET", f"{self._path}/export", query={"format": format})
        if path is not None:
            Path(path).write_bytes(response.content)
        return response.text

    def export_table(
        self,
        table: Literal["trials", "reports"] = "trials",
        format: Literal["csv", "parquet"] = "csv",  # noqa: A002
    ) -> Iterator[bytes]:
        """Iterate over the pieces of a table: a row a trial, or a row a report of any attempt.

        Raises:
            InvalidInput: the server can't write Parquet.
        """
        path = f"{self._path}/export"
        return self._transport.fetch(path, wait_s=TABLE_S, format=format, table=table)

    def ask(self, wait_s: float = 0.0, *, report_timeout_s: float = 10.0) -> LeasedTrial:
        """Lease the next trial, to be trained by the caller.

        Args:
            wait_s: seconds to wait for one, at most 60.
            report_timeout_s: seconds a report may take before the last known decision is used.

        Raises:
            NoTrial: there is none now, or the study is over.
        """
        return ask(self._transport, self.id, wait_s=wait_s, report_timeout_s=report_timeout_s)

    def loop(self, *, wait_s: float = 20.0) -> Iterator[LeasedTrial]:
        """Lease one trial after another until the study is over or starts no further one.

        Raises:
            errors.StudyState: the study's trials are run by workers.
        """
        while not self.refresh().is_over and self.view.stopping is None:
            try:
                yield self.ask(wait_s=wait_s)
            except NoTrial:
                time.sleep(0.2)
            except WrongState:
                if not self.refresh().is_over and self.view.stopping is None:
                    raise

    def _repr_html_(self) -> str:
        return study_html(self.view, self._seen_trials)

    def __repr__(self) -> str:
        return f"<StudyHandle {self.id} {self.name!r}, {self.state}>"

    @property
    def _path(self) -> str:
        return f"/studies/{self.view.id}"

    def _look(self, patience: Patience) -> None:
        self.view = self._transport.get(StudyView, self._path, patience=patience)

    def _change(self, patch: StudyPatch, if_match: str | None = None) -> Self:
        self.view = self._transport.patch(StudyView, self._path, patch, if_match=if_match)
        return self
