"""Jensen-Shannon divergence: returns the inputs, with a loss that pulls the distributions they encode together.

Source: Lin 1991, Divergence Measures Based on the Shannon Entropy, doi:10.1109/18.61115, section IV. Between shared
features, each a separate probability: Yao et al. 2024, DrFuse, arXiv 2403.06197, whose code sums over features and
leaves out the terms of 1 - p; here both terms are used, and the mean over features, so that ln 2 is the maximum either
way.
"""
# Axes: B batch, M inputs, c width of all inputs.

from __future__ import annotations

from collections.abc import Sequence

from fusionkit_plugins.blocks.pairs import PairLoss
from fusionkit_plugins.fusions.drfuse import apart, jensen_shannon
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from fusionkit.api import Config, Fusion, TensorShape, at_least_single


class JensenShannonConfig(Config):
    """Options of `fusion.jensen_shannon`."""

    weight: NonNegativeFloat = Field(1.0, description="Weight of the divergence loss.")
    bernoulli: bool = Field(
        False, description="Whether each feature is a separate probability, by a sigmoid, as for labels or shared "
                           "features; else all are one distribution, by a softmax, as for classes.")


class JensenShannon(PairLoss):
    """The inputs unchanged, and the mean over pairs of (KL[p || m] + KL[q || m]) / 2, m = (p + q) / 2.

    The divergence is symmetric and at most ln 2. Both sides get gradients; `fusion.distil` has a teacher instead.

    Shapes: M inputs (B, c), two or more; returns each, and `loss_jensen_shannon`, ().

    Missing inputs: are returned as zeros and stay missing; rows without both of a pair do not enter the loss.

    Raises: ComponentError for a single input.
    """

    def __init__(self, config: JensenShannonConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(inputs, _of_features if config.bernoulli else _of_classes, config.weight)


def _of_classes(one: Tensor, other: Tensor) -> Tensor:
    return apart(at_least_single(one).log_softmax(1), at_least_single(other).log_softmax(1)).sum(1)


def _of_features(one: Tensor, other: Tensor) -> Tensor:
    return (jensen_shannon(one, other) + jensen_shannon(-one, -other)) / one.shape[1]


component = Fusion("jensen_shannon", JensenShannonConfig, JensenShannon,
                   rule="*features: B c -> same, loss_jensen_shannon: ()", absent="drop", category="auxiliary loss",
                   paper="doi:10.1109/18.61115")
