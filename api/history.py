"""What is read from SQL and not held in memory: curves with metrics, and events."""

from __future__ import annotations

import math
from typing import Literal

from api.listing import Order, cut
from api.live.access import View
from api.services import Services
from api.views import document, event_view, finite, trial_fields
from storage import queries
from storage.spec_versions import SpecVersion, read_specs
from tuner.study import Study
from tuner.trial import Trial
from tuner.wire import BestView, EventPage, ReportView, SpecPage, SpecView, StudyView, TrialDetail

Status = Literal["ok", "nan", "inf", "-inf"]


async def trial_detail(services: Services, trial: Trial) -> TrialDetail:
    """Show a trial with all attempts' reports and all events."""
    place = (services.ledger, trial.study_id, trial.number)
    reports = await queries.trial_reports(*place)
    events = await queries.trial_events(*place)
    return TrialDetail(
        **trial_fields(trial, services.ledger.memory.remark(trial.study_id, trial.number)),
        reports=[_report(r) for r in reports],
        events=[event_view(e) for e in events],
    )


async def event_page(services: Services, study_id: int, *, after: int, limit: int) -> EventPage:
    """Show a study's events after a sequence number; the cursor is the last one's."""
    found = await queries.study_events(services.ledger, study_id, after, limit + 1)
    items = [event_view(e) for e in found[:limit]]
    return EventPage(items=items, next_cursor=str(items[-1].seq) if len(found) > limit else None)


async def spec_page(
    services: Services, study: Study, *, limit: int, cursor: str | None
) -> SpecPage:
    """Show the documents a study had, oldest first.

    Raises:
        InvalidInput: the cursor is none of this list's.
    """
    found = await services.ledger.read(lambda connection: read_specs(connection, study))
    order: Order[SpecVersion] = Order(value=lambda v: v.version, ident=lambda v: v.version)
    items, more = cut(found, order, ("specs", study.study_id), limit=limit, cursor=cursor)
    views = [SpecView(version=v.version, spec=document(v.spec), at=v.at, by=v.by) for v in items]
    return SpecPage(items=views, next_cursor=more)


async def all_events(services: Services, view: View, *, after: int, limit: int) -> EventPage:
    """Show events of all studies that a view sees; the cursor is the last one's."""
    memory = services.ledger.memory
    upto = memory.tables.counters.seq - 1
    found = await queries.events_from(services.ledger, after + 1, upto, limit=limit + 1)
    projects = {s.study_id: s.spec.queue.project for s in memory.studies()}
    page = found[:limit]
    items = [
        event_view(e)
        for e in page
        if e.study_id in projects and view.sees(e.study_id, projects[e.study_id])
    ]
    return EventPage(items=items, next_cursor=str(page[-1].seq) if len(found) > limit else None)


async def best_with_metrics(services: Services, study_id: int, best: BestView) -> BestView:
    """Add the metrics reported at the best value's step."""
    metrics = await queries.report_metrics(services.ledger, study_id, best.number, best.step)
    return best.model_copy(update={"metrics": metrics})


async def with_metrics(services: Services, view: StudyView) -> StudyView:
    """Add their metrics to a study's best trials."""
    update = {}
    if view.best is not None:
        update["best"] = await best_with_metrics(services, view.id, view.best)
    if view.best_folk is not None:
        update["best_folk"] = await best_with_metrics(services, view.id, view.best_folk)
    return view.model_copy(update=update)


def _report(record: queries.ReportRecord) -> ReportView:
    return ReportView(
        attempt=record.attempt,
        step=record.step,
        value=finite(record.value),
        status=_status(record.value),
        lr_factor=record.lr_factor,
        metrics=dict(record.metrics),
        at=record.at,
    )


def _status(value: float) -> Status:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return "ok"
