"""Documents that a study had, on SQLite and PostgreSQL: one for each change of its space."""

from __future__ import annotations

from functools import partial

from storage import Ledger, Transaction
from storage.changes import SpecChange
from storage.spec_versions import SpecVersion, read_specs
from tests.contract.ledger_database import NOW, new_study, with_ledger
from tuner.space import Numeric
from tuner.spec import check


def narrow(tx: Transaction, study_id: int) -> None:
    """Halve the largest rate of a study."""
    study = tx.study(study_id)
    document = study.spec.model_dump(mode="json", exclude_none=True)
    document["space"]["lr"]["max"] /= 2
    spec = check(document)
    tx.put_spec(SpecChange(study=study, spec=spec, at=NOW, by="alice"))
    tx.put_study(study.evolve(spec=spec))


def shown(version: SpecVersion) -> tuple[int, float, str]:
    lr = version.spec.build_space().parameters["lr"]
    assert isinstance(lr, Numeric)
    return version.version, lr.high, version.by


def test_each_change_is_a_version(url: str) -> None:
    async def change(ledger: Ledger) -> None:
        for name in ("s", "other"):
            await ledger.write(partial(new_study, name=name))
        for _ in range(3):
            await ledger.write(partial(narrow, study_id=1))
        await ledger.write(partial(narrow, study_id=2))

    async def again_and_look(ledger: Ledger) -> None:
        await ledger.write(partial(narrow, study_id=1))
        found = [await ledger.read(partial(read_specs, study=s)) for s in ledger.memory.studies()]
        assert [[shown(v) for v in versions] for versions in found] == [
            [
                (1, 1.0, "me"), (2, 0.5, "alice"), (3, 0.25, "alice"), (4, 0.125, "alice"),
                (5, 0.0625, "alice"),
            ],
            [(1, 1.0, "me"), (2, 0.5, "alice")],
        ]  # fmt: skip

    with_ledger(url, change)
    with_ledger(url, again_and_look)
