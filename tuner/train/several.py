"""One trial over several seeds: its networks side by side, and what they are worth together."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import pstdev

from tuner.handle import Resume
from tuner.robust import aggregated
from tuner.train import state, streams
from tuner.train.engine import Engine, Leave, Setting, starter

_REST = "other_seeds"
_SUMMED = ("epoch_seconds",)


class Several:
    """An `Engine` of engines, each on a seed of its own, the first on the trial's.

    What a study may be tuned on is aggregated as the recipe says, as is its counterpart on the test
    rows; of all other metrics the mean is told. A checkpoint is the first one's, which others can
    start from, with those of the rest beside it.
    """

    def __init__(self, setting: Setting) -> None:
        start = starter(setting.info.name)
        self._setting = setting
        self._engines: list[Engine] = [
            start(replace(setting, seed=seed_of(setting.seed, number)))
            for number in range(setting.recipe.seeds)
        ]

    @property
    def epoch(self) -> int:
        """Epochs that all have finished."""
        return min(engine.epoch for engine in self._engines)

    def run_epoch(self, level: float, leave: Leave) -> bool:
        """Train an epoch of each that has not finished it: see `Engine.run_epoch`."""
        now = self.epoch
        return all(engine.epoch > now or engine.run_epoch(level, leave) for engine in self._engines)

    def measure(self) -> dict[str, float]:
        """Close the epoch: see `Engine.measure`."""
        found = [engine.measure() for engine in self._engines]
        names = [name for name in found[0] if all(name in one for one in found)]
        together = {name: self._together(name, [one[name] for one in found]) for name in names}
        return together | {
            f"{name}_std": pstdev(one[name] for one in found)
            for name in self._setting.info.objectives
            if name in together and math.isfinite(together[name])
        }

    def _together(self, name: str, values: Sequence[float]) -> float:
        if not all(map(math.isfinite, values)):
            return math.nan
        if name in _SUMMED:
            return math.fsum(values)
        objectives, recipe = self._setting.info.objectives, self._setting.recipe
        mode = objectives.get(name) or objectives.get(name.replace("test_", "val_", 1))
        if mode is None:
            return math.fsum(values) / len(values)
        return aggregated(
            values, recipe.aggregate, recipe.aggregate_k, smaller_is_better=mode == "min"
        )

    def tree(self) -> state.Tree:
        """Return the state as a checkpoint holds it."""
        first, *rest = (engine.tree() for engine in self._engines)
        return {**first, _REST: {str(number): tree for number, tree in enumerate(rest, start=1)}}

    def restore(self, resume: Resume) -> None:
        """Go to where a checkpoint was written: see `Engine.restore`.

        Of another trial's single network all of them go on.
        """
        tree = state.load(resume.path)
        rest = tree.get(_REST)
        with tempfile.TemporaryDirectory() as folder:
            for number, engine in enumerate(self._engines):
                own = rest.get(str(number)) if number and isinstance(rest, Mapping) else None
                path = resume.path
                if own is not None:
                    path = Path(folder) / f"{number}.safetensors"
                    state.save(path, own)
                engine.restore(_at(resume, path, tree if own is None else own))


def begin(setting: Setting) -> Engine:
    """Return a training before its first step, of as many seeds as the recipe says."""
    return Several(setting) if setting.recipe.seeds > 1 else starter(setting.info.name)(setting)


def seed_of(seed: int, number: int) -> int:
    """Return the seed of a trial's network by its number; the first has the trial's own."""
    return streams.derive(seed, "seeds", number) % 2**31 if number else seed


def _at(resume: Resume, path: Path, tree: Mapping[str, object]) -> Resume:
    """Point to an engine's own file; it may have finished an epoch that others had not."""
    epoch = tree.get("epoch")
    if resume.inherited or not isinstance(epoch, int):
        return replace(resume, path=path)
    return replace(resume, path=path, step=epoch)
