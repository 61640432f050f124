"""What one batch contributes to a loss that compares the cases of a whole step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fusionkit.errors import RunError
from fusionkit.layers.projection import at_least_single


@dataclass(frozen=True)
class Share:
    """The part of one batch in a loss over all cases of a step, from a first pass.

    `value` is its number, a scalar without gradient. `slopes` are the gradients of the whole loss with respect to the
    rows of this batch, one for each of its tensors, None for those that it does not depend on; `weights` those with
    respect to parameters that the loss itself reads, by name, divided among the batches. `seen` are the rows of the
    first pass, where they are to be compared.
    """

    value: Tensor
    slopes: Sequence[Tensor | None]
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    seen: Sequence[Tensor | None] = ()

    def through(self, module: nn.Module, rows: Sequence[Tensor | None]) -> Tensor:
        """The value, with the gradient that the loss of the step has through these rows and this module's weights.

        Raises: RunError if the rows are others than in the first pass.
        """
        for before, row in zip(self.seen, rows, strict=False):
            if before is not None and row is not None and _differ(before, row):
                raise RunError(
                    "a loss over the cases of a step would get a wrong gradient: in the second pass over a batch the "
                    "network gives other results than in the first\n  a component may draw random numbers by a "
                    "generator of its own, or change with every call; train with 'accumulate: 1' in one process")
        product = self.value.new_zeros(())
        for slope, row in zip(self.slopes, rows, strict=True):
            if slope is not None and row is not None:
                product = product + (slope * at_least_single(row)).sum()
        own = dict(module.named_parameters()) if self.weights else {}
        for name, slope in self.weights.items():
            product = product + (slope * own[name]).sum()
        return self.value + (product - product.detach())


@torch.no_grad()
def _differ(before: Tensor, now: Tensor) -> bool:
    """Whether rows differ by more than another order of sums, or another kernel, does in half precision."""
    if before.shape != now.shape:
        return True
    if not before.numel() or not bool(before.isfinite().all()):
        return False
    return float((before - now.detach()).abs().max()) > _TOLERATED * float(before.abs().max())


_TOLERATED = 0.05
