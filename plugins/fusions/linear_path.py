"""Linear path: a linear model of each view, zero at first, added to the scores of a deep network.

Source: a linear and a deep part whose scores are added and trained jointly: Cheng et al. 2016, Wide & Deep Learning for
Recommender Systems, arXiv 1606.07792, eq. 3; the zero start, so that the deep scores come first, is ours.
"""

# Axes: B batch, k classes, labels or values, c columns of one view (views may differ).

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from fusionkit.api import Config, Fusion, TensorShape, fill_absent


class LinearPathConfig(Config):
    """`fusion.linear_path` has no options."""


class LinearPath(nn.Module):
    """`y = deep + sum_m W_m v_m`, W_m zero at first; no bias, which the deep scores have already.

    Give it the inputs themselves, or vectors that are little changed, as `views`. With few cases and many columns the
    linear part is what can be learned, and the deep part adds what it misses.

    Shapes: `deep`, scores (B, k), and `views`, one or more, (B, c_m); gives scores (B, k).

    Missing inputs: they add nothing, the deep scores included. Rows with nothing present give zeros.
    """

    def __init__(self, config: LinearPathConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        layers = [nn.Linear(view.width, inputs[0].width, bias=False) for view in inputs[1:]]
        for layer in layers:
            nn.init.zeros_(layer.weight)
        self.layers = nn.ModuleList(layers)

    def forward(self, deep: Tensor, *views: Tensor, present: Tensor | None = None) -> Tensor:
        """The deep scores and those of every view, added."""
        total, *columns = fill_absent([deep, *views], present)
        for layer, view in zip(self.layers, columns, strict=True):
            total = total + layer(view)
        return total


component = Fusion("linear_path", LinearPathConfig, LinearPath, rule="deep: B k, *views: B _ -> B k", absent="neutral",
                   category="output", paper="arXiv:1606.07792", claims=("onnx",))
