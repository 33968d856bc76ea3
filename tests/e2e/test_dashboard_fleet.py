"""The fleet's page and a trial's in a real browser: live workers, what trials print and keep."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.e2e.browser import log_in, opened
from tests.e2e.worker_process import WorkerProcess, wait_until
from tests.serving import ServerProcess

pytestmark = pytest.mark.browser
CODE = """
import json, os, pathlib, time
def main(trial):
    print("<b>bold</b> <script>document.title = 'run'</script>")
    print("\\u05e9\\u05dc\\u05d5\\u05dd \\u05e2\\u05d5\\u05dc\\u05dd 1")
    pathlib.Path("notes.json").write_text(json.dumps({"word": "<i>leaning</i>"}))
    pathlib.Path("table.csv").write_text('name,loss\\n"<b>a, b</b>",0.5\\n')
    import base64
    pathlib.Path("dot.png").write_bytes(base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="))
    for name in ("dot.png", "notes.json", "table.csv"):
        trial.artifact(name)
    for step, value in enumerate((0.9, 0.9, 0.5), 1):
        trial.report(step, value, {"grad_norm": 1.0 / step, "update_ratio": 1e-3})
    while not os.path.exists("go"):
        time.sleep(0.02)
"""
STUDY = {
    "name": "<i>tried",
    "objective": {"metric": "loss"},
    "space": {"lr": {"min": 0.1, "max": 0.2}},
    "pruner": {"name": "none"},
    "policies": [{"name": "halve_on_plateau", "factor": 0.5, "patience": 0}],
    "budget": {"trials": 3, "steps": 9},
    "run": {"entrypoint": "code_main:main"},
}


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    expect.set_options(timeout=30_000)
    with opened() as page:
        yield page
    expect.set_options(timeout=5_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, page: Page) -> Iterator[ServerProcess]:
    options = ("--lease", "4", "--heartbeat", "0.4", "--sweep", "0.2")
    with ServerProcess(tmp_path_factory.mktemp("server"), *options) as server:
        log_in(page, server)
        yield server


def workers(server: ServerProcess) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = server.call("GET", "/workers")["items"]
    return items


def bar(page: Page) -> dict[str, float] | None:
    """Return the box of the first coloured stretch of the timeline, in its own pixels."""
    found: dict[str, float] | None = page.evaluate(
        """() => {
          const canvas = document.querySelector(".lanes canvas");
          const wanted = getComputedStyle(document.documentElement).getPropertyValue("--s-running");
          const [r, g, b] = wanted.match(/\\w\\w/g).map((h) => parseInt(h, 16));
          const { width, height } = canvas;
          if (!width || !height) return null;
          const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
          for (let i = 0; i < data.length; i += 4)
            if (data[i] === r && data[i + 1] === g && data[i + 2] === b)
              return { x: ((i / 4) % width) / devicePixelRatio,
                       y: Math.floor(i / 4 / width) / devicePixelRatio };
          return null;
        }"""
    )
    return found


def test_a_fleet_is_watched_and_drained_and_its_trial_looked_at(
    server: ServerProcess, page: Page, tmp_path: Path
) -> None:
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))

    def dismissed(dialog: Dialog) -> None:
        complaints.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismissed)
    page.get_by_role("link", name="Fleet").click()
    expect(page.get_by_role("heading", name="No worker yet")).to_be_visible()
    expect(page.get_by_text("tuner worker --slots 1")).to_be_visible()
    (tmp_path / "code_main.py").write_text(CODE)
    server.call("POST", "/studies", STUDY)
    with WorkerProcess(tmp_path, server.url, server.token, name="node-1", labels={"room": "3"}):
        row = page.get_by_role("row").filter(has_text="node-1")
        expect(row).to_contain_text("working")
        expect(row).to_contain_text("room=3")
        wait_until(lambda: bar(page), "a bar of the running trial")
        row.get_by_role("button", name="Drain").click()
        expect(row).to_contain_text("draining")
        expect(row).to_contain_text("by admin")

        found = bar(page)
        assert found is not None
        page.locator(".lanes canvas").click(position={"x": found["x"], "y": found["y"] + 2})
        expect(page.get_by_role("heading", name="<i>tried / trial 0")).to_be_visible()
        expect(page.get_by_label("Events")).to_contain_text("rate cut to 1/2 of its start")
        for chart in ("Curve and decisions", "Rate, as a part", "Gradient norm", "Update ratio"):
            expect(page.get_by_role("img", name=chart)).to_be_visible()
        log = page.get_by_role("log")
        expect(log).to_contain_text("<b>bold</b> <script>")
        expect(log).to_contain_text("שלום עולם 1")
        page.get_by_placeholder("Search", exact=True).fill("BOLD")
        expect(page.get_by_text("1 of 2 lines")).to_be_visible()
        expect(log.locator("mark").first).to_have_text("bold")
        artifacts = page.get_by_label("Artifacts")
        expect(artifacts.get_by_role("button", name="Show")).to_have_count(3)
        artifacts.get_by_role("button", name="Show").first.click()
        wait_until(
            lambda: page.evaluate("document.querySelector('img.preview')?.naturalWidth"),
            "a picture",
        )
        artifacts.get_by_role("button", name="Show").first.click()
        expect(artifacts.locator("pre")).to_contain_text('"word": "<i>leaning</i>"')
        artifacts.get_by_role("button", name="Show").last.click()
        expect(artifacts.get_by_role("cell", name="<b>a, b</b>", exact=True)).to_be_visible()
        (tmp_path / "go").touch()
        expect(page.get_by_text("complete at step 3", exact=False).first).to_be_visible()

        page.get_by_role("link", name="Fleet").click()
        expect(row).to_contain_text("drained")
        assert [w["running"] for w in workers(server)] == [[]]
        row.get_by_role("button", name="Undrain").click()
        expect(row).not_to_contain_text("drained")
        ended = "/studies/1/trials?outcome=complete"
        wait_until(lambda: len(server.call("GET", ended)["items"]) == 3, "all trials to end")
    assert complaints == []


def test_a_lost_worker_is_never_shown_as_running(
    server: ServerProcess, page: Page, tmp_path: Path
) -> None:
    (tmp_path / "code_main.py").write_text(CODE)
    server.call("POST", "/studies", STUDY | {"name": "two"})
    page.goto(f"{server.url}/?page=fleet")
    with WorkerProcess(tmp_path, server.url, server.token, name="node-2") as worker:
        row = page.get_by_role("row").filter(has_text="node-2")
        expect(row).to_contain_text("working")
        worker.process.kill()
        expect(row).to_contain_text("lost")
        expect(row).not_to_contain_text("working")
        expect(row).to_contain_text("1 of 1")


def test_parameters_are_run_again_after_a_question(server: ServerProcess, page: Page) -> None:
    document = STUDY | {"name": "again", "run": "external"}
    server.call("POST", "/studies", document)
    (lease,) = server.call("POST", "/studies/again/ask", {})["leases"]
    server.call("POST", f"/leases/{lease['lease']}/finish", {"attempt": 1, "value": 0.5})
    page.goto(f"{server.url}/?study=again&trial={lease['number']}")
    page.get_by_role("button", name="Run again…").click()
    asked = page.get_by_role("dialog")
    expect(asked).to_contain_text("lr")
    asked.get_by_role("button", name="Run again").click()
    expect(page.get_by_text("Queued as trial")).to_be_visible()
    (waiting,) = server.call("GET", "/studies/again/trials?origin=enqueued")["items"]
    assert waiting["params"] == lease["params"]


PURE = """async () => {
  const root = document.querySelector("script[src]").src.replace(/main\\.js$/, "");
  const lanes = await import(root + "fleet/lanes.js");
  const { lineage, leftBehind } = await import(root + "lib/lineage.js");
  const { csvRows, readable } = await import(root + "trial/files.js");
  const { command, written } = await import(root + "trial/parts.js");
  const { grouped } = await import(root + "trial/diagnostics.js");
  const { byMeasure, ofLayer } = await import(root + "trial/layers.js");
  const bar = (worker, start, end, how = "complete") => (
    { study: 1, number: start, attempt: 1, worker, start, end, how });
  const node = { worker_id: "w", name: "n", slots: 2, alive: true,
                 registered_at: "1970-01-01T00:00:00Z" };
  const groups = lanes.lay([bar("w", 0, 50), bar("w", 10, null, "running"), bar("w", 50, 60),
                            bar("gone", 5, 6, "lost"), bar(null, 1, 2)], [node]);
  const use = lanes.use(groups[0], 0, 100, 100);
  const at = (attempt, step) => ({ attempt, step, value: attempt });
  const trial = { reports: [at(1, 1), at(1, 2), at(1, 3), at(2, 2)],
    events: [{ kind: "leased", attempt: 1, data: {} },
             { kind: "leased", attempt: 2, data: { resumed_step: 1 } }] };
  const many = (bad) => ({ attempts: 10, bad });
  return {
    lanes: groups.map((g) => [g.id, g.lanes.map((l) => l.map((b) => b.start))]),
    use: [use.busy, use.room, use.idle, use.running],
    merged: lanes.merged([bar("w", 1, 2), bar("w", 5, null, "running")],
      [bar("w", 5, 9)], 3).map((b) => [b.start, b.end]),
    out: [lanes.standsOut(many(6), many(6)), lanes.standsOut(many(2), { attempts: 40, bad: 2 }),
          lanes.standsOut(many(5), { attempts: 40, bad: 20 }),
          lanes.standsOut(many(5), { attempts: 40, bad: 6 })],
    lineage: lineage(trial).map((r) => [r.attempt, r.step]),
    left: leftBehind(trial).map((r) => [r.attempt, r.step]),
    csv: csvRows('a,"b ""c"", d"\\r\\n1,2\\n', ","),
    json: readable("x.json", '{"a":1}', false).value,
    cutJson: readable("x.json", '{"a":', true).value,
    command: command("a b", { lr: 1e-7, opt: "sgd", word: "it's" }),
    written: ["yes", "sgd", 0.5, 1e21, true].map(written),
    layers: byMeasure(["lr", "layer/out/grad", "layer/a/0.b/grad", "layer/a/0.b/dead"])
      .map((m) => [m.what, m.layers.map((l) => l.name)]),
    ofLayer: ["layer/out/grad", "layer/out", "layers/out/grad"].map(ofLayer),
    grouped: grouped(["grad_norm", "train_loss", "val_loss", "update_ratio", "lr", "val_acc"]),
  };
}"""


def test_what_the_pages_reckon(server: ServerProcess, page: Page) -> None:
    page.goto(server.url)
    found = page.evaluate(PURE)
    assert found["lanes"] == [
        ["w", [[0, 50], [10]]],
        ["gone", [[5]]],
        ["own loops", [[1]]],
    ]
    assert found["use"] == [150, 200, 50, 1]
    assert found["merged"] == [[5, 9]]
    assert found["out"] == [True, False, False, True]
    assert found["lineage"] == [[1, 1], [2, 2]]
    assert found["left"] == [[1, 2], [1, 3]]
    assert found["csv"] == [["a", 'b "c", d'], ["1", "2"]]
    assert found["json"] == '{\n  "a": 1\n}'
    assert found["cutJson"] == '{"a":'
    assert found["command"] == "tuner enqueue 'a b' lr=1.0e-7 opt=sgd 'word=\"it'\\''s\"'"
    assert found["written"] == ['"yes"', "sgd", "0.5", "1.0e+21", "true"]
    assert found["layers"] == [["grad", ["out", "a/0.b"]], ["dead", ["a/0.b"]]]
    assert found["ofLayer"] == [True, False, False]
    assert found["grouped"] == {
        "grad": ["grad_norm"],
        "ratio": ["update_ratio"],
        "pairs": [{"name": "loss", "train": "train_loss", "val": "val_loss"}],
        "rest": ["lr", "val_acc"],
    }
