"""One module a noun; no logic. `ROUTERS` are mounted under `/api/v1`, `PUBLIC` at the root."""

from api.routes import (
    access,
    adoption,
    artifacts,
    events,
    health,
    leases,
    login,
    projects,
    studies,
    trials,
    webhooks,
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
    access.router,
    webhooks.router,
)
PUBLIC = (health.router, login.router)

__all__ = ["PUBLIC", "ROUTERS"]
