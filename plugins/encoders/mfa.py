"""Multi-branch fusion attention: one gate for each channel, from four stacked maps and a local branch.

Source: Dhar et al. 2025, Multimodal Fusion Learning with Dual Attention for Medical Imaging, WACV, arXiv 2412.01248,
HIFA and CLIA; the equations are those of the authors' code, as the paper's figures name the parts only.
The code leaves biases at zero and weights Glorot-uniform (`preset: release`); PyTorch's start is `preset: torch`.
"""
# Axes: B batch, c channels, u units of the gate, ... spatial axes, n tokens.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.keras import conv_names, kernel_layout
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import ComponentError, Config, Encoder, Release, TensorShape, max_valid, mean_valid

_CONVOLUTIONS = {2: F.linear, 3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
Preset = Literal["release", "torch"]


class MFAConfig(Config):
    """Options of `encoder.mfa`."""

    units: PositiveInt | None = Field(None, description="Units of the gate: 1, or as many as channels, the default.")
    scale: bool = Field(True, description="Learn the weights of the two branches of the gate.")
    rank: PositiveInt | None = Field(None, description="Rank of the factorised square maps, which makes wide stages "
                                                       "cheap; full by default.")
    preset: Preset = Field("release", description="Initial values: release (Glorot-uniform, biases zero) or torch.")


class ChannelMap(nn.Module):
    """A learned linear map of the channels, the same at every position, optionally of low rank.

    Shapes: (B, c) or (B, c, ...); gives (B, width) or (B, width, ...).
    """

    def __init__(self, before: int, width: int, preset: Preset, rank: int | None = None) -> None:
        super().__init__()
        self.narrow = nn.Linear(before, rank, bias=False).weight if rank else None
        layer = nn.Linear(rank or before, width)
        self.weight, self.bias = layer.weight, layer.bias
        if preset == "release":
            nn.init.zeros_(self.bias)
            for weight in (self.weight, self.narrow):
                if weight is not None:
                    nn.init.xavier_uniform_(weight)

    def forward(self, x: Tensor) -> Tensor:
        """The new channels."""
        if self.narrow is not None:
            x = self._map(x, self.narrow, None)
        return self._map(x, self.weight, self.bias)

    @staticmethod
    def _map(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _CONVOLUTIONS[x.dim()](x, weight.reshape(*weight.shape, *[1] * (x.dim() - 2)), bias)


class TwoMaps(nn.Module):
    """The first two maps of both branches of the gate."""

    def __init__(self, channels: int, units: int, preset: Preset, rank: int | None) -> None:
        super().__init__()
        self.conv1 = ChannelMap(channels, units, preset, rank)
        self.conv2 = ChannelMap(units, units, preset, rank)


class HIFA(TwoMaps):
    """Hierarchical information fusion attention: four maps, each on the one before, pooled by turns.

    Shapes: (B, c, ...), and (B, n) for masked tokens; gives (B, u), in 0..1.
    """

    def __init__(self, channels: int, units: int, preset: Preset, rank: int | None) -> None:
        super().__init__(channels, units, preset, rank)
        self.conv3 = ChannelMap(units, units, preset, rank)
        self.conv4 = ChannelMap(units, units, preset, rank)
        self.dense = ChannelMap(2 * units, units, preset, rank)

    def forward(self, x: Tensor, valid_Bn: Tensor | None = None) -> Tensor:
        """The global part of the gate."""
        first = self.conv1(x).sigmoid()
        second = self.conv2(first).sigmoid()
        third = self.conv3(first + second).sigmoid()
        fourth = self.conv4(third).sigmoid()
        low = _mean(first, valid_Bn) + _largest(second, valid_Bn)
        high = _mean(third, valid_Bn) + _largest(fourth, valid_Bn)
        return self.dense(torch.cat([low, high], 1)).sigmoid()


class CLIA(TwoMaps):
    """Channel-wise local information attention: one map, averaged after its activation, and a second on the mean.

    Shapes: (B, c, ...), and (B, n) for masked tokens; gives (B, u), in 0..2.
    """

    def forward(self, x: Tensor, valid_Bn: Tensor | None = None) -> Tensor:
        """The local part of the gate."""
        local = _mean(self.conv1(x).sigmoid(), valid_Bn)
        return local + self.conv2(local).sigmoid()


def _mean(x: Tensor, valid_Bn: Tensor | None) -> Tensor:
    return x.flatten(2).mean(2) if valid_Bn is None else mean_valid(x.transpose(1, 2), valid_Bn)


def _largest(x: Tensor, valid_Bn: Tensor | None) -> Tensor:
    return x.flatten(2).amax(2) if valid_Bn is None else max_valid(x.transpose(1, 2), valid_Bn)


class MFA(nn.Module):
    """x * gate * alpha, the gate one number for each case and channel, the same everywhere.

    Shapes: (B, c, ...) or (B, n, c); gives the same. Missing rows are skipped, and padding of masked tokens is left
    out of the gate.
    """

    def __init__(self, config: MFAConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        channels = inputs[0].width
        units = config.units or channels
        if units not in (1, channels):
            raise ComponentError(f"a gate of {units} units cannot weight {channels} channels",
                                 why="each channel has its own unit, or all share one",
                                 fix=f"leave 'units' out, or set it to 1 or {channels}")
        self.tokens = inputs[0].layout == "tokens"
        self.hifa = HIFA(channels, units, config.preset, config.rank)
        self.clia = CLIA(channels, units, config.preset, config.rank)
        self.alpha = nn.Parameter(torch.ones(channels))
        self.global_scale = nn.Parameter(torch.ones(1)) if config.scale else None
        self.local_scale = nn.Parameter(torch.ones(units)) if config.scale else None
        self.gate = nn.Sigmoid()

    def forward(self, features: Tensor, valid: Tensor | None = None) -> Tensor:
        """The weighted features."""
        x = features.transpose(1, 2) if self.tokens else features
        whole, local = self.hifa(x, valid), self.clia(x, valid)
        if self.global_scale is not None and self.local_scale is not None:
            whole, local = whole * self.global_scale, local * self.local_scale
        weights_Bc = self.gate(whole + local) * self.alpha
        result = x * weights_Bc.reshape(*weights_Bc.shape, *[1] * (x.dim() - 2))
        return result.transpose(1, 2) if self.tokens else result


def mfa_names(ours: str, theirs: str) -> dict[str, str]:
    """The parameter names of an MFA in the authors' code, where it is under `theirs`; both prefixes may be ''."""
    here, there = (f"{place}." if place else "" for place in (ours, theirs))
    names = {ours: theirs}
    for part in ("hifa", "clia"):
        names |= conv_names(f"{here}{part}.{{layer}}", f"{there}{part}.{{layer}}")
    return names


def mfa_layout(name: str, tensor: Tensor) -> Tensor:
    """A tensor of the authors' code as ours: kernels (1, .., c, u) to (u, c), scales (1, .., c) to (c,)."""
    if name.endswith("weight"):
        weight = kernel_layout(tensor)
        return weight.reshape(weight.shape[:2])
    return tensor.reshape(-1)


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    units = shapes["hifa.dense.kernel"][-1]
    return {"scale": "global_scale" in shapes, "units": units if units == 1 else None}


component = Encoder(
    "mfa", MFAConfig, MFA, rule="B _ ... -> same | B [_] _ -> same", category="attention", paper="arXiv:2412.01248",
    reference={"release": Release(names=mfa_names("", ""), layout=mfa_layout, read=_read,
                                  taps={"attention": "gate"})},
)
