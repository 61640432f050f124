"""Learned imputation of a missing input: its result is always present.

Source: the learned "missing" embedding common in multimodal work; stated here: row b of the result is
x_b where present, else theta, with theta learned, or the mean of the present rows in training, or the centre of the
largest of their clusters, by sequential k-means (MacQueen 1967, Some methods for classification and analysis of
multivariate observations).
"""
# Axes: B batch, c features, n tokens, ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Encoder, TensorShape, at_least_single, row_mask

# The minimum weight of a batch in the running mean: as the encoder before it learns, old batches are forgotten.
MOMENTUM = 0.1


class PlaceholderConfig(Config):
    """Options of `encoder.placeholder`."""

    value: Literal["learned", "mean", "prototype"] = Field(
        "learned", description="The imputed value: 'learned' with the weights; the running 'mean' of the present rows "
        "in training, which needs no missing rows to learn from; or a 'prototype', the centre of the largest of their "
        "clusters, a typical case where the mean may lie between all of them.")
    prototypes: PositiveInt = Field(8, le=64, description="With 'value: prototype', the number of clusters.")
    start: Literal["zeros", "normal"] = Field(
        "normal", description="A learned value before training: zeros, or normal with standard deviation 0.02. "
        "A mean and a prototype start at zeros.")


class Placeholder(nn.Module):
    """Missing rows are replaced by the placeholder; present rows are unchanged, and the result is always present.

    A learned placeholder learns only from batches with missing rows: without any it keeps its initial value, so combine
    it with training data or modality dropout in which the input is sometimes missing. A mean is that of all present
    rows of the first ten steps of training, and then moves a tenth of the way to each batch's mean; so does each centre
    of a cluster with the rows nearest to it, where the centres begin as rows far apart. Which cluster is the
    largest is counted with old batches forgotten likewise.

    Shapes: (B, c), (B, n, c) or (B, c, ...), and `present` (B, 1), True = present; gives the shape of the
    input. The placeholder is (c), (n, c), or (c, 1, ...): one number for each channel of a map.
    The contents of a missing row, NaN included, affect neither the result nor a gradient.

    Raises: ValueError for an input of another width, or another number of tokens.
    """

    stand_in: Tensor
    steps: Tensor
    centres: Tensor
    shares: Tensor

    def __init__(self, config: PlaceholderConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        shape = inputs[0]
        sizes = (shape.width, *([1] * len(shape.spatial))) if shape.spatial else shape.sizes
        self.learned = config.value == "learned"
        self.count = config.prototypes if config.value == "prototype" else 1
        if not self.learned:
            self.register_buffer("stand_in", torch.zeros(sizes))
            self.register_buffer("steps", torch.zeros((), dtype=torch.long))
            if config.value == "prototype":
                self.register_buffer("centres", torch.zeros(self.count, *sizes))
                self.register_buffer("shares", torch.zeros(self.count))
            self.clustered = config.value == "prototype"
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
            (self._cluster if self.clustered else self._follow)(features.detach(), mask)
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

    def _cluster(self, features: Tensor, mask: Tensor) -> None:
        """Move each centre towards the mean of the present rows that are nearest to it."""
        present_B = mask.flatten()
        rows = at_least_single(features).where(mask, 0.0)
        rows = rows.flatten(2).mean(2) if features.dim() > 3 else rows
        rows_Bn = rows.flatten(1).to(self.centres.dtype)
        centres_Kn = self.centres.flatten(1)
        centres_Kn = torch.where(self.steps == 0, self._spread(rows_Bn, present_B), centres_Kn)
        nearest_B = (rows_Bn.unsqueeze(1) - centres_Kn).square().sum(2).argmin(1)
        places_K = torch.arange(self.count, device=rows_Bn.device)
        chosen_BK = (nearest_B.unsqueeze(1) == places_K) & present_B.unsqueeze(1)
        numbers_K = chosen_BK.sum(0).to(rows_Bn.dtype)
        means_Kn = (chosen_BK.to(rows_Bn.dtype).T @ rows_Bn) / numbers_K.clamp(min=1).unsqueeze(1)
        some = present_B.any()
        share = (1 / (self.steps + 1)).clamp(min=MOMENTUM).to(rows_Bn.dtype) * some
        moved_Kn = torch.where(numbers_K.unsqueeze(1) > 0, centres_Kn.lerp(means_Kn, share), centres_Kn)
        self.centres.copy_(torch.where(some, moved_Kn, self.centres.flatten(1)).reshape(self.centres.shape))
        self.shares.lerp_(numbers_K / numbers_K.sum().clamp(min=1), share)
        self.stand_in.copy_(_at(self.centres, self.shares.argmax()))
        self.steps.add_(some)

    def _spread(self, rows_Bn: Tensor, present_B: Tensor) -> Tensor:
        """The first centres: a present row, then each time the one farthest from all before."""
        gaps_B = present_B.to(rows_Bn.dtype).where(present_B, -1.0)
        chosen: list[Tensor] = []
        for _ in range(self.count):
            chosen.append(_at(rows_Bn, gaps_B.argmax()))
            squared_B = (rows_Bn - chosen[-1]).square().sum(1).where(present_B, -1.0)
            gaps_B = squared_B if len(chosen) == 1 else torch.minimum(gaps_B, squared_B)
        return torch.stack(chosen)


def _at(values: Tensor, place: Tensor) -> Tensor:
    """The row at a place, a tensor of one number: as an index it would be asked of the device."""
    return values.index_select(0, place.reshape(1)).squeeze(0)


component = Encoder("placeholder", PlaceholderConfig, Placeholder, absent="fill", category="missing modality",
                    rule="B _ -> same | B _ _ -> same | B _ ... -> same", claims=("onnx",))
