"""Flatten: every position of a small map, or every token, side by side in one vector.

Source: the step between convolutions and fully connected layers in LeCun et al. 1998, Gradient-based learning applied
to document recognition, doi:10.1109/5.726791, section II.B.
"""

# Axes: B batch, c features, P positions (tokens, or positions of a map), ... spatial axes of a map.

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from fusionkit.api import Config, Encoder, TensorShape, Vector

MANY = 4096
"""Numbers above which one layer after it has most weights of a small network."""


class FlattenConfig(Config):
    """`encoder.flatten` has no options."""


class Flatten(nn.Module):
    """All numbers of a map or of tokens as one vector, which keeps where each of them was.

    A mean over positions (`encoder.pool`, the `pooled` output of most networks) forgets the place. On a small fixed
    grid, at which every case shows the same parts at the same places, the place matters and costs few weights. Sizes
    must be those of the graph.

    Shapes: (B, c, ...) or (B, P, c); gives (B, c P), in the order of the axes, the last running fastest. Missing rows
    are skipped.
    """

    def __init__(self, config: FlattenConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()

    def forward(self, features: Tensor) -> Tensor:
        """The vector."""
        return features.flatten(1)


def flat_shape(config: FlattenConfig, inputs: Sequence[TensorShape]) -> Vector:
    """The output shape of `encoder.flatten`."""
    return Vector((inputs[0].count,))


def _advice(config: FlattenConfig, inputs: Sequence[TensorShape]) -> list[str]:
    count = inputs[0].count
    if count <= MANY:
        return []
    return [f"its result has {count:,} numbers, and a layer of width 64 after it {64 * count:,} weights; it is meant "
            "for small grids: reduce the map first, or use encoder.pool"]


component = Encoder("flatten", FlattenConfig, Flatten, rule="B _ ... | B _ _", output=flat_shape, category="adapter",
                    paper="doi:10.1109/5.726791", claims=("onnx",), advice=_advice)
