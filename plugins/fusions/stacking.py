"""Stacking: one linear layer reads the scores of all predictors and which of them are present.

Source: Wolpert 1992, Stacked Generalization, doi:10.1016/S0893-6080(05)80023-1; the bits of presence, and the start
as the mean of the scores, are ours.
"""

# Axes: B batch, M predictors, k classes or labels.

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, TensorShape, fill_absent, zero_empty


class StackingConfig(Config):
    """`fusion.stacking` has no options."""


class Stacking(nn.Module):
    """`y = W [l_1; ...; l_M; a] + b`, a the presence bits; initially y is the mean of the scores.

    Costs (M k + M + 1) k. **Train it on out-of-fold scores only**: among predictors that have seen the case, it relies
    most on those that overfit. So give it scores computed by cross-validation as inputs of the graph, or predictors
    that were trained on other cases and are frozen (`freeze: true`). It cannot check where its scores come from.

    Shapes: M times logits (B, k); gives logits (B, k).

    Missing inputs: their scores count as zeros and their bit is 0. Rows with nothing present give zeros.
    """

    def __init__(self, config: StackingConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        count, width = len(inputs), inputs[0].width
        self.layer = nn.Linear(count * (width + 1), width)
        with torch.no_grad():
            self.layer.weight.copy_(torch.cat([torch.eye(width) / count] * count + [torch.zeros(width, count)], 1))
            self.layer.bias.zero_()

    def forward(self, *logits: Tensor, present: Tensor | None = None) -> Tensor:
        """The stacked logits."""
        bits = fill_absent([torch.ones_like(x[:, :1]) for x in logits], present)
        return zero_empty(self.layer(torch.cat([*fill_absent(logits, present), *bits], 1)), present)


component = Fusion(
    "stacking", StackingConfig, Stacking, rule="*logits: B k -> B k",
    absent="neutral", category="output", paper="doi:10.1016/S0893-6080(05)80023-1",
    claims=("onnx",),
)
