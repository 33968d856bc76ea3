"""The models of the study document. Unknown keys are refused; nothing is coerced."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from tuner.robust import Rule
from tuner.size import Size
from tuner.space import Space
from tuner.spec.after import After, AfterRun, Again
from tuner.spec.base import Document, Positive, Steps
from tuner.spec.command import RunCommand
from tuner.spec.lifting import lifted
from tuner.spec.placement import Gpus, GpuShare, Processes, check_processes
from tuner.spec.recipe import RecipeSpec
from tuner.spec.space import SpaceSpec, build_space
from tuner.spec.steering import SETS_RATE, Policy, Pruner
from tuner.text import Label, MetricName, Name, StudyName


class Objective(Document):
    """What is optimised."""

    metric: MetricName
    """Name of the reported metric that is the objective."""
    mode: Literal["min", "max"] = "min"
    """Whether smaller or larger is better."""
    value: Literal["best", "last"] = "best"
    """Which of a trial's reports is its value."""


class Sampler(Document):
    """Proposes parameters. All are Optuna's."""

    name: Literal["tpe", "random", "cmaes", "gp", "qmc", "grid"] = "tpe"
    """The sampler."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the study's randomness. Proposals are reproducible with `budget.parallel: 1`."""
    startup: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """Random trials before the sampler's model is used (tpe, cmaes, gp). Optuna's own if absent."""
    trial_seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    """Seed of each trial's training. Derived from `seed` and the trial's number if absent."""


class Budget(Document):
    """What the study may spend."""

    trials: Positive = 50
    """Trials of the search, rules of thumb and enqueued ones included."""
    steps: Steps | None = None
    """A trial's longest training, in steps. The task's own default if absent."""
    parallel: Positive | None = None
    """Trials that may run at once. No limit if absent."""
    hours: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Hours since the study started after which no further trial starts."""
    max_failures: Positive = 5
    """Failed trials after which the study ends."""


class Repeats(Document):
    """Runs the best configurations again with fresh seeds, so that the choice is not luck."""

    finalists: Annotated[int, Field(ge=1, le=100)] = 3
    """How many of the best trials are run again."""
    seeds: Annotated[int, Field(ge=2, le=100)] = 5
    """How many fresh seeds each gets."""
    choose: Rule = "mean"
    """What decides: their mean, the worst run, or the mean and k standard deviations to its bad."""
    k: Annotated[float, Field(ge=0, le=100)] = 1.0
    """Of `mean_minus_std`."""


class RunTask(Document):
    """Train one of the built-in tasks."""

    task: Name
    """The task."""
    recipe: RecipeSpec | None = None
    """How its network is made, fed and trained. The task's own choices if absent."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; `auto` takes the GPU if there is one."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the forward and backward pass (autocast)."""
    checkpoint_every: Annotated[float, Field(ge=0, le=86_400)] = 10.0
    """Seconds of training between two checkpoints; 0 writes one after each epoch."""
    deterministic: bool = False
    """Whether CUDA may use only kernels that give the same bits each time; slower."""
    measure_layers: bool = True
    """Whether gradients and activations of layers are reported, for findings. Costs some 5 %."""
    progress_timeout: Annotated[float, Field(ge=1, le=604_800)] = 1800.0
    """Seconds without a report after which a trial is killed as failed."""
    memory: Size | None = None
    """Host memory a trial may use with all its processes, as `8GiB`; beyond it ends as oom."""
    gpus: GpuShare | None = None
    """A trial's share of a GPU, such as 0.25; 0 for none. What its slot sees if absent."""
    after: AfterRun | None = None
    """Of a study that follows another one, what it does. The service writes it."""


_TABLE = r"(?i)^[^\x00]+\.(csv|tsv|txt|parquet)$"


def _named_like_a_table(name: Any) -> Any:
    if isinstance(name, str) and not re.search(_TABLE, name):
        raise ValueError("should name a file that ends in .csv, .tsv, .txt or .parquet")
    return name


class RunTable(RunTask):
    """Learn a table of one's own: predict a column of a file from the others.

    Rows are split 60/20/20 by a seed, in proportion to the classes or the tenths of a number. How
    columns become numbers follows from the training rows alone.
    """

    task: Literal["table"]
    """The task."""
    data: Annotated[
        str, Field(max_length=500, pattern=_TABLE), BeforeValidator(_named_like_a_table)
    ]
    """CSV or Parquet file, absolute or below a folder that the workers' `--allow-data` names."""
    target: Annotated[str, Field(min_length=1, max_length=300)]
    """Column to predict."""
    kind: Literal["classification", "regression"] | None = None
    """What the target is. Classes if it is text or up to 20 whole numbers, if absent."""
    ignore: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=300)]], Field(max_length=1000)
    ] = Field(default_factory=list)
    """Columns to leave out, such as a row's number or what is known only after the target."""
    split_seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the split; the same for all trials of the study."""


class RunEntrypoint(Document):
    """Call a function of the user's own, `package.module:function`, with the trial."""

    entrypoint: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$",
            max_length=200,
        ),
    ]
    """`package.module:function`. Workers run it only if their `--allow` matches."""
    progress_timeout: Annotated[float, Field(ge=1, le=604_800)] = 1800.0
    """Seconds without a report after which a trial is killed as failed."""
    memory: Size | None = None
    """Host memory a trial may use with all its processes, as `8GiB`; beyond it ends as oom."""
    gpus: Gpus | None = None
    """A trial's share of a GPU, such as 0.25, or whole ones; 0 for none. See `--gpus` if absent."""
    processes: Processes | None = None
    """Processes that train a trial together, by torch.distributed. One a GPU if absent."""

    @model_validator(mode="after")
    def _a_gpu_each(self) -> Self:
        check_processes(self.gpus, self.processes)
        return self


def _run_kind(run: Any) -> str | None:
    if isinstance(run, RunTable) or (isinstance(run, dict) and run.get("task") == "table"):
        return "RunTable"
    if isinstance(run, RunTask) or (isinstance(run, dict) and "task" in run):
        return "RunTask"
    if isinstance(run, RunEntrypoint) or (isinstance(run, dict) and "entrypoint" in run):
        return "RunEntrypoint"
    if isinstance(run, RunCommand) or (isinstance(run, dict) and "command" in run):
        return "RunCommand"
    return "external" if run == "external" else None


Run = Annotated[
    Annotated[RunTask, Tag("RunTask")]
    | Annotated[RunTable, Tag("RunTable")]
    | Annotated[RunEntrypoint, Tag("RunEntrypoint")]
    | Annotated[RunCommand, Tag("RunCommand")]
    | Annotated[Literal["external"], Tag("external")],
    Discriminator(
        _run_kind,
        custom_error_type="run_kind",
        custom_error_message="give {task: NAME}, {entrypoint: 'pkg.module:function'}, "
        "{command: [PROGRAM, ARGUMENT, ...]} or external",
    ),
]


class Retry(Document):
    """What happens to trials whose worker failed or vanished."""

    max: Annotated[int, Field(ge=0, le=1000)] = 3
    """Attempts that may fail or be lost before the trial ends. Preemption does not count."""


class Queue(Document):
    """Where the study stands among others."""

    project: Name = "default"
    """Projects share the workers fairly."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Larger goes first."""
    labels: Annotated[dict[Label, Label], Field(max_length=32)] = Field(default_factory=dict)
    """Labels a worker must have."""


class StudySpec(Document):
    """A study: what to optimise, over which space, by which means, at which cost."""

    api_version: Literal["v1"] = "v1"
    """Version of this document's format."""
    name: StudyName | None = None
    """Unique name. Derived from `run` if absent."""
    objective: Objective
    """What is optimised."""
    space: SpaceSpec | None = None
    """Parameters by name. The default space if absent."""
    constraints: Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=100)] = (
        Field(default_factory=list)
    )
    """Conditions between parameters that every proposal meets."""
    sampler: Sampler = Field(default_factory=Sampler)
    """Proposes parameters."""
    pruner: Pruner | None = None
    """Ends trials early. ASHA with its first rung at a tenth of the longest training if absent."""
    policies: Annotated[list[Policy], Field(max_length=10)] | None = None
    """Rules that steer a trial. `halve_on_plateau` and `divergence` if absent; see `preset`."""
    budget: Budget = Field(default_factory=Budget)
    """What the study may spend."""
    repeats: Repeats | None = None
    """Fresh-seed runs of the finalists after the search. None if absent."""
    after: After | None = None
    """What follows the search of a built-in task: ensemble, data doctor. None if absent."""
    again: Again | None = None
    """Another study whose best configurations run again here, on other data. None if absent."""
    run: Run
    """What a worker does with a trial; `external` for people who run their own loop."""
    retry: Retry = Field(default_factory=Retry)
    """What happens to trials whose worker failed or vanished."""
    queue: Queue = Field(default_factory=Queue)
    """Where the study stands among others."""

    @model_validator(mode="before")
    @classmethod
    def _searched_in_the_recipe(cls, document: Any) -> Any:
        return lifted(document)

    @model_validator(mode="after")
    def _policies_once(self) -> Self:
        names = [p.name for p in self.policies or ()]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"policy {name!r} is listed more than once")
        setting = [p.name for p in self.policies or () if isinstance(p, SETS_RATE)]
        if len(setting) > 1:
            raise ValueError(
                f"policies {' and '.join(setting)} exclude each other: each sets the rate"
            )
        return self

    @model_validator(mode="after")
    def _fresh_seeds(self) -> Self:
        if self.repeats is not None and self.sampler.trial_seed is not None:
            raise ValueError("repeats need fresh seeds: leave out sampler.trial_seed")
        return self

    def build_space(self) -> Space:
        """Return the search space as a value, each parameter after those its condition names."""
        return build_space(self.space)
