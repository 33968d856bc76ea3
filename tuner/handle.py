"""What training code holds: the trial's parameters, and ways to report, checkpoint and stop."""

from __future__ import annotations

import operator
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tuner import checkpoint
from tuner.checkpoint import Restored
from tuner.decision import BASE_LR, Decision, relevel
from tuner.errors import InvalidInput

ParamValue = float | int | str | bool

_LAST_STEP = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Point to the checkpoint a new attempt starts from. `step` counts finished steps.

    `inherited` says that another trial wrote it, perhaps at another step.
    """

    step: int
    path: Path
    inherited: bool = False


class TrialHandle(Protocol):
    """A leased trial, as user code sees it.

    Guarantees: `report` never blocks longer than the configured time-out and then answers with the
    last known decision; reports reach the server at least once and count once; after a decision to
    stop the outcome is already stored, and returning is all that is left to do.
    """

    @property
    def study(self) -> str:
        """The study's name."""

    @property
    def number(self) -> int:
        """The trial's number in its study, from 0."""

    @property
    def attempt(self) -> int:
        """How often the trial was leased, from 1."""

    @property
    def params(self) -> Mapping[str, ParamValue]:
        """The trial's parameters; only those whose condition holds."""

    @property
    def seed(self) -> int:
        """The seed of this trial's random streams, in [0, 2**31)."""

    @property
    def steps(self) -> int | None:
        """The longest training in steps, if the study names one."""

    @property
    def lr_factor(self) -> float:
        """The level in force now: the starting rate is multiplied by this."""

    @property
    def resume(self) -> Resume | None:
        """The checkpoint to go on from, or None for a fresh start."""

    @property
    def should_stop(self) -> bool:
        """Whether to end: the decision was to stop, or the trial was asked to leave.

        Code that leaves hands over a checkpoint before it returns; after a stop none is needed.
        """

    def report(
        self, step: int, value: float, metrics: Mapping[str, float] | None = None
    ) -> Decision:
        """Report the objective after `step` finished steps (from 1) and get the decision.

        A non-finite `value` says that the trial diverged. Non-finite `metrics` are dropped.
        """

    def checkpoint(self, step: int, path: Path | None = None, **state: Any) -> None:
        """Keep the state after `step` finished steps; it counts once the server has it whole.

        Args:
            step: finished steps; they were reported before.
            path: a complete file of one's own format, which is moved away.
            state: in place of a file: modules, optimizers, schedulers, anything else with
                `state_dict` and `load_state_dict`, random generators, DataLoaders, tensors, numpy
                arrays, plain values, and lists and dicts of these. The random streams of Python,
                numpy and torch are added. All is copied before this returns.

        Raises:
            InvalidInput: there is no such file, or the state holds something that can't be saved.
        """

    def restore(self, **targets: Any) -> Restored:
        """Put the state of the last checkpoint back into objects made anew.

        Args:
            targets: objects by the names they were saved under; all of them.

        Returns:
            The step to go on from, 0 if there is no checkpoint; its `state` holds the plain values.

        Raises:
            InvalidInput: the checkpoint can't be read, or does not fit the targets.
        """

    def artifact(self, path: Path, name: str | None = None) -> None:
        """Keep a file, or a folder with all that is in it, with the trial.

        It is kept under `name`, by default its own name, such as `plots/loss.png`; a later one of
        the same name takes its place. It is copied at once, and may be changed afterwards.
        """

    def log(self, text: str) -> None:
        """Write a line to the trial's log."""


class Checkpointing:
    """Give a handle `checkpoint` and `restore`. It brings `resume`, `lr_factor` and `_hand_over`.

    It may bring `_folder`, where files are written; a handle shared by processes that train
    together brings `_rank` and `_gather`, too.
    """

    if TYPE_CHECKING:

        @property
        def resume(self) -> Resume | None:
            """The checkpoint to go on from."""

        @property
        def lr_factor(self) -> float:
            """The level in force now."""

    @property
    def _folder(self) -> Path | None:
        return None

    @property
    def _rank(self) -> int:
        return 0

    def checkpoint(self, step: int, path: Path | None = None, **state: Any) -> None:
        """Keep the state after `step` finished steps: see `TrialHandle.checkpoint`.

        Raises:
            InvalidInput: the step is not valid, there is no such file, or the state holds something
                that can't be saved.
        """
        step = whole_step(step)
        if path is None:
            path = self._written(step, state)
        elif state:
            raise InvalidInput("a checkpoint is a file or a state, not both")
        self._hand_over(step, Path(path))

    def restore(self, **targets: Any) -> Restored:
        """Put the state of the last checkpoint back: see `TrialHandle.restore`.

        Raises:
            InvalidInput: the checkpoint can't be read, or does not fit the targets.
        """
        resume = self.resume
        if resume is None:
            return Restored(0)
        step = None if resume.inherited else resume.step
        own = [_settings(t) for t in targets.values()] if resume.inherited else []
        state = checkpoint.restore(resume.path, step, targets, rank=self._rank)
        for target, settings in zip(targets.values(), own, strict=False):
            _keep_own(target, settings)
        for target in targets.values():
            if hasattr(target, "param_groups"):
                relevel(target, self.lr_factor)
        return Restored(resume.step, state)

    def _hand_over(self, step: int, path: Path) -> None:
        """Take rank 0's complete checkpoint file, which is the handle's from now on.

        Raises:
            InvalidInput: there is no such file.
        """
        raise NotImplementedError

    def _written(self, step: int, state: Mapping[str, Any]) -> Path:
        """Write a state and return where; what other ranks than 0 add is their random streams."""
        random = self._gather(checkpoint.random_streams())
        if self._rank > 0:
            return Path(os.devnull)
        handle, name = tempfile.mkstemp(prefix="tuner-", suffix=".safetensors", dir=self._folder)
        os.close(handle)
        path = Path(name)
        try:
            checkpoint.save(path, step, state, random=random)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def _gather(self, value: Any) -> list[Any]:
        """Return the values of all processes that train together, given this one's."""
        return [value]


def existing(path: Path) -> Path:
    """Return the path of a checkpoint file.

    Raises:
        InvalidInput: there is no such file.
    """
    if not path.is_file():
        raise InvalidInput(f"there is no checkpoint file at {path}")
    return path


def whole_step(step: int) -> int:
    """Return a step as an int.

    Raises:
        InvalidInput: it is no whole number in range.
    """
    with suppress(TypeError):
        number = operator.index(step)
        if 0 <= number <= _LAST_STEP and not isinstance(step, bool):
            return number
    raise InvalidInput(f"a step is a whole number from 0 to {_LAST_STEP}, not {step!r}")


def _settings(target: Any) -> list[dict[str, Any]]:
    """Return an optimizer's rates and other settings, group by group; nothing for other objects."""
    groups = getattr(target, "param_groups", ())
    return [{key: value for key, value in group.items() if key != "params"} for group in groups]


def _keep_own(target: Any, settings: list[dict[str, Any]]) -> None:
    """Give an optimizer its settings back after it took another trial's state."""
    for group, own in zip(getattr(target, "param_groups", ()), settings, strict=False):
        group.update(own)
        if BASE_LR in group:
            group[BASE_LR] = own.get(BASE_LR, own["lr"])
