"""One module a noun; no logic. `ROUTERS` are mounted under `/api/v1`, `PUBLIC` at the root."""

from api.routes import artifacts, health, leases, studies, trials, workers

ROUTERS = (
    studies.router,
    trials.router,
    leases.router,
    workers.router,
    artifacts.router,
)
PUBLIC = (health.router,)

__all__ = ["PUBLIC", "ROUTERS"]
