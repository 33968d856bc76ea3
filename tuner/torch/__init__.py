"""For training loops in plain PyTorch."""

from __future__ import annotations

from tuner.torch.controller import LRController
from tuner.torch.curvature import Place, examine
from tuner.torch.gradcheck import Checked, gradcheck
from tuner.torch.watch import Watch

__all__ = ["Checked", "LRController", "Place", "Watch", "examine", "gradcheck"]
