"""Checkpoint files: the state of a training, in one file in which nothing is code.

From the outside in: `snapshot` says what a checkpoint holds and puts it back; `objects` takes the
state out of modules, optimizers, generators and so on; `tree` turns nested values into JSON and
arrays; `arrays` turns tensors and numpy's arrays into bytes; `file` writes and reads them, in the
format of safetensors. None of them loads torch or numpy unless what is saved or read needs it.
"""

from __future__ import annotations

from tuner.checkpoint.snapshot import Restored, restore, save
from tuner.checkpoint.streams import capture as random_streams

__all__ = ["Restored", "random_streams", "restore", "save"]
