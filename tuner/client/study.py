"""A study on a server, in the hands of who submitted it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self, TextIO

from tuner.client.asking import ask
from tuner.client.changing import Changes
from tuner.client.html import study_html
from tuner.client.live import News
from tuner.client.progress import ProgressLine
from tuner.client.retry import Patience
from tuner.client.transport import Transport
from tuner.client.trial import LeasedTrial
from tuner.client.trial_log import StudyTrial
from tuner.errors import NotFound, NoTrial
from tuner.errors import StudyState as WrongState
from tuner.spec.read import validate
from tuner.trial import StudyState
from tuner.wire import (
    BestView,
    CloneStudy,
    EnvironmentPage,
    EnvironmentView,
    EventPage,
    EventView,
    SpecPage,
    SpecView,
    StudyView,
    TrialPage,
    TrialView,
)

OUTAGE = Patience(total=600.0)
"""How long `wait` sits out a server that is away."""
OVER = (StudyState.FINISHED, StudyState.CANCELLED)

_PAGE = 1000

TABLE_S = 110.0
"""Seconds more that a server may take to begin with a table."""


class StudyHandle(Changes):
    """A study on a server.

    `view` is the study as it was last read; `refresh` reads it anew. In a notebook it shows itself
    as it was last read, without a further request.
    """

    def __init__(self, transport: Transport, view: StudyView) -> None:
        super().__init__(transport, view)
        self._seen_trials: list[TrialView] = []

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
            query: `state`, `outcome`, `origin`, `tag`, `min_value`, `max_value` choose; `sort` is
                `number`, `value` (best first) or `duration`, with `-` in front the other way round.

        Raises:
            InvalidInput: there is no such filter or order.
        """
        path = f"{self._path}/trials"
        found: list[TrialView] = list(self._transport.pages(TrialPage, path, **query))
        if all(value is None for value in query.values()):
            self._seen_trials = list(found)
        return found

    def trial(self, number: int) -> StudyTrial:
        """Return one trial with all attempts' reports and events, its log and files at hand."""
        return StudyTrial.of(self._transport, f"{self._path}/trials/{number}")

    def environments(self, number: int) -> list[EnvironmentView]:
        """Return what a trial's attempts ran on and with, newest first: code, packages, machine."""
        path = f"{self._path}/trials/{number}/environments"
        return list(self._transport.pages(EnvironmentPage, path))

    def events(self, after: int | None = None) -> Iterator[EventView]:
        """Iterate over the events stored so far, from the one after sequence number `after`."""
        while True:
            page = self._transport.get(EventPage, f"{self._path}/events", after=after)
            yield from page.items
            if page.next_cursor is None or not page.items:
                return
            after = page.items[-1].seq

    def findings(self, most: int | None = 50) -> list[EventView]:
        """Return the newest findings on its trials' trainings, the newest first; None for all."""
        found: list[EventView] = []
        before: str | None = None
        while most is None or len(found) < most:
            limit = _PAGE if most is None else min(_PAGE, most - len(found))
            path = f"{self._path}/findings"
            page = self._transport.get(EventPage, path, limit=limit, before=before)
            found += page.items
            before = page.next_cursor
            if before is None:
                break
        return found

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

    def specs(self) -> list[SpecView]:
        """Return the documents the study had, oldest first: one for each change of its space."""
        return list(self._transport.pages(SpecPage, f"{self._path}/specs"))

    def clone(
        self, name: str | None = None, changes: Mapping[str, Any] | None = None
    ) -> StudyHandle:
        """Submit the same document again, with `changes` merged into it, under a new name."""
        body = validate(CloneStudy, {"name": name, "changes": dict(changes or {})})
        view = self._transport.post(StudyView, f"{self._path}/clone", body)
        return StudyHandle(self._transport, view)

    def export(
        self,
        path: str | Path | None = None,
        format: Literal["yaml", "json"] = "yaml",  # noqa: A002
        *,
        trial: int | None = None,
    ) -> str:
        """Return the document that replays a trial, the best one by default.

        It is written to `path` if one is given.

        Raises:
            NotFound: no trial has a value yet, or there is none of this number.
        """
        query = {"format": format, "trial": trial}
        response = self._transport.send("GET", f"{self._path}/export", query=query)
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

    def report(self, path: str | Path) -> Path:
        """Write the study's report, one HTML file without external parts, and return its path.

        It holds the best configuration, curves, importance, what pruning and halving did, findings,
        and how to reproduce it.
        """
        from tuner.client.reporting import facts
        from tuner.report import page

        written = Path(path)
        text = page(facts(self, self._transport, self._transport.url))
        written.write_text(text, encoding="utf-8")
        return written

    def ask(
        self, wait_s: float = 0.0, *, report_timeout_s: float = 10.0, record: bool = True
    ) -> LeasedTrial:
        """Lease the next trial, to be trained by the caller.

        Args:
            wait_s: seconds to wait for one, at most 60.
            report_timeout_s: seconds a report may take before the last known decision is used.
            record: whether to record the code, packages and machine, for `tuner reproduce`.

        Raises:
            NoTrial: there is none now, or the study is over.
        """
        return ask(
            self._transport,
            self.id,
            wait_s=wait_s,
            report_timeout_s=report_timeout_s,
            record=record,
        )

    def loop(self, *, wait_s: float = 20.0, record: bool = True) -> Iterator[LeasedTrial]:
        """Lease one trial after another until the study is over or starts no further one.

        See `ask` for `record`.

        Raises:
            errors.StudyState: the study's trials are run by workers.
        """
        while not self.refresh().is_over and self.view.stopping is None:
            try:
                yield self.ask(wait_s=wait_s, record=record)
            except NoTrial:
                time.sleep(0.2)
            except WrongState:
                if not self.refresh().is_over and self.view.stopping is None:
                    raise

    def _repr_html_(self) -> str:
        return study_html(self.view, self._seen_trials)

    def __repr__(self) -> str:
        return f"<StudyHandle {self.id} {self.name!r}, {self.state}>"

    def _look(self, patience: Patience) -> None:
        self.view = self._transport.get(StudyView, self._path, patience=patience)
