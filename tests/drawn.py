"""Modules as training might have left them: every weight and every statistic drawn at random."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def drawn(module: Module, seed: int = 0) -> Module:
    """The module in double precision and in evaluation, with results of a moderate size and no special values."""
    random = torch.Generator().manual_seed(seed)
    module.double().eval()
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if not value.is_floating_point():
                continue
            numbers = torch.randn(value.shape, generator=random, dtype=value.dtype)
            if value.dim() > 1:
                value.copy_(numbers / value[0].numel() ** 0.5)
            elif name.endswith("running_var"):
                value.copy_(numbers.abs() + 0.5)
            else:
                value.copy_(0.3 * numbers + (1 if name.endswith("weight") else 0))
    return module
