"""Names, layouts and defaults of Keras, for components whose authors used it. Contains no component."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-3
"""The constant that Keras's batch normalisation adds to the variance."""
MOMENTUM = 0.01
"""The momentum of Keras's running statistics in PyTorch's convention."""
_NORMS = {2: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


def conv_names(ours: str, theirs: str) -> dict[str, str]:
    """The name of a layer in Keras, '' at the top level, for the weight and bias of a convolution or linear layer."""
    return {f"{ours}.weight": f"{theirs}.kernel" if theirs else "kernel", ours: theirs}


def norm_names(ours: str, theirs: str) -> dict[str, str]:
    """The names of the tensors of a batch normalisation in Keras."""
    pairs = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    return {f"{ours}.{here}": f"{theirs}.{there}" for here, there in pairs.items()}


def kernel_layout(tensor: Tensor) -> Tensor:
    """A kernel (..., in, out) as a weight (out, in, ...)."""
    axes = list(range(tensor.dim()))
    return tensor.permute(axes[-1], axes[-2], *axes[:-2])


def batch_norm(width: int, rank: int, release: bool = True) -> nn.Module:
    """A batch normalisation for maps with `rank` spatial axes, with Keras's constants or PyTorch's."""
    kind = _NORMS[rank + 2]
    return kind(width, eps=EPSILON, momentum=MOMENTUM) if release else kind(width)


def start_like_keras(module: nn.Module) -> None:
    """Glorot-uniform weights and zero biases for every convolution and linear layer in a module."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def pad_same(features: Tensor, kernel: int, strides: Sequence[int]) -> Tensor:
    """Padding after which a kernel gives ceil(n / stride) positions; the odd element goes to the end.

    Shapes: (B, c, ...) with one stride for each spatial axis; gives (B, c, ...), larger.
    """
    pads: list[int] = []
    for size, stride in zip(reversed(features.shape[2:]), reversed(strides), strict=True):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads.extend((total // 2, total - total // 2))
    return F.pad(features, pads) if any(pads) else features


def same_grid(grid: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    """The spatial size after such a padding and the convolution: ceil(n / stride)."""
    return tuple(-(-size // stride) for size, stride in zip(grid, strides, strict=True))
