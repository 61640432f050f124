"""What one batch contributes to a loss that compares the cases of a whole step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from fusionkit.layers.projection import at_least_single


@dataclass(frozen=True)
class Share:
    """The part of one batch in a loss over all cases of a step, from a first pass.

    `value` is its number, a scalar without gradient. `slopes` are the gradients of the whole loss with respect to the
    rows of this batch, one for each of its tensors, None for those that it does not depend on; `weights` those with
    respect to parameters that the loss itself reads, by name, divided among the batches.
    """

    value: Tensor
    slopes: Sequence[Tensor | None]
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    def through(self, module: nn.Module, rows: Sequence[Tensor | None]) -> Tensor:
        """The value, with the gradient that the loss of the step has through these rows and this module's weights."""
        product = self.value.new_zeros(())
        for slope, row in zip(self.slopes, rows, strict=True):
            if slope is not None and row is not None:
                product = product + (slope * at_least_single(row)).sum()
        own = dict(module.named_parameters()) if self.weights else {}
        for name, slope in self.weights.items():
            product = product + (slope * own[name]).sum()
        return self.value + (product - product.detach())
