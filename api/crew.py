"""Who trains a study: the workers that may, and how much of them is in use."""

from __future__ import annotations

from api import queue
from api.services import Services
from tuner.study import Study
from tuner.wire.charts import Crew


def crew(services: Services, study: Study) -> Crew:
    """Count the live workers that serve a study, their slots and GPUs, and what trains on them."""
    memory = services.ledger.memory
    alive = [w for w in memory.workers() if services.deadlines.is_alive(w)]
    able = {w.worker_id: w for w in alive if queue.refusal(study, w) is None}
    leases = memory.leases()
    return Crew(
        workers=len(able),
        slots=sum(w.slots for w in able.values()),
        gpus=sum(len(w.gpus) for w in able.values()),
        busy=sum(lease.worker_id in able for lease in leases),
        here=sum(lease.study_id == study.study_id for lease in leases),
    )
