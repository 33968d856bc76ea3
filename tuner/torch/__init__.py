"""For training loops in plain PyTorch."""

from __future__ import annotations

from tuner.torch.controller import LRController

__all__ = ["LRController"]
