"""Learned imputation of a missing input: its result is always present.

Source: the learned "missing" embedding common in multimodal work; stated here: row b of the result is
x_b where present, else theta, with theta learned, or the mean of the present rows in training.
"""
# Axes: B batch, c features, n tokens, ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from fusionkit.api import Config, Encoder, TensorShape, at_least_single, row_mask

# The minimum weight of a batch in the running mean: as the encoder before it learns, old batches are forgotten.
MOMENTUM = 0.1


class PlaceholderConfig(Config):
    """Options of `encoder.placeholder`."""

    value: Literal["learned", "mean"] = Field(
        "learned", description="The imputed value: 'learned' with the weights, or the running 'mean' of the present "
        "rows in training, which needs no missing rows to learn from.")
    start: Literal["zeros", "normal"] = Field(
        "normal", description="A learned value before training: zeros, or normal with standard deviation 0.02. "
        "A mean starts at zeros.")


class Placeholder(nn.Module):
    """Missing rows are replaced by the placeholder; present rows are unchanged, and the result is always present.

    A learned placeholder learns only from batches with missing rows: without any it keeps its initial value, so combine
    it with training data or modality dropout in which the input is sometimes missing. A mean is that of all present
    rows of the first ten steps of training, and then moves a tenth of the way to each batch's mean.

    Shapes: (B, c), (B, n, c) or (B, c, ...), and `present` (B, 1), True = present; gives the shape of the
    input. The placeholder is (c), (n, c), or (c, 1, ...): one number for each channel of a map.
    The contents of a missing row, NaN included, affect neither the result nor a gradient.

    Raises: ValueError for an input of another width, or another number of tokens.
    """

    stand_in: Tensor
    steps: Tensor

    def __init__(self, config: PlaceholderConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        shape = inputs[0]
        sizes = (shape.width, *([1] * len(shape.spatial))) if shape.spatial else shape.sizes
        self.learned = config.value == "learned"
        if not self.learned:
            self.register_buffer("stand_in", torch.zeros(sizes))
            self.register_buffer("steps", torch.zeros((), dtype=torch.long))
            return
        self.stand_in = nn.Parameter(torch.zeros(sizes))
        if config.start == "normal":
            nn.init.normal_(self.stand_in, std=0.02)

    def forward(self, features: Tensor, present: Tensor | None = None) -> Tensor:
        """The input with its missing rows replaced."""
        if present is None:
            # The parameter stays part of the computation, as distributed training requires.
            present = features.new_ones(features.shape[0], 1, dtype=torch.bool)
        sizes = (features.shape[1], *([1] * (features.dim() - 2))) if features.dim() > 3 else tuple(features.shape[1:])
        if sizes != tuple(self.stand_in.shape):
            # A single number would be broadcast silently over any width.
            raise ValueError(f"its placeholder is {list(self.stand_in.shape)} and cannot replace {list(sizes)}")
        mask = row_mask(present[:, 0], features)
        if self.training and not self.learned:
            self._follow(features.detach(), mask)
        return torch.where(mask, features, self.stand_in.to(features.dtype))

    def _follow(self, features: Tensor, mask: Tensor) -> None:
        """Move the mean towards that of the present rows; without any it is unchanged."""
        count = mask.sum()
        mean = at_least_single(features).where(mask, 0.0).sum(0) / count.clamp(min=1)
        if features.dim() > 3:
            mean = mean.flatten(1).mean(1).reshape(self.stand_in.shape)
        share = (1 / (self.steps + 1)).clamp(min=MOMENTUM) * (count > 0)
        self.stand_in.lerp_(mean.to(self.stand_in.dtype), share.to(self.stand_in.dtype))
        self.steps.add_(count > 0)


component = Encoder("placeholder", PlaceholderConfig, Placeholder, absent="fill", category="missing modality",
                    rule="B _ -> same | B _ _ -> same | B _ ... -> same", claims=("onnx",))
