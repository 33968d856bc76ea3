"""The `run` section of studies whose trials are programs of the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tuner import command as commands
from tuner.errors import Fault, InvalidInput
from tuner.lines import Reader, from_pattern, from_template
from tuner.space import Space
from tuner.spec.base import Document
from tuner.text import unknown


def _variable(name: str) -> str:
    if name.startswith("TUNER_"):
        raise ValueError("names that begin with TUNER_ are the worker's own")
    return name


def _program(items: list[Argument | Group]) -> list[Argument | Group]:
    first = items[0]
    if not isinstance(first, str) or not first or "{" in first or "}" in first:
        raise ValueError("the program, which comes first, is a text without placeholders")
    return items


Argument = Annotated[str, Field(max_length=2000)]
Group = Annotated[list[Argument], Field(min_length=1, max_length=20)]
VariableName = Annotated[
    str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$"), AfterValidator(_variable)
]
StopSignal = Literal["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2"]


class Lines(Document):
    """Reads reports out of what the program prints, so that it need not be changed."""

    line: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    """The line as it is printed, with fields: `epoch {step}/* val_loss {value} acc {val_acc}`."""
    pattern: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    """A regular expression (Python's) instead, with groups of those names."""
    first_step: Literal[0, 1] = 1
    """The number the program prints for its first step."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.line is None) == (self.pattern is None):
            raise ValueError("give either line or pattern")
        return self

    def reader(self, metric: str) -> Reader:
        """Return what finds reports in lines, `metric` being the objective.

        Raises:
            InvalidInput: the template or pattern is not valid.
        """
        if self.line is not None:
            return from_template(self.line, metric)
        assert self.pattern is not None
        return from_pattern(self.pattern, metric)


class RunCommand(Document):
    """Start a program of the user's own, never through a shell, in the worker's folder."""

    command: Annotated[
        list[Argument | Group], Field(min_length=1, max_length=200), AfterValidator(_program)
    ]
    """The program and its arguments, with placeholders. Workers run what `--allow-command` says."""
    env: Annotated[
        dict[VariableName, Annotated[str, Field(max_length=10_000)]], Field(max_length=100)
    ] = Field(default_factory=dict)
    """Environment variables, as far as the worker's `--allow-env` lets studies set them."""
    report: Lines | None = None
    """How reports are read out of what it prints. If absent it reports itself."""
    on_stop: StopSignal | None = None
    """Signal at a decision to stop. SIGTERM where `report` is given, else none, if absent."""
    on_rate: Literal["SIGHUP", "SIGUSR1", "SIGUSR2"] | None = None
    """Signal when the level of the rate has changed."""
    stop_grace: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """Seconds after a decision to stop until it is ended: SIGTERM, and SIGKILL 10 s later."""
    progress_timeout: Annotated[float, Field(ge=1, le=604_800)] = 1800.0
    """Seconds without a report after which a trial is killed as failed."""

    @property
    def items(self) -> tuple[commands.Item, ...]:
        """The command as a value."""
        return commands.items_of(self.command)


def faults(run: RunCommand, space: Space, *, metric: str, steps: int | None) -> Iterator[Fault]:
    """Yield what keeps a command from being filled in for the trials of a study."""
    optional = set(commands.MAY_BE_ABSENT)
    optional |= {name for name, one in space.parameters.items() if one.when}
    if steps is None:
        optional.add("trial.steps")
    known = [*space.parameters, *commands.TRIAL_NAMES]
    for i, item in enumerate(run.items):
        group = (item,) if isinstance(item, str) else item
        for k, text in enumerate(group):
            where = f"run.command.{i}" if isinstance(item, str) else f"run.command.{i}.{k}"
            for message in _argument_faults(text, known, optional, isinstance(item, str)):
                yield Fault(where=where, message=message)
    yield from _variable_faults(space)
    if run.report is not None:
        try:
            run.report.reader(metric)
        except InvalidInput as exc:
            key = "line" if run.report.line is not None else "pattern"
            yield Fault(where=f"run.report.{key}", message=exc.detail)


def _argument_faults(text: str, known: list[str], optional: set[str], alone: bool) -> Iterator[str]:
    try:
        names = commands.names_in(text)
    except InvalidInput as exc:
        yield exc.detail
        return
    for name in names:
        if name not in known:
            yield unknown(f"name {name[:100]!r}", name, known)
        elif alone and name in optional:
            yield (
                f"{name} may be absent: put it into a list of its own, [{text!r}] or "
                f"[--option, {text!r}], which is left out then"
            )


def _variable_faults(space: Space) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for name in space.parameters:
        other = seen.setdefault(name.upper(), name)
        if other != name:
            message = f"{other} and {name} would both be TUNER_PARAM_{name.upper()}"
            yield Fault(where=f"space.{name}", message=message)
