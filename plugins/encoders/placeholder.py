"""Learned stand-in for an absent input: what follows always has something to work with.

Source: the learned "missing" embedding common in multimodal work; stated here: row b of the result is
x_b where present, else theta, with theta learned.
"""
# Axes: B batch, c features, n tokens, ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from fusionkit.api import Config, Encoder, TensorShape, row_mask


class PlaceholderConfig(Config):
    """Options of `encoder.placeholder`."""

    start: Literal["zeros", "normal"] = Field(
        "normal", description="The stand-in before training: zeros, or normal with standard deviation 0.02.")


class Placeholder(nn.Module):
    """Absent rows become the stand-in; present rows stay as they are, and the result is always present.

    The stand-in learns only from batches with absent rows: where training has none it stays as it
    started, so couple it with training in which the input is sometimes left out.

    Shapes: (B, c), (B, n, c) or (B, c, ...), and `present` (B, 1), True = present; gives the shape of the
    input. The stand-in is (c), (n, c), or (c, 1, ...): one number for each channel of a map.
    What an absent row holds, NaN included, reaches neither the result nor a gradient.
    """

    def __init__(self, config: PlaceholderConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        shape = inputs[0]
        sizes = (shape.width, *([1] * len(shape.spatial))) if shape.spatial else shape.sizes
        self.stand_in = nn.Parameter(torch.zeros(sizes))
        if config.start == "normal":
            nn.init.normal_(self.stand_in, std=0.02)

    def forward(self, features: Tensor, present: Tensor | None = None) -> Tensor:
        """The input with its absent rows replaced."""
        if present is None:
            # The parameter stays part of the computation, which distributed training relies on.
            present = features.new_ones(features.shape[0], 1, dtype=torch.bool)
        return torch.where(row_mask(present[:, 0], features), features, self.stand_in.to(features.dtype))


component = Encoder("placeholder", PlaceholderConfig, Placeholder, absent="fill", category="missing modality",
                    rule="B _ -> same | B _ _ -> same | B _ ... -> same", claims=("onnx",))
