"""Documents of other tools, made into ours: pure, a parsed document in, one of ours out.

Whatever is in the source is used, or named among what could not be carried over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tuner.convert import katib, wandb
from tuner.convert.document import Converted, text_of
from tuner.convert.source import Remark, Source
from tuner.errors import InvalidInput
from tuner.spec import check

__all__ = ["Converted", "Remark", "convert", "text_of"]

_KATIB = "kubeflow.org/"
_SWEEP_KEYS = ("method", "program", "metric", "command", "early_terminate", "run_cap")


def convert(document: object) -> Converted:
    """Convert a parsed W&B sweep or Katib Experiment into a study document that is valid.

    Raises:
        InvalidInput: it is neither, it searches for an architecture, or what it says has no
            meaning as a study; `faults` name what.
    """
    name, reader = _kind_of(document)
    source = Source(document)
    made: dict[str, Any] = reader(source)
    source.name_the_rest()
    check(made)
    return Converted(
        kind=name,
        document=made,
        left=tuple(source.left),
        changed=tuple(source.changed),
        hints=tuple(source.hints),
    )


def _kind_of(document: object) -> tuple[str, Callable[[Source], dict[str, Any]]]:
    if not isinstance(document, dict) or not document:
        raise InvalidInput("this is no W&B sweep and no Katib Experiment: it is not a mapping")
    kind, version = document.get("kind"), str(document.get("apiVersion", ""))
    if version.startswith(_KATIB) or (kind == "Experiment" and "spec" in document):
        if kind != "Experiment":
            raise InvalidInput(f"of Katib's kinds only Experiment is read, not {str(kind)[:100]!r}")
        return "Katib Experiment", katib.read
    if "run" in document and "objective" in document:
        raise InvalidInput("this is a study document of tuner's already: submit it as it is")
    if "apiVersion" in document:
        raise InvalidInput(f"{version[:100]!r} is not kubeflow.org's: this is no Katib Experiment")
    if isinstance(document.get("parameters"), dict) or any(key in document for key in _SWEEP_KEYS):
        return "W&B sweep", wandb.read
    keys = ", ".join(str(key)[:40] for key in list(document)[:5])
    raise InvalidInput(f"this is no W&B sweep and no Katib Experiment: its keys are {keys}")
