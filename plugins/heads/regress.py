"""Regression: one number for each named value, alone, with a variance, or with quantiles.

Source: Huber 1964, Robust Estimation of a Location Parameter, doi:10.1214/aoms/1177703732, for the loss of
that name; the Gaussian likelihood weighted by a power of its variance: Seitzer et al. 2022, On the Pitfalls of
Heteroscedastic Uncertainty Estimation with Probabilistic Neural Networks, arXiv 2203.09168; quantiles: Koenker and
Bassett 1978, Regression Quantiles, doi:10.2307/1913643.
"""
# Axes: B batch, c features, K {values}, L levels below the middle, U levels above it.

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.options import check_names
from fusionkit_plugins.blocks.regression_losses import beta_nll, pinball
from pydantic import Field, PositiveFloat, model_validator
from torch import Tensor, nn

from fusionkit.api import (
    ComponentError,
    Head,
    Probes,
    ReadoutConfig,
    TensorShape,
    Vector,
    at_least_single,
    quantile_name,
    readout,
)

_SMALLEST, _LEAST_VARIANCE = 1e-30, 1e-6
# exp of more is no number in single precision.
_LARGEST = 80.0


class RegressConfig(ReadoutConfig):
    """Options of `head.regress`."""

    values: list[Annotated[str, Field(min_length=1)]] = Field(
        min_length=1, description="Names of the values, in the order of the targets.")
    loss: Literal["mse", "mae", "huber", "gaussian", "quantile"] = Field(
        "mse", description="mse: squared error; mae: absolute error; huber: squared when small, absolute when large; "
                           "gaussian: a variance of each case too; quantile: the quantiles of each case.")
    delta: PositiveFloat = Field(1.0, description="Where the Huber loss turns from squared to absolute, in the unit "
                                                  "of the targets, with 'standardise' in their standard deviations.")
    standardise: bool = Field(False, description="Whether to learn (target - mean) / sd of the training cases, each "
                                                 "value for itself; results are in the unit of the targets.")
    transform: Literal["none", "log"] = Field(
        "none", description="log: learn the logarithm of targets above 0; the result is the median, not the mean.")
    quantiles: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        [0.05, 0.5, 0.95], description="Levels of 'loss: quantile', rising, with 0.5, which is the result.")
    beta: float = Field(0.5, ge=0, le=1, description="Power of the variance by which 'loss: gaussian' is multiplied: "
                                                     "0 is the likelihood, 1 the weights of a squared error.")

    @model_validator(mode="after")
    def _fits_the_loss(self) -> Self:
        check_names("values", self.values, "value")
        for option, loss in (("delta", "huber"), ("quantiles", "quantile"), ("beta", "gaussian")):
            if getattr(self, option) != type(self).model_fields[option].default and self.loss != loss:
                raise ValueError(f"'{option}' belongs to 'loss: {loss}'")
        if 0.5 not in self.quantiles or sorted(set(self.quantiles)) != self.quantiles:
            raise ValueError("'quantiles' must rise and have 0.5, as in [0.05, 0.5, 0.95]")
        if self.transform == "log" and self.loss == "gaussian":
            raise ValueError("'loss: gaussian' is about the targets, not their logarithms: with 'transform: log' use "
                             "'loss: quantile', whose quantiles stay quantiles")
        return self

    @property
    def parts(self) -> int:
        """How many outputs there are for each value."""
        return {"gaussian": 2, "quantile": len(self.quantiles)}.get(self.loss, 1)


class Regress(nn.Module):
    """Maps features to K numbers, and decodes them to K numbers in the unit of the targets.

    Loss of a case with error e: (1 / K) sum_k of e_k^2 (mse), |e_k| (mae), or e_k^2 / 2 up to |e_k| = delta and
    delta (|e_k| - delta / 2) beyond (huber), over the known values. `gaussian`: further K outputs a_k give the
    variance v_k = softplus(a_k) + 1e-6, and the loss is (log(2 pi v_k) + e_k^2 / v_k) / 2 times v_k^beta, through which
    no gradient goes. `quantile`: the middle ones are K free outputs, the others softplus steps from it outward, so that
    they cannot cross; the loss is the sum over the levels q of max(q e, (q - 1) e), e = target - quantile.

    With `standardise` all of it is in standard deviations of the training targets from their mean (population form),
    which are buffers, saved with the weights; with `transform: log` targets are logarithms first. The result of `log`
    is the median of the target, since the exponential of a mean is none.

    Shapes: (B, c); gives (B, K), of `gaussian` (B, 2 K), of `quantile` (B, K levels): the results first, then what
    belongs to the first value, the second and so on for each further part. Missing rows are skipped.

    Raises: ComponentError if `layer` is none and c is not that.
    """

    mean: Tensor
    sd: Tensor
    points: Tensor

    def __init__(self, config: RegressConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.config, self.size = config, len(config.values)
        self.layers = readout(config, inputs[0], self.size * config.parts)
        self.register_buffer("mean", torch.zeros(self.size), persistent=config.standardise)
        self.register_buffer("sd", torch.ones(self.size), persistent=config.standardise)
        self.levels = config.quantiles if config.loss == "quantile" else []
        self.register_buffer("points", torch.tensor(self.levels, dtype=torch.float32), persistent=False)
        self.lower = len([level for level in self.levels if level < 0.5])

    def forward(self, features: Tensor) -> Tensor:
        """The outputs, (B, K parts)."""
        return self.layers(features)

    def prepare(self, target: Tensor) -> None:
        """Find mean and sd of the training targets, (N, K), NaN where a value is not known.

        Raises: ComponentError if a value is the same in all of them, or has no logarithm.
        """
        known_NK = ~target.isnan()
        if self.config.transform == "log" and bool((target[known_NK] <= 0).any()):
            raise ComponentError("a target is not above 0, and has no logarithm", fix="remove 'transform: log'")
        if not self.config.standardise:
            return
        learnt = self._learnt(target.double())
        for place, name in enumerate(self.config.values):
            own = learnt[known_NK[:, place], place]
            if not len(own):
                continue
            spread = own.std(correction=0)
            if not bool(spread > 1e-12 * own.abs().amax()):
                raise ComponentError(f"the value {name!r} is the same in all {len(own)} training cases",
                                     why="'standardise' divides by its standard deviation",
                                     fix="check the target and the split")
            self.mean[place], self.sd[place] = own.mean(), spread

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each case, a mean over values: (B, K parts) and targets (B, K) give (B,).

        A target that is NaN is not known and adds 0.
        """
        outputs = at_least_single(output)
        known_BK = ~target.isnan()
        # Where a target is missing, any number whose loss is finite.
        filled = target.where(known_BK, 1.0 if self.config.transform == "log" else 0.0)
        target = ((self._learnt(filled) - self.mean) / self.sd).to(outputs.dtype)
        return self._losses(outputs, target).where(known_BK, 0).mean(1)

    def _losses(self, outputs: Tensor, target: Tensor) -> Tensor:
        values, kind = outputs[:, :self.size], self.config.loss
        if kind == "mse":
            return F.mse_loss(values, target, reduction="none")
        if kind == "mae":
            return F.l1_loss(values, target, reduction="none")
        if kind == "huber":
            return F.huber_loss(values, target, reduction="none", delta=self.config.delta)
        if kind == "gaussian":
            return beta_nll(values, self._variance(outputs), target, self.config.beta)
        return pinball(self._quantiles(outputs), target[:, :, None], self.points.to(outputs.dtype)).sum(2)

    def decode(self, output: Tensor) -> Tensor:
        """The values in the unit of the targets, (B, K)."""
        return self._told(at_least_single(output)[:, :self.size])

    def details(self, output: Tensor) -> dict[str, Tensor]:
        """Each (B,): `sd`, or the quantiles but the middle one as `q05`; of several values with the name before."""
        outputs = at_least_single(output)
        found: dict[str, Tensor] = {}
        if self.config.loss == "gaussian":
            sd_BK = self._variance(outputs).sqrt() * self.sd
            found = {f"{self._of(place)}sd": sd_BK[:, place] for place in range(self.size)}
        for number, level in enumerate(self.levels):
            if level != 0.5:
                told = self._told(self._quantiles(outputs)[:, :, number])
                found |= {f"{self._of(place)}{quantile_name(level)}": told[:, place] for place in range(self.size)}
        return found

    def balance(self, counts: Tensor) -> None:
        """Does nothing: numbers have no classes."""

    def _of(self, place: int) -> str:
        return f"{self.config.values[place]}:" if self.size > 1 else ""

    def _learnt(self, target: Tensor) -> Tensor:
        return target.clamp(min=_SMALLEST).log() if self.config.transform == "log" else target

    def _told(self, learnt_BK: Tensor) -> Tensor:
        if self.config.standardise:
            learnt_BK = self.mean + self.sd * learnt_BK
        return learnt_BK.clamp(max=_LARGEST).exp() if self.config.transform == "log" else learnt_BK

    def _variance(self, outputs: Tensor) -> Tensor:
        return F.softplus(outputs[:, self.size:]) + _LEAST_VARIANCE

    def _quantiles(self, outputs: Tensor) -> Tensor:
        """The quantiles by level, (B, K, levels)."""
        middle, *steps = outputs.unflatten(1, (-1, self.size)).unbind(1)
        below, above = [middle], [middle]
        for step in steps[:self.lower]:
            below.append(below[-1] - F.softplus(step))
        for step in steps[self.lower:]:
            above.append(above[-1] + F.softplus(step))
        return torch.stack([*reversed(below), *above[1:]], 2)


def _outputs(config: RegressConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    return Vector((len(config.values) * config.parts,))


def _positive(config: RegressConfig) -> bool:
    return config.transform == "log"


def _scales(config: RegressConfig) -> bool:
    return config.standardise or config.transform == "log"


component = Head("regress", RegressConfig, Regress, rule="features: B _", output=_outputs, task="regression",
                 names="values", partial=True, positive=_positive, scales=_scales,
                 category="regression", claims=("onnx",),
                 probes=Probes(sizes=[((2,),)], together=[
                     {"loss": "huber", "delta": 0.5}, {"loss": "gaussian", "beta": 1.0},
                     {"loss": "quantile", "quantiles": [0.1, 0.5, 0.8, 0.9]}, {"transform": "log"}]))
