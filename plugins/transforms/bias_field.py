"""Bias field: brightness that changes slowly over the case, as by the coils of an MR scanner.

Source: Van Leemput et al. 1999, doi:10.1109/42.811268, for the polynomial in the exponent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from fusionkit.api import Draws, Transform, TransformConfig, TransformMethod


class BiasFieldConfig(TransformConfig):
    """Options of `transform.bias_field`."""

    order: int = Field(3, ge=1, le=5, description="Largest sum of the powers in a term of the polynomial.")
    size: NonNegativeFloat = Field(0.3, description="Largest coefficient of a term, either way.")


class BiasField(TransformMethod):
    """Multiplies what lies above the smallest value of a channel by the exponential of a polynomial over -1..1."""

    config: BiasFieldConfig

    def draw(self, random: Draws) -> Mapping[str, float]:
        """The coefficient of each term but the constant, which would be a change of brightness."""
        return {_name(powers): random.between(-self.config.size, self.config.size) for powers in self._terms()}

    def _terms(self) -> list[tuple[int, int, int]]:
        """The powers along d, h, w."""
        count = range(self.config.order + 1)
        return [(d, h, w) for d in count for h in count for w in count if 0 < d + h + w <= self.config.order]

    def apply(self, values: Tensor, drawn: Mapping[str, Tensor], noise: Callable[[], Tensor]) -> Tensor:
        """The values under the field."""
        sizes = (1, *values.shape[2:])[-3:]
        powers = [self._powers(size, values) for size in sizes]
        terms = self._terms()
        # One case after the other: a product of a whole batch need not be alike in every batch.
        fields = [self._field([drawn[_name(term)][row] for term in terms], terms, powers)
                  for row in range(len(values))]
        factor = torch.stack(fields).exp().reshape(len(values), 1, *values.shape[2:])
        low = values.amin(tuple(range(2, values.dim())), keepdim=True)
        return (values - low) * factor + low

    def _powers(self, size: int, like: Tensor) -> Tensor:
        """The powers of the places along an axis from -1 to 1, 0 on an axis of one voxel: (order + 1, size)."""
        at = torch.linspace(-1, 1, size, device=like.device) if size > 1 else torch.zeros(1, device=like.device)
        return at ** torch.arange(self.config.order + 1, device=like.device)[:, None]

    def _field(self, numbers: list[Tensor], terms: list[tuple[int, int, int]], powers: list[Tensor]) -> Tensor:
        weights = torch.zeros([self.config.order + 1] * 3, device=powers[0].device)
        for number, term in zip(numbers, terms, strict=True):
            weights[term] = number
        for along in powers:
            weights = torch.tensordot(weights, along, dims=([0], [0]))
        return weights


def _name(powers: tuple[int, int, int]) -> str:
    return "d{}h{}w{}".format(*powers)


component = Transform("bias_field", BiasFieldConfig, BiasField, short="size", category="intensity",
                      paper="doi:10.1109/42.811268")
