"""The dashboard's pages, one a line: what is opened, and what shows that it is there."""

from __future__ import annotations

from dataclasses import dataclass

from tests.scenes import document, search
from tests.serving import TOKEN
from tuner import Client

LIVELY = "digits-mlp"
"""The study that the pages show."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A page: its address below the server's, and a selector of what it alone has."""

    name: str
    target: str
    has: str
    whole: bool = False
    """Whether its picture goes below the first screen."""


def _tab(name: str, more: str = "", *, whole: bool = False) -> Shown:
    has = f'nav.tabs a[aria-current="page"][href*="tab={name}"]'
    return Shown(name=name, target=f"?study={LIVELY}&tab={name}{more}", has=has, whole=whole)


PAGES = (
    Shown(name="studies", target="", has="table.studies"),
    Shown(name="study", target=f"?study={LIVELY}", has="dl.facts", whole=True),
    _tab("trials"),
    _tab("compare", "&trials=0,1,4"),
    _tab("analysis"),
    _tab("rungs"),
    _tab("config"),
    Shown(name="trial", target=f"?study={LIVELY}&trial=4", has='h1:has-text("trial 4")'),
    Shown(name="fleet", target="?page=fleet", has='h1:has-text("Fleet")'),
    Shown(name="submit", target="?page=submit", has='h1:has-text("Submit")'),
)


def lay(url: str, *, trials: int = 12) -> None:
    """Give a server a study that minimises, one that maximises and one that waits."""
    with Client(url, TOKEN) as client:
        search(client, client.submit(document(LIVELY)), trials=trials)
        rising = document("rising", objective={"metric": "accuracy", "mode": "max"})
        search(client, client.submit(rising), trials=trials)
        client.submit(document("waits", run={"task": "digits-mlp"}))
