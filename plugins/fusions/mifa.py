"""Multimodal information fusion attention: one gate from all inputs, applied to each of them.

Source: Dhar et al. 2025, Multimodal Fusion Learning with Dual Attention for Medical Imaging, WACV, arXiv 2412.01248,
MGIFA and MLIFA; the equations are those of the authors' code. It takes two inputs of one width; here any number, of
any widths and sizes. The gate starts near 1, in the flat part of the sigmoid, so it learns slowly at first;
with more than two inputs `reduce: scaled` keeps it from becoming even flatter.
"""
# Axes: B batch, M inputs, c channels of one input, u units of the gate, ... spatial axes, n tokens.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from fusionkit_plugins.blocks.keras import conv_names
from fusionkit_plugins.encoders.mfa import ChannelMap, Preset, mfa_layout
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, Release, TensorShape, fill_absent, row_mask

_MOST = 16  # inputs whose names in the authors' code are known


class MIFAConfig(Config):
    """Options of `fusion.mifa`."""

    units: PositiveInt | None = Field(None, description="Units of the gate; by default the largest number of channels. "
                                                        "An input of another width gets learned adapters.")
    scale: bool = Field(True, description="Learn the weights of the two branches of the gate.")
    reduce: Literal["sum", "scaled"] = Field("sum", description="How inputs are added: sum, as published; scaled: "
                                                                "times 2 / inputs, which is the same for two.")
    preset: Preset = Field("release", description="Initial values: release (Glorot-uniform, biases zero) or torch.")


class MIFA(nn.Module):
    """x_i * gate * alpha_i, the gate from the pooled statistics of all inputs.

    Shapes: M inputs (B, c_i, ...), or all (B, n_i, c_i); gives the same. The sums over inputs run over the present ones
    and are scaled to M of them; a missing input stays missing, and its result is zero.
    """

    def __init__(self, config: MIFAConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        widths = [shape.width for shape in inputs]
        units = config.units or max(widths)
        self.tokens = inputs[0].layout == "tokens"
        self.factor = 2 / len(inputs) if config.reduce == "scaled" else 1.0
        self.dense = ChannelMap(units, units, config.preset)
        self.local = nn.ModuleList(ChannelMap(width, units, config.preset) for width in widths)
        self.enter = _adapters([(width, units) for width in widths], config.preset)
        self.leave = _adapters([(units, width) for width in widths], config.preset)
        self.alphas = nn.ParameterList(nn.Parameter(torch.ones(width)) for width in widths)
        self.global_scale = nn.Parameter(torch.ones(1)) if config.scale else None
        self.local_scale = nn.Parameter(torch.ones(units)) if config.scale else None
        self.gate = nn.Sigmoid()

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
        """Every input, weighted."""
        maps = [x.transpose(1, 2) if self.tokens else x for x in fill_absent(features, present)]
        sum_Bu = self._sum(maps, present)
        results = []
        for place, (x, leave, alpha) in enumerate(zip(maps, self.leave, self.alphas, strict=True)):
            weights_Bc = self.gate(leave(sum_Bu)) * alpha
            result = x * weights_Bc.reshape(*weights_Bc.shape, *[1] * (x.dim() - 2))
            if present is not None:
                result = result.where(row_mask(present[:, place], result), 0.0)
            results.append(result.transpose(1, 2) if self.tokens else result)
        return tuple(results) if len(results) > 1 else results[0]

    def _sum(self, maps: Sequence[Tensor], present: Tensor | None) -> Tensor:
        """The logits of the gate: (B, u)."""
        pooled_BMu3 = torch.stack([enter(_pooled(x)) for enter, x in zip(self.enter, maps, strict=True)], 1)
        local_BMu = torch.stack([_pooled(layer(x).sigmoid()).sum(2) for layer, x in zip(self.local, maps, strict=True)],
                                1)
        whole = self.dense(_total(pooled_BMu3, present).mul(self.factor)).sigmoid().sum(2)
        local = _total(local_BMu, present).mul(self.factor)
        if self.global_scale is not None and self.local_scale is not None:
            whole, local = whole * self.global_scale, local * self.local_scale
        return whole + local


def _adapters(widths: Sequence[tuple[int, int]], preset: Preset) -> nn.ModuleList:
    """A learned map if two widths differ, else the identity."""
    return nn.ModuleList(nn.Identity() if before == after else ChannelMap(before, after, preset)
                         for before, after in widths)


def _pooled(x: Tensor) -> Tensor:
    """The smallest, mean and largest value of each channel: (B, c, ...) to (B, c, 3)."""
    flat = x.flatten(2)
    return torch.stack([flat.amin(2), flat.mean(2), flat.amax(2)], 2)


def _total(parts: Tensor, present: Tensor | None) -> Tensor:
    """The sum over the present inputs, scaled to all of them: (B, M, ...) to (B, ...)."""
    if present is None:
        return parts.sum(1)
    mask = present.reshape(*present.shape, *[1] * (parts.dim() - 2))
    count = present.sum(1).clamp(min=1).to(parts.dtype)
    return parts.where(mask, 0.0).sum(1) * (present.shape[1] / count).reshape(-1, *[1] * (parts.dim() - 2))


def _names() -> dict[str, str]:
    names = {"": "", **conv_names("dense", "mgifa.dense")}
    for place in range(_MOST):
        names |= {f"alphas.{place}": f"alpha{place}", **conv_names(f"local.{place}", f"mlifa.conv{place}")}
    return names


component = Fusion(
    "mifa", MIFAConfig, MIFA, rule="*features: B _ _... -> same | *features: B _ _ -> same", absent="drop",
    category="attention", paper="arXiv:2412.01248",
    reference={"release": Release(names=_names(), layout=mfa_layout, taps={"attention": "gate"},
                                  read=lambda shapes, meta: {"scale": "global_scale" in shapes})},
)
