"""Survival as a Weibull distribution for each case: a scale and a shape, accelerated failure time.

Source: Weibull 1951, A Statistical Distribution Function of Wide Applicability; accelerated failure time: Kalbfleisch
and Prentice 2002, The Statistical Analysis of Failure Time Data, doi:10.1002/9781118032985.
"""
# Axes: B batch, N training cases, c features, H {horizons}, T times.

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from fusionkit_plugins.blocks.horizons import HorizonsConfig
from pydantic import Field
from torch import Tensor, nn

from fusionkit.api import Head, Probes, TensorShape, at_least_single, readout

_BOUND, _POINTS, _LINEAR = 2.0, 200, 30.0


class WeibullConfig(HorizonsConfig):
    """Options of `head.weibull`."""

    shape: Literal["case", "shared"] = Field(
        "case", description="case: each case has a shape of its own; shared: one learned shape for all, so that "
                            "features make time run faster or slower, and survival curves never cross.")


class Weibull(nn.Module):
    """Maps features to the logs of scale and shape, s and k.

    H(t) = (t / exp(s))^exp(k) and S(t) = exp(-H(t)); the loss of a case is H - event (k - s + (exp(k) - 1)(log t - s)),
    its negative log likelihood. `k` is kept in -2..2. `prepare` finds the median of the training times, whose log is
    added to s, so that weights do not depend on the unit of time; it is saved with them. From H = exp(30) on the loss
    grows with the logarithm of H, so that it stays finite.

    Shapes: (B, c); gives (B, 2), `layer: none` from (B, 2), or with `shape: shared` from (B, 1). Missing rows are
    skipped.

    Raises: ComponentError if `layer` is none and c is not that.
    """

    log_median: Tensor
    horizons: Tensor
    curve_steps = False

    def __init__(self, config: WeibullConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.layers = readout(config, inputs[0], 2 if config.shape == "case" else 1)
        self.last = float(config.horizons[-1])
        self.log_shape = nn.Parameter(torch.zeros(1)) if config.shape == "shared" else None
        self.register_buffer("horizons", torch.tensor(config.horizons, dtype=torch.float32), persistent=False)
        self.register_buffer("log_median", torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """The log of the scale in medians, and of the shape: (B, 2)."""
        found: Tensor = self.layers(features)
        if self.log_shape is None:
            return found
        return torch.cat([found, self.log_shape.to(found.dtype).expand(found.shape[0], 1)], 1)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each case: (B, 2) and times and events (B, 2) give (B,)."""
        s, k = self._logs(output)
        counted, event = target[:, 0] > 0, target[:, 1]
        past = torch.where(counted, target[:, 0], 1).log() - s
        losses = _bounded_exp(k.exp() * past) - event * (k - s + (k.exp() - 1) * past)
        return torch.where(counted, losses, 0)

    def decode(self, output: Tensor) -> Tensor:
        """The probability of survival at each horizon, (B, H)."""
        return self.curve(output, self.horizons)

    def curve(self, output: Tensor, times: Tensor) -> Tensor:
        """The probability of survival at any times: (B, 2) and (T,) give (B, T)."""
        s, k = (part[:, None] for part in self._logs(output))
        return (-(k.exp() * (times.to(s.dtype).log() - s)).exp()).exp()

    @property
    def curve_times(self) -> Tensor:
        """Equal steps to twice the last horizon."""
        return torch.arange(1, _POINTS + 1, device=self.horizons.device) * (2 * self.horizons[-1] / _POINTS)

    def risk(self, output: Tensor) -> Tensor:
        """Minus the log of the scale where all cases have one shape, else 1 - survival at the last horizon: (B,)."""
        if self.log_shape is not None:
            return -self._logs(output)[0]
        return 1 - self.curve(output, self.horizons[-1:])[:, 0]

    def details(self, output: Tensor) -> dict[str, Tensor]:
        """Each (B,): the risk, the median, and the mean time to the last horizon."""
        s, k = (part.double() for part in self._logs(output))
        inverse = (-k).exp()
        share = torch.special.gammainc(inverse, (k.exp() * (math.log(self.last) - s)).exp())
        return {"risk": self.risk(output), "median": (s + inverse * math.log(math.log(2))).exp(),
                f"rmst@{self.last:g}": (s + torch.lgamma(1 + inverse)).exp() * share}

    def prepare(self, target: Tensor) -> None:
        """Find the median of the times of the training cases, (N, 2)."""
        self.log_median.copy_(target[:, 0].double().quantile(0.5).log())

    def balance(self, counts: Tensor) -> None:
        """Does nothing: every case tells how long it lived at least."""

    def _logs(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """The logs of scale and shape, two of (B,)."""
        found = at_least_single(output)
        return found[:, 0] + self.log_median, found[:, 1].clamp(-_BOUND, _BOUND)


def _bounded_exp(x: Tensor) -> Tensor:
    """exp(x), and its tangent beyond 30, where single precision comes to its end."""
    within = x.clamp(max=_LINEAR).exp()
    return within * (1 + (x - _LINEAR).clamp(min=0))


component = Head("weibull", WeibullConfig, Weibull, rule="features: B _ -> B 2", task="survival", names="horizons",
                 category="survival", paper="doi:10.1002/9781118032985", claims=("onnx",),
                 probes=Probes(sizes=[((2,),)], values={"hidden": [[16]]}, together=[
                     {"horizons": [12, 24, 60]}, {"horizons": [12], "shape": "shared"}]))
