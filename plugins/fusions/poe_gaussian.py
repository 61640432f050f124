"""Product of Gaussian experts: each present input gives mean and variance of a latent vector, which are combined.

Source: Wu and Goodman 2018, Multimodal Generative Models for Scalable Weakly-Supervised Learning (MVAE),
arXiv 1802.05335, section 2.2. The authors' code adds its small constant to the variance twice, and leaves a modality
out for a whole batch only; here it is added once, and inputs are missing per row.
"""

# Axes: B batch, M inputs, c width of one input, d {width} of the latent vector.

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    Bundle,
    ComponentError,
    Config,
    Fusion,
    Scalar,
    Shape,
    TensorShape,
    Vector,
    at_least_single,
    fill_absent,
    joined_shape,
    pointwise,
    zero_empty,
)

EPSILON = 1e-8
LARGEST = 10.0  # of |log variance|


class PoEGaussianConfig(Config):
    """Options of `fusion.poe_gaussian`."""

    width: PositiveInt | None = Field(
        None, description="Width of the latent vector, to whose mean and log variance each input is projected; None "
        "reads the mean from the first half of each input and the log variance from the second.")
    prior: bool = Field(True, description="Whether the standard normal distribution is a further expert.")
    sample: bool = Field(
        True, description="Whether `latent` is sampled in training; else, and in evaluation, it is the mean.")
    beta: float = Field(
        0.0, ge=0, description="Weight of the loss that pulls the joint distribution towards the standard normal one.")


class PoEGaussian(nn.Module):
    """`T = sum 1/var_m` (`+ 1` for the prior), `mu = sum (mu_m / var_m) / T`, over the present inputs.

    Log variances are clamped to -10..10. `loss_kl` is beta times the mean, over rows with anything present, of
    KL(N(mu, 1/T) || N(0, 1)) summed over the vector.

    Trained on complete cases only, a single input never learns to represent all: drop inputs at random in training.

    Shapes: M vectors (B, c_m), or (B, 2 d); gives `latent`, `mean` and `logvar`, each (B, d), and `loss_kl` ().

    Missing inputs: their precision is zero. With the prior, the mean of few inputs is closer to zero. Rows with
    nothing present give zeros, the mean of that prior.

    Raises: ComponentError if without `width` the inputs have an odd width.
    """

    def __init__(self, config: PoEGaussianConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        _width(config, inputs)
        self.config = config
        width = config.width
        self.project = nn.ModuleList(pointwise(shape, 2 * width) for shape in inputs if width is not None)

    def forward(self, *features: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The latent vector, the joint mean and log variance, and the loss."""
        filled = fill_absent(features, present)
        if len(self.project) > 0:
            filled = [layer(x) for layer, x in zip(self.project, filled, strict=True)]
        joint = self._joint([at_least_single(x) for x in filled], present)
        mean, logvar = (zero_empty(part, present) for part in joint)
        latent = mean
        if self.training and self.config.sample:
            latent = zero_empty(mean + (logvar / 2).exp() * torch.randn_like(mean), present)
        dtype = features[0].dtype
        return latent.to(dtype), mean.to(dtype), logvar.to(dtype), self._loss(mean, logvar, present).to(dtype)

    def _joint(self, experts: Sequence[Tensor], present: Tensor | None) -> tuple[Tensor, Tensor]:
        halves = [expert.chunk(2, 1) for expert in experts]
        variances = [logvar.clamp(-LARGEST, LARGEST).exp() + EPSILON for _, logvar in halves]
        precisions = fill_absent([1 / variance for variance in variances], present)
        total = reduce(torch.add, precisions)
        # With nothing present there is no precision, and this value is replaced.
        total = total + 1 if self.config.prior else total.where(total > 0, 1.0)
        weighted = reduce(torch.add, [mu * t for (mu, _), t in zip(halves, precisions, strict=True)])
        return weighted / total, -total.log()

    def _loss(self, mean: Tensor, logvar: Tensor, present: Tensor | None) -> Tensor:
        rows_B = (logvar.exp() + mean.square() - 1 - logvar).sum(1) / 2
        counted_B = torch.ones_like(rows_B) if present is None else present.any(1).to(rows_B.dtype)
        return self.config.beta * (rows_B * counted_B).sum() / counted_B.sum().clamp(min=1)


def _width(config: PoEGaussianConfig, inputs: Sequence[TensorShape]) -> int:
    if config.width is not None:
        return config.width
    width = joined_shape(config, inputs).width
    if width % 2:
        raise ComponentError(f"its inputs have {width} features, which cannot be split into mean and log variance",
                             fix="set 'width' to project each input to both")
    return width // 2


def _output(config: PoEGaussianConfig, inputs: Sequence[TensorShape]) -> Shape:
    vector = Vector((_width(config, inputs),))
    return Bundle((("latent", vector), ("mean", vector), ("logvar", vector), ("loss_kl", Scalar(()))))


component = Fusion(
    "poe_gaussian", PoEGaussianConfig, PoEGaussian, rule="*features: B _", output=_output,
    absent="neutral", category="missing modality", paper="arXiv:1802.05335",
    claims=("symmetric",),
    exceptions={"symmetry: *width=*": "with 'width' each input has a projection of its own"},
)
