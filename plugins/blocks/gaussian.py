"""Gaussian blur of cases, each with a width of its own."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.per_case import per_case
from torch import Tensor

_WIDTHS = 3  # standard deviations at which the kernel ends


def blurred(values: Tensor, sigma: Tensor, most: float) -> Tensor:
    """The values blurred along every axis of positions; beyond the edge its values are repeated.

    `sigma` (B,) are standard deviations in voxels, `most` is the largest that may come.
    *Shapes*: `values` (B, c, ...), kept.
    """
    reach = math.ceil(_WIDTHS * most)
    offsets = torch.arange(-reach, reach + 1, device=values.device)
    weights_Bo = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    weights_Bo = weights_Bo / weights_Bo.sum(1, keepdim=True)
    for axis in range(2, values.dim()):
        size = values.shape[axis]
        if size == 1:
            continue
        lines = values.movedim(axis, -1)
        padded = F.pad(lines.reshape(1, -1, size), (reach, reach), mode="replicate").reshape(
            *lines.shape[:-1], size + 2 * reach)
        # Sums of shifted copies, which are alike in every batch; a convolution need not be.
        total = torch.zeros_like(lines)
        for place in range(2 * reach + 1):
            total = total + padded[..., place : place + size] * per_case(weights_Bo[:, place], lines)
        values = total.movedim(-1, axis)
    return values
