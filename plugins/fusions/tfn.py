"""Tensor fusion (TFN): all products of the inputs' features, of all orders, through one linear layer.

Source: Zadeh et al. 2017, Tensor Fusion Network for Multimodal Sentiment Analysis, arXiv 1707.07250, eq. 2-4.
The initial layer, normal with variance 1 over its inputs and zero bias, is ours.
"""

# Axes: B batch, M inputs, c width of one input, w {width}, P product of all (c + 1).

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from fusionkit.api import ComponentError, Config, Fusion, TensorShape, Vector, fill_absent, zero_empty

# Products per case; three inputs of 128 features are just above it.
LARGEST = 2_000_000


class TFNConfig(Config):
    """Options of `fusion.tfn`."""

    width: PositiveInt = Field(64, examples=[13], description="Width of the result.")
    force: bool = Field(False, description="Whether to build it even with more than 2 million products for each case.")


class TFN(nn.Module):
    """`y = W ([1; x_1] (x) ... (x) [1; x_M]) + b`, the outer product flattened with the last input fastest.

    Shapes: M vectors (B, c_m); gives (B, width). Costs width * P weights, P the product of all c_m + 1.

    Missing inputs: `[1; x_m]` becomes `[1; 0]`: products with m vanish, all others remain. Rows with nothing present
    give zeros.

    Raises: ComponentError if P is above 2 million and `force` is not set.
    """

    def __init__(self, config: TFNConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        count = prod(shape.width + 1 for shape in inputs)
        _output(config, inputs)
        self.project = nn.Linear(count, config.width)
        nn.init.normal_(self.project.weight, std=count**-0.5)
        nn.init.zeros_(self.project.bias)

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        """The fused features."""
        return zero_empty(self.project(outer_product(fill_absent(features, present))), present)


def outer_product(vectors: Sequence[Tensor]) -> Tensor:
    """All products with one entry of each `[1; x_m]`, the last input fastest: M times (B, c_m) to (B, P)."""
    product = with_one(vectors[0])
    for vector in vectors[1:]:
        product = (product.unsqueeze(2) * with_one(vector).unsqueeze(1)).flatten(1)
    return product


def with_one(vector: Tensor) -> Tensor:
    """`[1; x]`: (B, c) to (B, c + 1)."""
    return F.pad(vector, (1, 0), value=1.0)


def _output(config: TFNConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    count = prod(shape.width + 1 for shape in inputs)
    if count > LARGEST and not config.force:
        raise ComponentError(f"its inputs have {count:,} products, and each costs {config.width} weights",
                             why=f"above {LARGEST:,} it is nearly always a mistake",
                             fix="narrow the inputs with an `encoder.project`, use `fusion.lmf`, or set 'force: true'")
    return Vector((config.width,))


component = Fusion(
    "tfn", TFNConfig, TFN, rule="*features: B _", output=_output, absent="neutral",
    category="single-level", paper="arXiv:1707.07250", claims=("onnx",),
)
