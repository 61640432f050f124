"""MMTM: the means of all inputs gate the channels of each, and each is returned.

Source: Vaezi Joze, Shaban, Iuzzolino and Koishida 2020, MMTM: Multimodal Transfer Module for CNN Fusion, arXiv
1911.08670, section 3.
The paper doubles the gates (`gate_scale: 2`), the authors' code does not. The paper's text has half as wide a hidden
layer (`ratio: 8`). The authors' code does not support missing inputs: here one enters as zeros, and a single present
input is unchanged.
"""
# Axes: B batch, M streams, c channels of one stream, n tokens, ... spatial axes of a map.

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from fusionkit_plugins.fusions.daft import average, everywhere
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, Recorded, Release, TensorShape, fill_absent


class MMTMConfig(Config):
    """Options of `fusion.mmtm`."""

    ratio: PositiveInt = Field(
        4, description="The hidden layer has twice the total channels of all inputs, divided by this.")
    gate_scale: Literal[1, 2] = Field(
        1, description="Factor of the gates, which are between 0 and 1. With 2 the last layers are initially zero, so "
        "that the gates start at one and inserting them into a trained network changes nothing at first.")


class MMTM(nn.Module):
    """`y_m = g sigmoid(W_m z + b_m) * x_m` with `z = relu(W [s_1; ...; s_M] + b)`, s_m the mean of x_m over positions.

    Shapes: M inputs (B, c_m), (B, n_m, c_m) or (B, c_m, ...), the first of one layout and the others of one, of any
    sizes; returns all of them. Costs (C + 1) h + (h + 1) C, C total channels, h hidden ones.

    Missing inputs: a missing input enters the gates as zeros and stays missing; a single present input
    is not gated.
    """

    def __init__(self, config: MMTMConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.shapes, self.gate_scale = tuple(inputs), config.gate_scale
        widths = [shape.width for shape in inputs]
        hidden = max(1, 2 * sum(widths) // config.ratio)
        self.squeeze = nn.Linear(sum(widths), hidden)
        layers = [nn.Linear(hidden, width) for width in widths]
        self.excite = nn.ModuleList(layers)
        if config.gate_scale == 2:
            for layer in layers:
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, first: Tensor, *others: Tensor, present: Tensor | None = None) -> tuple[Tensor, ...]:
        """The gated inputs, in order."""
        streams = fill_absent([first, *others], present)
        means = [average(x, shape) for x, shape in zip(streams, self.shapes, strict=True)]
        together = self.squeeze(torch.cat(means, 1)).relu()
        gates = [self.gate_scale * layer(together).sigmoid() for layer in self.excite]
        if present is not None:
            alone_B1 = present.sum(1, keepdim=True) < 2
            gates = [gate.masked_fill(alone_B1, 1.0) for gate in gates]
        return tuple(x * everywhere(gate, shape) for x, gate, shape in zip(streams, gates, self.shapes, strict=True))


def _transposed(sizes: Sequence[int]) -> Sequence[int]:
    """A map with one spatial axis, (c, n), as tokens, (n, c)."""
    return sizes[::-1] if len(sizes) == 2 else sizes


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    said = re.search(r"ratio=(\d+)", str(meta.get("constructor", "")))
    hidden, together = shapes["fc_squeeze.weight"]
    return {"ratio": int(said[1]) if said else 2 * together // hidden}


def _replay(module: MMTM, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    results = module(*[x.mT if x.dim() == 3 else x for x in inputs])
    return dict(zip(case.meta["outputs"], [x.mT if x.dim() == 3 else x for x in results], strict=True))


_LAYOUTS = ("B _ _...", "B _", "B _ _")

component = Fusion(
    "mmtm", MMTMConfig, MMTM, absent="identity", category="exchange", paper="arXiv:1911.08670",
    rule=" | ".join(f"first: {first}, *others: {others} -> same" for first in _LAYOUTS for others in _LAYOUTS),
    reference={"release": Release(
        names={"squeeze": "fc_squeeze", "excite.0": "fc_visual", "excite.1": "fc_skeleton"}, read=_read,
        sizes=lambda inputs, meta: [_transposed(sizes) for sizes in inputs], replay=_replay)},
)
