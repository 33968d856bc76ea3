"""The trial template of a Katib Experiment: which program runs, and how it reports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tuner.convert.source import Path, Source, fault
from tuner.convert.wandb_command import escape

_AT: Path = ("spec", "trialTemplate")
_COLLECTOR: Path = ("spec", "metricsCollectorSpec")
_REFERENCE = re.compile(r"\$\{trialParameters\.([^{}]*)\}")
_DEEPEST = 20
_TEMPLATE = {
    "retain": "processes end with their trial",
    "successCondition": "a trial succeeds by what it reports and its exit code",
    "failureCondition": "a trial fails by its exit code",
    "primaryPodLabels": "there are no pods",
    "configMap": "the template stands in a config map; convert it with its trialSpec",
}
_MEMORY = re.compile(r"([0-9]+)([KMGT]i|[kMGT])")
_CONTAINER = {
    "image": "no containers are started: start workers in this image",
    "imagePullPolicy": "no containers are started",
    "env": "set variables where the worker starts, or by run.env",
    "envFrom": "set variables where the worker starts",
    "volumeMounts": "mount where the worker runs",
    "workingDir": "commands start in the worker's folder",
}


def run_of(source: Source, names: Mapping[str, str]) -> tuple[Any, int | None]:
    """Return the `run` section, and how often a trial may fail if the template says so.

    Args:
        source: the Experiment.
        names: Katib's names of parameters with ours.
    """
    references = _references(source, names)
    retries = source.whole(*_AT, "trialSpec", "spec", "backoffLimit")
    container = _container(source)
    for key, why in _TEMPLATE.items():
        source.leave((*_AT, key), why)
    if container is None:
        source.hint("no command was found: name one by run.command, or take trials with Client.ask")
        source.leave(_COLLECTOR, "there is no program whose output could be read")
        return "external", retries
    resources = _resources(source, container)
    words = list(_words(source, container, references))
    if not words:
        source.hint(
            f"{'.'.join(map(str, container))} names no command: the image's own is not known"
        )
        source.leave(_COLLECTOR, "there is no program whose output could be read")
        return "external", retries
    run: dict[str, Any] = {"command": words} | resources
    source.hint(
        "steps are counted by lines: let the program print or report a step with each value"
    )
    return run | _collector(source), retries


def _references(source: Source, names: Mapping[str, str]) -> dict[str, str]:
    """Return what `${trialParameters.NAME}` stands for, by name, as it stands in a command."""
    found: dict[str, str] = {}
    at = (*_AT, "trialParameters")
    for i in range(len(source.items(*at))):
        name, reference = source.text(*at, i, "name"), source.text(*at, i, "reference")
        source.use(*at, i, "description")
        if not name or not reference:
            raise fault((*at, i), "needs a name and a reference")
        if reference in names:
            found[name] = f"{{{names[reference]}}}"
        elif reference == "${trialSpec.Name}":
            found[name] = "{trial.study}-{trial.number}"
        else:
            source.change(
                (*at, i, "reference"), f"{reference[:80]!r} is no parameter: it is left empty"
            )
            found[name] = ""
    return found


def _container(source: Source) -> Path | None:
    """Return where the container stands that trains; all of the others are left."""
    source.use(*_AT, "trialSpec", "apiVersion")
    source.use(*_AT, "trialSpec", "kind")
    primary = source.text(*_AT, "primaryContainerName")
    spec = source.peek(*_AT, "trialSpec")
    found = list(_containers(spec, (*_AT, "trialSpec"))) if isinstance(spec, dict) else []
    named = [path for path in found if source.peek(*path, "name") == primary]
    chosen = next(iter(named or found), None)
    for path in found:
        if path != chosen:
            source.leave(path, "is another container; a trial is one program")
    if chosen is not None:
        source.use(*chosen, "name")
        for key, why in _CONTAINER.items():
            source.leave((*chosen, key), why)
    return chosen


def _containers(node: Any, path: Path) -> Iterator[Path]:
    if len(path) > _DEEPEST:
        return
    if isinstance(node, dict):
        for key, inner in node.items():
            if key == "containers" and isinstance(inner, list):
                yield from ((*path, key, i) for i, one in enumerate(inner) if isinstance(one, dict))
            else:
                yield from _containers(inner, (*path, key))
    elif isinstance(node, list):
        for i, inner in enumerate(node):
            yield from _containers(inner, (*path, i))


def _resources(source: Source, container: Path) -> dict[str, Any]:
    """Return the GPUs and the memory that a trial gets; the container's other limits are left."""
    found: dict[str, Any] = {}
    at = (*container, "resources")
    for kind in ("requests", "limits"):
        for name in source.mapping(*at, kind) if source.mapping(*at) else ():
            path = (*at, kind, name)
            size = _MEMORY.fullmatch(str(source.peek(*path)))
            if name.endswith(".com/gpu"):
                found["gpus"] = source.whole(*path)
            elif name == "memory" and kind == "limits" and size is not None:
                source.use(*path)
                found["memory"] = f"{size[1]}{size[2].upper().replace('I', 'i')}B"
            else:
                source.leave(path, "a worker does not set it: say by queue.labels where trials run")
    return {key: value for key, value in found.items() if value is not None}


def _words(source: Source, at: Path, references: Mapping[str, str]) -> Iterator[str]:
    for key in ("command", "args"):
        found = source.items(*at, key)
        source.use(*at, key)
        for i, word in enumerate(found):
            if not isinstance(word, str | int | float):
                raise fault((*at, key, i), "should be a text")
            yield _filled(source, str(word), references, (*at, key, i))


def _filled(source: Source, word: str, references: Mapping[str, str], path: Path) -> str:
    parts: list[str] = []
    end = 0
    for found in _REFERENCE.finditer(word):
        if found[1] not in references:
            raise fault(path, f"{found[0][:80]} is not among the trialParameters")
        parts += escape(word[end : found.start()]), references[found[1]]
        end = found.end()
    return "".join([*parts, escape(word[end:])])


def _collector(source: Source) -> dict[str, Any]:
    """Return how reports are read out of what the program prints, as Katib's collector would."""
    kind = source.text(*_COLLECTOR, "collector", "kind") or "StdOut"
    metric = source.peek("spec", "objective", "objectiveMetricName")
    source.leave((*_COLLECTOR, "source", "filter"), "write run.report.pattern in its place")
    if kind in ("StdOut", "File"):
        if kind == "File":
            source.change(
                (*_COLLECTOR, "collector", "kind"),
                "lines are read from what it prints, not from a file",
            )
        source.leave((*_COLLECTOR, "source"), "lines are read from what it prints")
        return {
            "report": {
                "pattern": rf"\b{re.escape(str(metric))}\s*[=:]\s*(?P<value>[-+0-9.eEnaif]+)"
            }
        }
    if kind != "None":
        source.change(
            (*_COLLECTOR, "collector", "kind"), f"{kind[:60]}: the program reports itself"
        )
    source.hint("let the program call tuner.current_trial().report(step, value)")
    return {}
