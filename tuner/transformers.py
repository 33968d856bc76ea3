"""The callback for the Trainer of Hugging Face's transformers.

The Trainer writes a checkpoint as a folder, some of whose files are pickles of tensors and plain
values. Those are read where they were written, and travel in tuner's own format; before a new
attempt they are written again for the Trainer.
"""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_pt_utils import safe_globals
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, SaveStrategy

from tuner.errors import InvalidInput
from tuner.files import scratch
from tuner.handle import TrialHandle
from tuner.steering import Steering
from tuner.torch import LRController

_PICKLES = (".pt", ".pth", ".bin")
_NOT_NEEDED = ("training_args.bin",)


class TunerCallback(TrainerCallback):
    """Report each evaluation, apply what is decided, keep a checkpoint of each.

    A step is an evaluation. The optimizer runs at its scheduler's rate times the level. Pass
    `resume_from_checkpoint=callback.resume_from_checkpoint` to `train`, so that a trial goes on
    where its last attempt was. When the trial is asked to leave, `train` raises
    `errors.TrialInterrupted`.
    """

    def __init__(
        self, trial: TrialHandle, metric: str = "eval_loss", *, checkpoint: bool = True
    ) -> None:
        """Tie a trial to the training.

        Args:
            trial: the trial that trains here.
            metric: the evaluation's metric that is the objective.
            checkpoint: whether to keep checkpoints.
        """
        self._steering = Steering(trial, metric)
        self._trial = trial
        self._checkpoint = checkpoint
        self._training = False
        self._evaluated_at = 0
        self._folder: Path | None = None

    @property
    def resume_from_checkpoint(self) -> str | None:
        """What to pass to `train`: a folder to go on from, None for a fresh start."""
        if self._trial.resume is None:
            return None
        if self._folder is None:
            self._folder = scratch(self, "tuner-resume-")
            _unpack(self._trial.restore().state["transformers"], self._folder)
        return str(self._folder)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Put the trial's level on the optimizer."""
        self._training = True
        self._evaluated_at = state.global_step
        LRController(kwargs["optimizer"], self._steering)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave if asked to."""
        if self._steering.speaks_in_each_of(args.world_size):
            self._steering.leave_if_asked()

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Report an evaluation."""
        if not self._training or state.global_step <= self._evaluated_at:
            return
        decision = self._steering.report_for_all(
            kwargs["metrics"], args.world_size, args.process_index, _broadcast
        )
        if decision is None:
            return
        self._evaluated_at = state.global_step
        if decision.stop:
            control.should_training_stop = True
        elif self._checkpoint:
            control.should_save = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Hand over what the Trainer saved after an evaluation."""
        steering = self._steering
        if state.global_step != self._evaluated_at or steering.step <= steering.saved:
            return
        steering.saved = steering.step
        folder = Path(args.output_dir or ".") / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        if args.world_size > 1:
            torch.distributed.barrier()  # each process adds a file
        packed = _pack(folder) if state.is_world_process_zero else None
        if packed is not None or steering.speaks_in_each_of(args.world_size):
            self._trial.checkpoint(steering.step, transformers=packed)
        if args.save_strategy == SaveStrategy.NO and state.is_world_process_zero:
            shutil.rmtree(folder, ignore_errors=True)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check that there was something to report."""
        self._training = False
        self._steering.ended()


def _broadcast(value: Any) -> Any:
    held = [value]
    torch.distributed.broadcast_object_list(held)
    return held[0]


def _pack(folder: Path) -> dict[str, Any]:
    """Return a folder's files by name: what is a pickle as values, the others as bytes."""
    values: dict[str, Any] = {}
    files: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or name in _NOT_NEEDED:
            continue
        if path.suffix in _PICKLES:
            with safe_globals():  # type: ignore[no-untyped-call]
                values[name] = torch.load(path, map_location="cpu", weights_only=True)
        else:
            content = bytearray(path.read_bytes())
            files[name] = torch.frombuffer(content, dtype=torch.uint8) if content else None
    return {"values": values, "files": files}


def _unpack(packed: dict[str, Any], folder: Path) -> None:
    for name, value in packed["values"].items():
        torch.save(value, _inside(folder, name))
    for name, content in packed["files"].items():
        data = b"" if content is None else content.numpy().tobytes()
        _inside(folder, name).write_bytes(data)


def _inside(folder: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts:
        raise InvalidInput(f"the checkpoint names a file outside its folder: {name!r}")
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
