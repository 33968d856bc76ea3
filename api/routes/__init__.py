"""One module a noun; no logic. `ROUTERS` are mounted under `/api/v1`, `PUBLIC` at the root."""

from api.routes import (
    adoption,
    artifacts,
    events,
    health,
    leases,
    projects,
    studies,
    trials,
    workers,
)

ROUTERS = (
    leases.direct,
    leases.router,
    artifacts.router,
    workers.router,
    trials.router,
    events.router,
    projects.router,
    studies.router,
    adoption.router,
)
PUBLIC = (health.router,)

__all__ = ["PUBLIC", "ROUTERS"]
