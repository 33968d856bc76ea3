"""How soon the dashboard shows a large study, and what it costs while 20 trials report each second.

    python benchmarks/dashboard.py [--trials 10000] [--steps 50] [--rounds 3]

A study is laid into a database, a server is started on it, and headless Chromium opens the study
with an empty cache. *Opens* is from the request to drawn curves; the bytes are those that the
network carried until then, without the event stream. Then 20 running trials report once a second
each: a *redraw* is the longest stretch in which the page's thread was busy without a pause (a "long
task"; those under 50 ms are not told). The peer is optuna-dashboard on the same database, until it
shows a chart.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx
from playwright.sync_api import Browser, CDPSession, Page
from playwright.sync_api import TimeoutError as TooLate

from benchmarks.rates.looked_at import lay
from benchmarks.rates.processes import Served, folder, tuner_server
from tests.e2e.browser import launched
from tuner import Client
from tuner.cli.demo import free_port

NAME = "large"
RUNNING = 20
WATCHED_S = 20.0
PEER_LIMIT_S = 90.0


Row = tuple[str, str, str, bool, str]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one opening of a page took: seconds, and bytes that the network carried."""

    seconds: float
    sent: int


def counted(page: Page) -> list[int]:
    """Count the bytes that a page receives from now on, in a list of one."""
    total = [0]
    cdp: CDPSession = page.context.new_cdp_session(page)
    cdp.send("Network.enable")

    def add(sent: float) -> None:
        total[0] += int(sent)

    cdp.on("Network.responseReceived", lambda e: add(e["response"]["encodedDataLength"]))
    cdp.on("Network.dataReceived", lambda e: add(e["encodedDataLength"]))
    return total


def opened(browser: Browser, served: Served) -> tuple[Page, Seen]:
    """Open the study with an empty cache, until its curves are drawn."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.request.post(
        f"{served.url}/session",
        form={"token": served.token, "next": "/"}, headers={"Origin": served.url},
    )  # fmt: skip
    total = counted(page)
    began = time.perf_counter()
    page.goto(f"{served.url}/?study={NAME}", wait_until="commit")
    page.wait_for_function(DRAWN, polling="raf")
    return page, Seen(seconds=time.perf_counter() - began, sent=total[0])


DRAWN = """() => {
  const canvas = document.querySelector('[aria-label="Learning curves"] canvas');
  if (!canvas) return false;
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  for (let i = 3; i < data.length; i += 400) if (data[i]) return true;
  return false;
}"""
WATCH = """() => {
  window.tasks = [];
  new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((e) => e.duration)))
    .observe({ type: "longtask" });
}"""


def redraws(page: Page, served: Served) -> tuple[float, float]:
    """Return the longest busy stretch while trials report, and the script's share of the time."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable")
    with reporting(served):
        page.wait_for_timeout(3000)
        page.evaluate(WATCH)
        before = metrics(cdp)
        page.wait_for_timeout(WATCHED_S * 1000)
        after = metrics(cdp)
        longest = max(page.evaluate("() => window.tasks"), default=0.0) / 1000
    return longest, (after["TaskDuration"] - before["TaskDuration"]) / WATCHED_S


def metrics(cdp: CDPSession) -> dict[str, float]:
    """Return the page's counters."""
    found = cdp.send("Performance.getMetrics")["metrics"]
    return {m["name"]: m["value"] for m in found}


@contextmanager
def reporting(served: Served) -> Iterator[None]:
    """Let trials of the study report, each once a second, in a thread of their own."""
    over = threading.Event()

    def run() -> None:
        with Client(served.url, served.token) as client:
            trials = [client.ask(NAME, record=False) for _ in range(RUNNING)]
            for step in range(1, 1000):
                for trial in trials:
                    trial.report(step, 1.0 / step + trial.number * 1e-6)
                    if over.wait(1.0 / RUNNING):
                        for held in trials:
                            held.release()
                        return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def curves(served: Served) -> float:
    """Return how long the server takes for the curves, from the request to the last byte."""
    headers = {"Authorization": f"Bearer {served.token}", "Accept-Encoding": "gzip"}
    began = time.perf_counter()
    reply = httpx.get(f"{served.url}/api/v1/studies/{NAME}/curves", headers=headers, timeout=60)
    reply.raise_for_status()
    return time.perf_counter() - began


def peer(browser: Browser, database: str) -> Seen | None:
    """Open the same study in optuna-dashboard; None where that is not installed."""
    program = Path(sys.executable).parent / "optuna-dashboard"
    found = str(program) if program.exists() else shutil.which("optuna-dashboard")
    if found is None:
        return None
    port = free_port()
    with subprocess.Popen(
        [found, database, "--port", str(port), "--host", "127.0.0.1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            ready(f"{url}/dashboard")
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            total = counted(page)
            began = time.perf_counter()
            page.goto(
                f"{url}/dashboard/studies/1", wait_until="commit", timeout=PEER_LIMIT_S * 1000
            )
            try:
                page.wait_for_selector(
                    ".js-plotly-plot .main-svg .trace",
                    state="attached",
                    timeout=PEER_LIMIT_S * 1000,
                )
            except TooLate:
                return Seen(seconds=float("inf"), sent=total[0])
            return Seen(seconds=time.perf_counter() - began, sent=total[0])
        finally:
            process.terminate()


def ready(url: str) -> None:
    """Wait until a page is answered."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, trust_env=False, timeout=10).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


def measured(browser: Browser, database: str, rounds: int) -> list[Row]:
    """Measure ours and the peer, and return the table's rows."""
    with tuner_server(database) as served:
        opens, sent, took = [], [], []
        for _ in range(rounds):
            page, seen = opened(browser, served)
            opens.append(seen.seconds)
            sent.append(seen.sent)
            took.append(curves(served))
            page.close()
        page, _ = opened(browser, served)
        longest, share = redraws(page, served)
    other = peer(browser, database)
    late = other is not None and math.isinf(other.seconds)
    beside = (
        ""
        if other is None
        else f"not in {PEER_LIMIT_S:.0f} s"
        if late
        else f"{other.seconds:.1f} s"
    )
    weight = "" if other is None else f"{other.sent / 1e6:.1f} MB"
    time_, size = statistics.median(opens), statistics.median(sent)
    answer = statistics.median(took)
    busy = f"{longest * 1e3:.0f} ms" if longest else "< 50 ms"
    return [
        ("the study opens", f"{time_:.2f} s", "< 2 s", time_ < 2.0, beside),
        ("bytes of the first view", f"{size / 1e3:.0f} KB", "< 150 KB", size < 150_000, weight),
        ("curves from the server", f"{answer * 1e3:.0f} ms", "< 300 ms", answer < 0.3, ""),
        (f"longest redraw, {RUNNING} reports/s", busy, "< 100 ms", longest < 0.1, ""),
        ("the page's thread is busy", f"{share:.0%} of the time", "", True, ""),
    ]  # fmt: skip


def shown(rows: Sequence[Row], title: str) -> str:
    """Return the rows as a table in Markdown."""
    lines = [title, "", "| | ours | goal | | optuna-dashboard |", "|---|---|---|---|---|"]
    for name, ours, goal, met, beside in rows:
        verdict = "" if not goal else "met" if met else "NOT met"
        lines.append(f"| {name} | {ours} | {goal} | {verdict} | {beside} |")
    return "\n".join(lines)


def main() -> None:
    """Run what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--db", help="a database that an earlier run kept, or where to keep it")
    options = parser.parse_args()
    with folder() as place:
        file = Path(options.db) if options.db else place / "tuner.db"
        if not file.exists():
            asyncio.run(lay(f"sqlite:///{file}", NAME, options.trials, options.steps))
        size = f"{options.trials:,} trials of {options.steps} steps in SQLite"
        title = f"{size}; the machine's load was {os.getloadavg()[0]:.1f}"
        with launched() as browser:
            rows = measured(browser, f"sqlite:///{file}", options.rounds)
    print(shown(rows, title))


if __name__ == "__main__":
    main()
