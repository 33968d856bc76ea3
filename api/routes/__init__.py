"""One module a noun; no logic. `ROUTERS` are mounted under `/api/v1`, `PUBLIC` at the root.

`PAGES` are at the root too, and not part of the description.
"""

from api.routes import (
    access,
    adoption,
    artifacts,
    by_hand,
    charts,
    dashboard,
    environments,
    events,
    files,
    fleet,
    form,
    health,
    leases,
    login,
    logs,
    metrics,
    pages,
    projects,
    remarks,
    results,
    studies,
    trials,
    webhooks,
    workers,
)

ROUTERS = (
    leases.direct,
    leases.router,
    artifacts.router,
    environments.router,
    workers.router,
    fleet.router,
    trials.router,
    by_hand.router,
    remarks.router,
    logs.direct,
    logs.router,
    charts.above,
    charts.router,
    files.router,
    events.router,
    projects.router,
    form.router,
    studies.router,
    results.router,
    adoption.router,
    access.router,
    webhooks.router,
)
PUBLIC = (health.router, metrics.router, login.router)
PAGES = (pages.router, dashboard.router)

__all__ = ["PAGES", "PUBLIC", "ROUTERS"]
