"""One module a noun; no logic. `ROUTERS` are mounted under `/api/v1`, `PUBLIC` at the root."""

from api.routes import adoption, artifacts, health, leases, studies, trials, webhooks, workers

ROUTERS = (
    leases.direct,
    leases.router,
    artifacts.router,
    workers.router,
    trials.router,
    studies.router,
    adoption.router,
    webhooks.router,
)
PUBLIC = (health.router,)

__all__ = ["PUBLIC", "ROUTERS"]
