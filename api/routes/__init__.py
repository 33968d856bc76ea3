"""One module a noun; no logic. `ROUTERS` are mounted under `/api/v1`, `PUBLIC` at the root.

`PAGES` are at the root too, and not part of the description.
"""

from api.routes import adoption, artifacts, health, leases, metrics, pages, studies, trials, workers

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
PAGES = (pages.router,)

__all__ = ["PAGES", "PUBLIC", "ROUTERS"]
