"""Depthwise convolution fusion (DCFB): parallel depthwise kernels of several sizes on an expanded map.

Source: Yu et al., Small Lesions-aware Bidirectional Multimodal Multiscale Fusion Network for Lung Disease
Classification (MMCAF-Net), the DCFB of E3D-MSCA; a 3D form of the MSCB of Rahman et al. 2024, EMCAD: Efficient
Multi-scale Convolutional Attention Decoding for Medical Image Segmentation, arXiv 2405.06880.
The figure calls the activation ReLU, the authors' is ReLU6: `activation`, by default as in the authors' code.
EMCAD expands six times, the authors' code twice: `expansion`, by default as in the authors' code.
"""
# Axes: B batch, c channels, w {width}, e expanded channels (expansion c), t merged channels, ... spatial axes of a map.

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from math import gcd
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import AfterValidator, Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fusionkit.api import Config, Encoder, Release, Shape, TensorShape, shape_of

_CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
_NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
LAST = {2: torch.channels_last, 3: torch.channels_last_3d}
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU, "relu6": nn.ReLU6, "leaky_relu": lambda: nn.LeakyReLU(0.2), "prelu": lambda: nn.PReLU(init=0.2),
    "gelu": nn.GELU, "hardswish": nn.Hardswish,
}

ActivationName = Literal["relu", "relu6", "leaky_relu", "prelu", "gelu", "hardswish"]


def _odd(kernels: list[int]) -> list[int]:
    if any(kernel % 2 == 0 for kernel in kernels):
        raise ValueError("a kernel of even size would shift positions; use odd numbers")
    return kernels


Kernels = Annotated[list[PositiveInt], Field(min_length=1), AfterValidator(_odd)]


class DcfbConfig(Config):
    """Options of `encoder.dcfb`."""

    width: PositiveInt | None = Field(
        None, description="Channels of the result; None keeps those of the input.", examples=[12])
    stride: Literal[1, 2] = Field(
        1, description="Stride of the depthwise convolutions along every axis; 2 halves the spatial size, rounding up, "
                       "and removes the shortcut.")
    kernels: Kernels = Field([1, 3, 5], description="Sizes of the depthwise kernels, odd numbers, one branch each.",
                             examples=[[3, 5]])
    expansion: PositiveInt = Field(2, description="Channels inside the block for each channel of the input.")
    parallel: bool = Field(
        True, description="Whether every branch reads the expanded map; if not, each reads it plus the sum of the "
                          "branches before.")
    merge: Literal["add", "concat"] = Field("add", description="How the branches are combined before the projection.")
    activation: ActivationName = Field(
        "relu6", description="Activation after the expansion and after every branch; 'leaky_relu' has slope 0.2, and "
                             "'prelu' starts with it.")

    @model_validator(mode="after")
    def _branches_fit(self) -> Self:
        if not self.parallel and self.stride > 1:
            raise ValueError("with 'parallel: false' a branch adds its result to what it read, so 'stride' must be 1")
        return self


class Dcfb(nn.Module):
    """P(shuffle(merge_k A(N(D_k A(N(W x)))))) + x, with W to e channels, D_k depthwise, P to w channels, N batch norms.

    The shuffle takes the t merged channels as gcd(t, w) groups and puts the first of every group first, then the
    second, and so on. The shortcut is a projection without bias if w is not c, and absent with stride 2.
    Convolutions are initialised normal with standard deviation 0.02.

    Shapes: (B, c, ...); gives (B, w, ...), with stride 2 of half the spatial size, rounded up. Missing rows are
    skipped.
    """

    def __init__(self, config: DcfbConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        rank, before = len(inputs[0].spatial), inputs[0].width
        width, inner = config.width or before, before * config.expansion
        merged = inner if config.merge == "add" else inner * len(config.kernels)
        self.config = config
        self.groups = gcd(merged, width)
        self.expand = ConvNorm(rank, before, inner, activation=config.activation)
        self.branches = nn.ModuleList(
            ConvNorm(rank, inner, inner, kernel=kernel, stride=config.stride, groups=inner,
                     activation=config.activation) for kernel in config.kernels)
        self.project = ConvNorm(rank, merged, width)
        convolution = _CONVOLUTIONS[rank]
        needed = config.stride == 1 and width != before
        self.shortcut = convolution(before, width, 1, bias=False) if needed else None
        for part in self.modules():
            if isinstance(part, convolution):
                nn.init.normal_(part.weight, std=0.02)

    def forward(self, features: Tensor) -> Tensor:
        """The map after the block."""
        results = _results(self.branches, self.expand(features), self.config.parallel)
        merged = torch.cat(results, 1) if self.config.merge == "concat" else reduce(torch.add, results)
        result: Tensor = self.project(shuffled(merged, self.groups))
        if self.config.stride > 1:
            return result
        return result + (features if self.shortcut is None else self.shortcut(features))

    def optimized(self) -> nn.Module:
        """The same function for inference only: see `FoldedDcfb`."""
        return FoldedDcfb(self)


class ConvNorm(nn.Sequential):
    """A convolution without bias that keeps the spatial size except for its stride, batch norm, optional activation.

    Shapes: (B, before, ...); gives (B, width, ...).
    """

    def __init__(self, rank: int, before: int, width: int, *, kernel: int = 1, stride: int = 1, groups: int = 1,
                 activation: str | None = None) -> None:
        convolution = _CONVOLUTIONS[rank](before, width, kernel, stride, kernel // 2, groups=groups, bias=False)
        last = [_ACTIVATIONS[activation]()] if activation else []
        super().__init__(convolution, _NORMS[rank](width), *last)


def shuffled(features: Tensor, groups: int) -> Tensor:
    """Channel shuffle of equal groups: the first of every group, then the second of every group, ...

    Shapes: (B, t, ...) or (t,), t a multiple of `groups`; gives the same.
    """
    axis = min(1, features.dim() - 1)
    return features.unflatten(axis, (groups, -1)).transpose(axis, axis + 1).flatten(axis, axis + 1)


def _results(branches: nn.ModuleList, features: Tensor, parallel: bool) -> list[Tensor]:
    """The results of the branches, each from the features, or in sequence from the features plus earlier results."""
    results: list[Tensor] = []
    for branch in branches:
        results.append(branch(features))
        if not parallel:
            features = features + results[-1]
    return results


class FoldedDcfb(nn.Module):
    """A `Dcfb` for evaluation in which every step keeps channels last in memory; equal up to rounding.

    Norms are folded into the convolutions before them, and the shuffle into the columns of the projection. Pointwise
    convolutions are matrix products, because PyTorch's 1x1x1 convolution always returns channels first,
    and depthwise ones are several times faster with channels last.

    Shapes: as the `Dcfb`; the result has channels last in memory.
    """

    def __init__(self, source: Dcfb) -> None:
        super().__init__()
        self.config = source.config
        self.expand = FoldedPointwise(source.expand)
        self.branches = nn.ModuleList(FoldedBranch(branch) for branch in source.branches)
        self.project = FoldedPointwise(source.project)
        # Column j of the projection reads channel order[j]; for the unshuffled map, it is at order[j].
        order = shuffled(torch.arange(self.project.weight.shape[1], device=self.project.weight.device), source.groups)
        self.project.weight.data = self.project.weight[:, order.argsort()].contiguous()
        self.shortcut = None if source.shortcut is None else FoldedPointwise([source.shortcut])

    def forward(self, features: Tensor) -> Tensor:
        """The map after the block."""
        rows = features.movedim(1, -1).contiguous()
        results = _results(self.branches, self.expand(rows), self.config.parallel)
        merged = torch.cat(results, -1) if self.config.merge == "concat" else reduce(_add_into, results)
        result: Tensor = self.project(merged)
        if self.config.stride == 1:
            result = result + (rows if self.shortcut is None else self.shortcut(rows))
        return result.movedim(-1, 1)


def _add_into(total: Tensor, part: Tensor) -> Tensor:
    """The sum, in place of the first if no gradient needs it: allocating memory costs as much as the sum."""
    return total + part if total.requires_grad else total.add_(part)


class FoldedPointwise(nn.Module):
    """A pointwise convolution with its norm and activation as a matrix product.

    Shapes: (B, ..., before); gives (B, ..., width).
    """

    def __init__(self, layers: Sequence[nn.Module] | nn.Sequential) -> None:
        super().__init__()
        convolution, self.activation = _folded(layers)
        self.weight = nn.Parameter(convolution.weight.detach().flatten(1).contiguous(), requires_grad=False)
        self.bias = convolution.bias

    def forward(self, rows: Tensor) -> Tensor:
        """The features of every position after the layers."""
        result: Tensor = self.activation(F.linear(rows, self.weight, self.bias))
        return result


class FoldedBranch(nn.Module):
    """A depthwise convolution with its norm and activation on channels last.

    Shapes: (B, ..., e); gives the same, with stride 2 of half the spatial size, rounded up.
    """

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.convolution, self.activation = _folded(layers)
        self.single = self.convolution.kernel_size[0] == 1

    def forward(self, rows: Tensor) -> Tensor:
        """The map after the layers."""
        if self.single:
            # One weight for each channel: a convolution takes eight times as long as a product.
            step = slice(None, None, self.convolution.stride[0])
            chosen = rows[(slice(None), *[step] * (rows.dim() - 2))]
            return self.activation(torch.addcmul(self.convolution.bias, chosen, self.convolution.weight.flatten()))
        return self.activation(self.convolution(rows.movedim(-1, 1))).movedim(1, -1)


def _folded(layers: Sequence[nn.Module] | nn.Sequential) -> tuple[Any, nn.Module]:
    """The convolution with the following norm folded in, and the activation, which may work in place."""
    convolution = copy.deepcopy(layers[0])
    if len(layers) > 1:
        convolution = fuse_conv_bn_eval(convolution, layers[1])
    activation = copy.deepcopy(layers[2]) if len(layers) > 2 else nn.Identity()
    if hasattr(activation, "inplace"):
        activation.inplace = True
    return convolution.requires_grad_(False), activation


def dcfb_shape(config: DcfbConfig, inputs: Sequence[TensorShape]) -> Shape:
    """The output shape of `encoder.dcfb`."""
    grid = tuple(-(-size // config.stride) for size in inputs[0].spatial)
    return shape_of((config.width or inputs[0].width, *grid))


def read_release(shapes: Mapping[str, Sequence[int]], note: str) -> dict[str, Any]:
    """Options of a block of the authors' code, from the shapes of its tensors and its arguments."""
    words = dict(re.findall(r"(\w+)=(\w+)", note))
    inner, before = shapes["pconv1.0.weight"][:2]
    width, merged = shapes["pconv2.0.weight"][:2]
    count = sum(re.fullmatch(r"msdc\.dwconvs\.\d+\.0\.weight", name) is not None for name in shapes)
    activation = words.get("act", "relu6")
    return {"width": width, "stride": int(words.get("stride", 1)), "expansion": inner // before,
            "kernels": [shapes[f"msdc.dwconvs.{place}.0.weight"][-1] for place in range(count)],
            "parallel": words.get("parallel", "True") == "True", "merge": "add" if merged == inner else "concat",
            "activation": {"leakyrelu": "leaky_relu", "hswish": "hardswish"}.get(activation, activation)}


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    return read_release(shapes, str(meta.get("constructor", "")))


NAMES = {"expand": "pconv1", "branches": "msdc.dwconvs", "project": "pconv2", "shortcut": "conv1x1"}

component = Encoder(
    "dcfb", DcfbConfig, Dcfb, rule="B _ ...", output=dcfb_shape, category="attention", paper="arXiv:2405.06880",
    reference={"release": Release(names=NAMES, read=_read, taps={
        "pconv1": "expand", "branch1": "branches.0", "branch3": "branches.1", "branch5": "branches.2",
        "pconv2": "project"})},
)
