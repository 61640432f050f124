"""Losses over pairs of inputs, of the same case or of all cases. Contains no component."""

# Axes: B batch, M inputs.

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn

from fusionkit.api import CaseComparison, ComponentError, TensorShape, at_least_single, fill_absent

Pairs = Literal["all", "first"]
"""Every input with every other, or the first with each of the others."""
Measure = Callable[[Tensor, Tensor], Tensor]
"""Gives one number for each row of two inputs (B, ...): (B,)."""


def check_several(inputs: Sequence[TensorShape]) -> None:
    """Raises: ComponentError if there is only one input."""
    if len(inputs) < 2:
        raise ComponentError("it compares its inputs, but is given one", fix="give two or more: from: [ct, pet]")


def mean_over_pairs(measure: Measure, features: Sequence[Tensor], present: Tensor | None, pairs: Pairs = "all"
                    ) -> Tensor:
    """The mean of a measure over the rows that have both inputs of a pair, averaged over the pairs with any such row.

    Without anything to compare it is 0. The features of missing rows must be finite (`fill_absent`).

    Shapes: M tensors (B, ...), of which `measure` makes (B,) for two; `present` (B, M); gives ().
    """
    if present is None:
        present = torch.ones(features[0].shape[0], len(features), dtype=torch.bool, device=features[0].device)
    columns, means, counts = present.unbind(1), [], []
    for a, b in combinations(range(len(features)), 2) if pairs == "all" else ((0, b) for b in range(1, len(features))):
        both_B = columns[a] & columns[b]
        count = both_B.sum()
        means.append(measure(features[a], features[b]).where(both_B, 0.0).sum() / count.clamp(min=1))
        counts.append(count > 0)
    return torch.stack(means).sum() / torch.stack(counts).sum().clamp(min=1)


class PairLoss(nn.Module):
    """The inputs unchanged, and `weight` times the mean of a measure over rows and pairs.

    Shapes: M inputs (B, c), two or more; returns each, and the loss, ().

    Missing inputs: are returned as zeros and stay missing; rows without both of a pair do not enter the loss.

    Raises: ComponentError for a single input.
    """

    def __init__(self, inputs: Sequence[TensorShape], measure: Measure, weight: float, pairs: Pairs = "all") -> None:
        super().__init__()
        check_several(inputs)
        self.measure, self.weight, self.pairs = measure, weight, pairs

    def forward(self, *features: Tensor, present: Tensor | None = None) -> tuple[Tensor, ...]:
        """The inputs and the loss."""
        given = fill_absent(features, present)
        loss = self.weight * mean_over_pairs(self.measure, given, present, self.pairs)
        return *given, loss.to(given[0].dtype)


class SetLoss(CaseComparison):
    """The mean over pairs of inputs of a distance between their cases, taken as two sets: no case has a partner.

    `measure` gives it from rows (B, c) and which of them count (B,), of both inputs: ().

    Shapes: `present` (B, M) or None and M tensors (B, c); gives (). A pair counts if both inputs are there in two rows
    or more.
    """

    def __init__(self, measure: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.measure = measure

    def compare(self, present: Tensor | None, *features: Tensor) -> Tensor:
        """The loss."""
        given = [at_least_single(x) for x in features]
        if present is None:
            present = torch.ones(given[0].shape[0], len(given), dtype=torch.bool, device=given[0].device)
        columns, losses, counts = present.unbind(1), [], []
        for a, b in combinations(range(len(given)), 2):
            enough = (columns[a].sum() > 1) & (columns[b].sum() > 1)
            losses.append(self.measure(given[a], columns[a], given[b], columns[b]).where(enough, 0.0))
            counts.append(enough)
        return torch.stack(losses).sum() / torch.stack(counts).sum().clamp(min=1)


class BetweenSets(nn.Module):
    """The inputs unchanged, and `weight` times a `SetLoss`.

    Raises: ComponentError for a single input.
    """

    def __init__(self, inputs: Sequence[TensorShape], measure: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
                 weight: float) -> None:
        super().__init__()
        check_several(inputs)
        self.align, self.weight = SetLoss(measure), weight

    def forward(self, *features: Tensor, present: Tensor | None = None) -> tuple[Tensor, ...]:
        """The inputs and the loss."""
        given = fill_absent(features, present)
        loss = self.weight * self.align(present, *given)
        return *given, loss.to(given[0].dtype)
