"""The examples for Prometheus and Grafana: their queries are PromQL over what a server exports."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser as promql
import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from tests.api.conftest import Api, external, train
from tests.serving import ROOT

pytestmark = pytest.mark.anyio
FOLDER = ROOT / "examples" / "monitoring"
RULES: list[dict[str, Any]] = [
    rule
    for group in YAML(typ="safe").load(FOLDER / "alerts.yml")["groups"]
    for rule in group["rules"]
]
BOARD: dict[str, Any] = json.loads((FOLDER / "grafana.json").read_text())
TARGETS: list[dict[str, Any]] = [t for panel in BOARD["panels"] for t in panel["targets"]]
QUERIES = [one["expr"] for one in (*RULES, *TARGETS)]
ADDED = {"job", "instance"}
"""Labels that Prometheus adds by itself."""
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}


class Use(NamedTuple):
    """A series that a query asks for, and whether it asks for a range of it."""

    series: promql.VectorSelector
    ranged: bool


def uses(query: promql.Expr) -> list[Use]:
    """Return what series a query asks for."""
    found: dict[str, Use] = {}

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.MatrixSelector):
            found[str(node.vector_selector)] = Use(node.vector_selector, ranged=True)
        elif isinstance(node, promql.VectorSelector):
            found.setdefault(str(node), Use(node, ranged=False))

    promql.walk(query, visit)
    return list(found.values())


def kept(query: promql.Expr) -> Iterator[set[str]]:
    """Yield the labels that each `by` of a query keeps."""
    found: list[set[str]] = []

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            found.append(set(node.modifier.labels))

    promql.walk(query, visit)
    yield from found


class Exported(NamedTuple):
    """What a server exports: the labels of each series by name, and the values of each label."""

    labels: dict[str, set[str]]
    values: dict[tuple[str, str], set[str]]


@pytest.fixture
async def exported(api: Api) -> Exported:
    """Read the metrics of a server that has seen a bit of everything."""
    await api.post("/studies", external(policies=[{"name": "halve_on_plateau", "patience": 0}]))
    for _ in range(7):  # more than the rules of thumb, so that points are asked for
        await train(api, "loop", [0.9, 0.9, 0.7])
    text = (await api.http.get("/metrics")).text
    labels: dict[str, set[str]] = {}
    values: dict[tuple[str, str], set[str]] = defaultdict(set)
    for family in text_string_to_metric_families(text):
        for suffix in SUFFIXES.get(family.type, ("",)):
            labels[family.name + suffix] = set()
        for sample in family.samples:
            labels[sample.name] |= sample.labels.keys()
            for name, value in sample.labels.items():
                values[sample.name, name].add(value)
    return Exported(labels, values)


async def test_the_queries_ask_for_what_is_exported(exported: Exported) -> None:
    faults = {text: found for text in QUERIES if (found := list(_faults(exported, text)))}
    assert faults == {}
    assert len(QUERIES) > 20


def _faults(exported: Exported, text: str) -> Iterator[str]:
    """Yield what is wrong with a query."""
    query = promql.parse(text)
    found = uses(query)
    if not found:
        yield "it asks for nothing"
    for use in found:
        yield from _faults_of(exported, use)
    known = ADDED.union(*(exported.labels.get(s.name or "", ()) for s, _ in found))
    buckets = any((s.name or "").endswith("_bucket") for s, _ in found)
    for labels in kept(query):
        if labels - known:
            yield f"no label {labels - known}"
        if ("le" in labels) != buckets:
            yield "buckets are kept by `le`, and nothing else is"


def _faults_of(exported: Exported, use: Use) -> Iterator[str]:
    name = use.series.name or ""
    if name not in exported.labels:
        yield f"there is no {name}"
    if use.ranged != name.endswith(("_total", "_bucket", "_sum", "_count")):
        yield f"{name}: what only grows is asked for by its rate, and nothing else is"
    for matcher in use.series.matchers.matchers:
        if matcher.name not in exported.labels.get(name, set()) | ADDED:
            yield f"{name} has no label {matcher.name}"
        values = exported.values[name, matcher.name]
        if matcher.op == promql.MatchOp.Equal and matcher.value not in values:
            yield f"{matcher} never is"


@pytest.mark.parametrize(
    "wrong",
    [
        "tuner_nothing", "rate(tuner_leases[5m])", "tuner_reports_total",
        'tuner_studies{state="asleep"}', 'tuner_studies{colour="red"}', "1 + 1",
        "sum by (study) (tuner_studies)", "sum by (route) (rate(tuner_commit_seconds_bucket[5m]))",
    ],
)  # fmt: skip
async def test_a_query_for_what_is_not_exported_is_found(exported: Exported, wrong: str) -> None:
    assert list(_faults(exported, wrong))


async def test_every_metric_of_the_page_is_exported_with_its_labels(exported: Exported) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `(tuner_\w+)` \| ([^|]*)\|", page, re.MULTILINE)
    assert rows
    for name, labels in rows:
        listed = set(re.findall(r"`(\w+)`", labels))
        for series in (name, f"{name}_bucket"):
            if found := exported.labels.get(series, set()) - {"le"}:
                assert found == listed, name


def test_rules_are_whole() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert rule.keys() == {"alert", "expr", "for", "annotations"}
        assert promql.parse_duration(rule["for"]) >= timedelta(minutes=1)
        assert rule["annotations"].keys() == {"summary"}
        assert rule["annotations"]["summary"].endswith(".")
        (pages,) = [re.findall(r"docs/\w+\.md", rule["annotations"]["summary"])]
        assert all(Path(ROOT / page).is_file() for page in pages)


def test_the_dashboard_is_whole() -> None:
    panels = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    sources = {variable["name"] for variable in BOARD["templating"]["list"]}
    for panel in panels:
        assert panel["datasource"]["uid"].removeprefix("${").removesuffix("}") in sources
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for target in TARGETS:
        shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        labels = set().union(*kept(promql.parse(target["expr"]))) - {"le"}
        assert shown == labels or not labels, target
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        apart = any(
            a[at] + a[size] <= b[at]
            for a, b in ((one, other), (other, one))
            for at, size in (("x", "w"), ("y", "h"))
        )
        assert apart, (one, other)


@pytest.mark.parametrize("wrong", ["sum(rate(x[5m])", "rate(x)", "sum by x (y)", "x{y=z}"])
def test_what_is_no_promql_is_found(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        promql.parse(wrong)
