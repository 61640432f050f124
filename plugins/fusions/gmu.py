"""Gated multimodal unit: a learned gate weights the inputs, feature by feature.

Source: Arevalo et al. 2017, Gated Multimodal Units for Information Fusion, arXiv 1702.01992, eq. 1-5.
The softmax over more than two inputs is ours; for two inputs it is the published gate.
"""

# Axes: B batch, M inputs, c width of one input, w {width}.

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    Config,
    Fusion,
    Search,
    TensorShape,
    fill_absent,
    mean_valid,
    pointwise,
    softmax_present,
    with_width,
)


class GMUConfig(Config):
    """Options of `fusion.gmu`."""

    width: Annotated[PositiveInt, Search((16, 32, 64, 128))] = Field(
        64, description="Width of the result; each input is projected to it.")
    norm: Literal["softmax", "sigmoid"] = Field(
        "softmax", description="How three or more gates are made: 'softmax' makes them sum to one, 'sigmoid' is the "
        "published form of independent gates. Two inputs have one gate and its complement either way.")
    bias: bool = Field(True, description="Whether the projections and the gates have biases; the authors' code "
        "has none.")


class GMU(nn.Module):
    """`y = sum z_m * tanh(W_m x_m)`, the gates z computed from all inputs, before any squashing.

    Shapes: M inputs (B, c_m), (B, n, c_m) or (B, c_m, ...); gives the same layout with `width` features. On
    tokens, masked ones too, and maps every position has its own gates.

    Missing inputs: they enter the gates as zeros but not the sum; the softmax runs over the others, so a
    single present input has gate 1. Independent gates are not rescaled. Rows with nothing present give zeros.
    """

    def __init__(self, config: GMUConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.softmax = config.norm == "softmax" or len(inputs) == 2
        self.gate_count = 1 if len(inputs) == 2 else len(inputs)
        self.feature_axis = 2 if inputs[0].layout == "tokens" else 1
        together = with_width(inputs[0], sum(shape.width for shape in inputs))
        self.project = nn.ModuleList(pointwise(shape, config.width, config.bias) for shape in inputs)
        self.gate = pointwise(together, self.gate_count * config.width, config.bias)

    def gates(self, features: Sequence[Tensor], present: Tensor | None = None,
              valid: Sequence[Tensor | None] | None = None) -> Tensor:
        """The gates, whose mean shows the weight of each input: (B, M, ...), otherwise shaped like the result.

        Of masked tokens the mean over those of each case: (B, M, w).
        """
        gates_BM = self._gates(features, present)
        real_Bn = None if valid is None else valid[0]
        if real_Bn is None:
            return gates_BM
        return torch.stack([mean_valid(gate, real_Bn) for gate in gates_BM.unbind(1)], 1)

    def _gates(self, features: Sequence[Tensor], present: Tensor | None) -> Tensor:
        """The gates of every position."""
        scores = self.gate(torch.cat(fill_absent(features, present), self.feature_axis))
        parts = scores.chunk(self.gate_count, self.feature_axis)
        if len(features) == 2:
            # A softmax over (s, 0) is (sigmoid(s), 1 - sigmoid(s)): the published gate, ready for missing inputs.
            parts = (parts[0], torch.zeros_like(parts[0]))
        stacked_BM = torch.stack(parts, 1)
        if self.softmax:
            return softmax_present(stacked_BM, present)
        gates_BM = stacked_BM.sigmoid()
        if present is None:
            return gates_BM
        return gates_BM.where(present.reshape(*present.shape, *([1] * (gates_BM.dim() - 2))), 0.0)

    def forward(self, *features: Tensor, present: Tensor | None = None,
                valid: Sequence[Tensor | None] | None = None) -> Tensor:
        """The gated sum."""
        gates = self._gates(features, present).unbind(1)
        hidden = [layer(x).tanh() for layer, x in zip(self.project, fill_absent(features, present), strict=True)]
        return reduce(torch.add, [z * h for z, h in zip(gates, hidden, strict=True)])


component = Fusion(
    "gmu", GMUConfig, GMU,
    rule="*features: B _ -> B {width} | *features: B [n] _ -> B [n] {width} | *features: B _ ... -> B {width} ...",
    absent="drop", category="single-level", paper="arXiv:1702.01992",
    claims=("onnx",),
)
