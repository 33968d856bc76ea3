"""Makes docs/images/dashboard/: every page of the dashboard in both themes and on a phone.

    make screenshots                                 # or: python docs/screenshots.py
    python docs/screenshots.py --only trials trial   # some pages

A real server, two workers that train the example study, and studies that wait; WebP, as small as
Chromium makes it. The list of pages is `tests/pages.py`.
"""

from __future__ import annotations

import argparse
import base64
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import Browser, Page

from tests.e2e.browser import launched
from tests.pages import LIVELY, PAGES, Shown
from tests.scenes import document, search
from tests.serving import TOKEN, ServerProcess
from tuner import Client
from tuner.cli.demo import WORKERS, started, worker_command
from tuner.cli.demo import document as example

FOLDER = Path(__file__).parent / "images" / "dashboard"
LOOKS = {"light": ("light", 1280, 800), "dark": ("dark", 1280, 800), "phone": ("light", 390, 844)}
TRIALS = 200
MID_STUDY = 30
QUALITY = 60
TALLEST = 1700
PATIENCE_MS = 15_000


@contextmanager
def service() -> Iterator[str]:
    """Give the address of a server in whose midst two workers train `LIVELY`."""
    with TemporaryDirectory(prefix="tuner-pictures-") as name, ExitStack() as parts:
        place = Path(name)
        server = parts.enter_context(ServerProcess(place))
        client = parts.enter_context(Client(server.url, TOKEN))
        done = document("mnist-cnn", objective={"metric": "accuracy", "mode": "max"})
        search(client, client.submit(done), trials=40)
        study = client.submit({**example(TRIALS), "name": LIVELY, "queue": {"priority": 10}})
        for number, waiting in enumerate(("tiny-lm", "adding-lstm", "charnet")):
            queue = {"priority": -number, "project": "text"}
            client.submit(document(waiting, run={"task": "digits-mlp"}, queue=queue))
        for worker in WORKERS:
            command = worker_command(place, worker)
            parts.enter_context(started(worker, command, dict(server.env), place))
        while ended(study.refresh().view.counts) < MID_STUDY:
            time.sleep(0.2)
        yield server.url


def ended(counts: Mapping[str, int]) -> int:
    """Return how many trials have ended."""
    return sum(n for name, n in counts.items() if name not in ("waiting", "running"))


def main() -> None:
    """Take what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], help="names of pages")
    options = parser.parse_args()
    pages = [p for p in PAGES if not options.only or p.name in options.only]
    FOLDER.mkdir(parents=True, exist_ok=True)
    with service() as url, launched() as browser:
        for look in LOOKS:
            take(browser, url, pages, look)
    size = sum(f.stat().st_size for f in FOLDER.iterdir())
    print(f"{len(list(FOLDER.iterdir()))} pictures, {size / 1e6:.1f} MB")


def take(browser: Browser, url: str, pages: Sequence[Shown], look: str) -> None:
    """Take the pages in one look."""
    theme, width, height = LOOKS[look]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        locale="en-GB",
    )
    page = context.new_page()
    page.goto(f"{url}/login")
    page.fill("#token", TOKEN)
    page.click("button")
    for shown in pages:
        page.set_viewport_size({"width": width, "height": height})
        page.goto(f"{url}/{shown.target}")
        page.wait_for_selector(shown.has, timeout=PATIENCE_MS)
        page.wait_for_timeout(800)
        (FOLDER / f"{shown.name}-{look}.webp").write_bytes(picture(page, shown, width, height))
    context.close()


def picture(page: Page, shown: Shown, width: int, height: int) -> bytes:
    """Return a page as WebP, as far down as it is to be shown."""
    if shown.whole:
        tall = int(page.evaluate("document.documentElement.scrollHeight"))
        page.set_viewport_size({"width": width, "height": min(max(tall, height), TALLEST)})
        page.wait_for_timeout(300)
    session = page.context.new_cdp_session(page)
    found = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    return base64.b64decode(found["data"])


if __name__ == "__main__":
    main()
