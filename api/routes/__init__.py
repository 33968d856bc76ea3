"""One module a noun; no logic. `ROUTERS` are mounted under `/api/v1`, `PUBLIC` at the root."""

from api.routes import adoption, artifacts, health, leases, metrics, studies, trials, workers

ROUTERS = (
    leases.direct,
    leases.router,
    artifacts.router,
    workers.router,
    trials.router,
    studies.router,
    adoption.router,
)
PUBLIC = (health.router, metrics.router)

__all__ = ["PUBLIC", "ROUTERS"]
