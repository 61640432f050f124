"""Survival in intervals of time: the probability of the event in each, by hazards, a distribution, or MTLR.

Source: `logistic_hazard`: Brown 1975; a network: Gensheimer and Narasimhan 2019, arXiv 1805.00917; `pmf`: Lee et al.
2018, DeepHit, of which this is the likelihood without ranks; Kvamme and Borgan 2021, arXiv 1910.06724; `mtlr`: Yu et
al. 2011, Learning Patient-Specific Cancer Survival Distributions; Fotso 2018, arXiv 1801.05512.
"""
# Axes: B batch, N training cases, c features, H {horizons}, K intervals, T times.

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.horizons import Between, HorizonsConfig, median_and_mean
from fusionkit_plugins.blocks.time_edges import labels, quantile_edges
from pydantic import Field, NonNegativeFloat, model_validator
from torch import Tensor, nn

from fusionkit.api import Head, Probes, TensorShape, Vector, at_least_single, readout

_MOST, _USUAL, _WITHIN = 20, 8, 8


class HazardsConfig(HorizonsConfig):
    """Options of `head.hazards`."""

    link: Literal["logistic_hazard", "pmf", "mtlr"] = Field(
        "logistic_hazard", description="logistic_hazard: the probability of the event in each interval, of those who "
                                       "reach it; pmf: one distribution over the intervals and the time after them; "
                                       "mtlr: the same, from sums of logits over later intervals.")
    edges: list[Annotated[int | float, Field(ge=0)]] | None = Field(
        None, min_length=1, description="The ends of the intervals; the last is the last horizon, and other horizons "
                                        "are added. Without them, `intervals` of equally many events.")
    intervals: Annotated[int, Field(ge=1, le=_MOST)] | None = Field(
        None, description="How many intervals there are until the last horizon, between times of training events at "
                          "which survival has fallen equally, by Kaplan-Meier's curve; horizons come in addition. "
                          f"Fewer if there are not five events for each. {_USUAL} unless `edges` are given.")
    between: Between = Field("hazard", description="What is constant within an interval: the hazard, or the density of "
                                                   "events, so that survival falls in a straight line.")
    smooth: NonNegativeFloat = Field(0.0, description="Weight of the squared differences of neighbouring logits in the "
                                                      "loss of each case.")
    risk: Literal["horizon", "curve"] = Field(
        "horizon", description="By what cases are ranked: horizon: 1 minus survival at the last horizon; curve: minus "
                               "the sum of survival over all edges.")

    @model_validator(mode="after")
    def _edges_fit(self) -> Self:
        if self.edges is None:
            if self.count > _MOST:
                raise ValueError(f"'intervals' and 'horizons' make {self.count} intervals, and there may be {_MOST}")
            return self
        if self.intervals is not None:
            raise ValueError("'edges' says what 'intervals' would choose: give one of them")
        if self.edges != sorted(set(self.edges)):
            raise ValueError("'edges' must rise")
        if self.edges and self.edges[-1] > self.horizons[-1]:
            raise ValueError(f"'edges' end at {self.edges[-1]:g}, after the last horizon, {self.horizons[-1]:g}")
        return self

    @property
    def count(self) -> int:
        """The number of logits."""
        return ((self.intervals or _USUAL) + len(self.horizons) - 1 if self.edges is None
                else len({*map(float, self.edges), *map(float, self.horizons)} - {0.0}))


class Hazards(nn.Module):
    """Maps features to a logit for each interval, (t_k-1, t_k].

    `logistic_hazard`: h_k = sigmoid(a_k), S(t_k) = prod (1 - h_j); a case has minus the log of what it survived, and of
    the hazard of its event. `pmf`: p = softmax(a_1 .. a_K, 0), the last for the time after t_K; minus log p_k of an
    event, minus the log of all that is left of a case that is censored. `mtlr`: as `pmf`, of the logits
    b_k = a_k + .. + a_K. What a censored case has survived of its last interval is not used.

    `prepare` chooses the edges by the training cases; they are saved with the weights. Before that they are equally
    spaced. Where there are fewer intervals than logits the last logits are not used. After the last edge survival
    stays as it is there.

    Shapes: (B, c); gives (B, K). Missing rows are skipped.

    Raises: ComponentError if `layer` is none and c is not K.
    """

    edges: Tensor
    horizons: Tensor
    curve_steps = False

    def __init__(self, config: HazardsConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.layers = readout(config, inputs[0], config.count)
        self.link, self.between, self.smooth, self.ranks_by = config.link, config.between, config.smooth, config.risk
        self.times = [float(horizon) for horizon in config.horizons]
        self.intervals = (config.intervals or _USUAL) if config.edges is None else 0
        self.register_buffer("horizons", torch.tensor(self.times, dtype=torch.float32), persistent=False)
        self.register_buffer("edges", torch.full((config.count,), math.inf))
        steps = config.edges or [self.times[-1] * (place + 1) / self.intervals for place in range(self.intervals)]
        self._set(sorted({*map(float, steps), *self.times} - {0.0}))

    def forward(self, features: Tensor) -> Tensor:
        """The logits, (B, K)."""
        return self.layers(features)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each case: (B, K) and times and events (B, 2) give (B,)."""
        logits_BK = at_least_single(output)
        survived_BK, happened_BK = labels(target[:, 0], target[:, 1], self.edges)
        if self.link == "logistic_hazard":
            kept = torch.where(survived_BK, F.logsigmoid(-logits_BK), 0)
            losses = -(kept + torch.where(happened_BK, F.logsigmoid(logits_BK), 0)).sum(1)
        else:
            log_p = self._log_shares(logits_BK)
            left = torch.where(survived_BK, -math.inf, log_p[:, :-1])
            later = torch.cat([left, log_p[:, -1:]], 1).logsumexp(1)
            event = torch.where(happened_BK, log_p[:, :-1], 0).sum(1)
            losses = -torch.where(happened_BK.any(1), event, later)
        return losses + self._roughness(logits_BK) * (target[:, 0] > 0) if self.smooth else losses

    def decode(self, output: Tensor) -> Tensor:
        """The probability of survival at each horizon, (B, H)."""
        return self.curve(output, self.horizons)

    def curve(self, output: Tensor, times: Tensor) -> Tensor:
        """The probability of survival at any times: (B, K) and (T,) give (B, T)."""
        log_BK = self._log_survival(output)
        begins = torch.cat([self.edges.new_zeros(1), self.edges[:-1]])
        passed_KT = ((times - begins[:, None]) / (self.edges - begins)[:, None]).clamp(0, 1)
        passed_KT = torch.where(self.edges.isfinite()[:, None], passed_KT, 0).to(log_BK.dtype)
        start = log_BK.new_zeros(len(log_BK), 1)
        if self.between == "hazard":
            return (torch.cat([start, log_BK], 1).diff(dim=1).clamp(max=0) @ passed_KT).exp()
        falls = torch.cat([start, log_BK], 1).exp().diff(dim=1).clamp(max=0)
        return (1 + falls @ passed_KT).clamp(min=0)

    @property
    def curve_times(self) -> Tensor:
        """The edges; with a constant density also times between them, since curves are read with a constant hazard."""
        edges = self.edges[self.edges.isfinite()]
        if self.between == "hazard":
            return edges
        begins = torch.cat([edges.new_zeros(1), edges[:-1]])
        shares = torch.arange(1, _WITHIN + 1, device=edges.device) / _WITHIN
        return (begins[:, None] + (edges - begins)[:, None] * shares).flatten()

    def risk(self, output: Tensor) -> Tensor:
        """By what cases are ranked, higher for an earlier event: (B,)."""
        log_BK = self._log_survival(output)
        if self.ranks_by == "horizon":
            return -torch.expm1(log_BK[:, -1])
        return -torch.where(self.edges.isfinite(), log_BK.exp(), 0).sum(1)

    def details(self, output: Tensor) -> dict[str, Tensor]:
        """Each (B,): the risk, the median, NaN where it is not reached, and the mean time to the last horizon."""
        edges = self.edges[self.edges.isfinite()]
        found = median_and_mean(edges.double().cpu().numpy(), self.curve(output, edges).detach().double().cpu().numpy(),
                                self.between)
        median, mean = (torch.as_tensor(part, dtype=torch.float64, device="cpu") for part in found)
        return {"risk": self.risk(output), "median": median, f"rmst@{self.times[-1]:g}": mean}

    def prepare(self, target: Tensor) -> None:
        """Choose the edges by the times and events of the training cases, (N, 2), unless they are given."""
        if self.intervals:
            time, event = target.double().cpu().numpy().T
            horizons = self.horizons.double().tolist()
            self._set(quantile_edges(time, event, self.intervals, horizons))

    def balance(self, counts: Tensor) -> None:
        """Does nothing: every case tells what it survived."""

    def _set(self, edges: Sequence[float]) -> None:
        self.edges.fill_(math.inf)
        self.edges[:len(edges)] = torch.tensor(edges, dtype=self.edges.dtype)

    def _log_shares(self, logits_BK: Tensor) -> Tensor:
        """The log of the share of events in each interval, and after the last, (B, K + 1)."""
        used = self.edges.isfinite()
        if self.link == "mtlr":
            logits_BK = torch.where(used, logits_BK, 0).flip(1).cumsum(1).flip(1)
        after = logits_BK.new_zeros(len(logits_BK), 1)
        return torch.cat([torch.where(used, logits_BK, -math.inf), after], 1).log_softmax(1)

    def _log_survival(self, output: Tensor) -> Tensor:
        """The log of survival at each edge, (B, K)."""
        logits_BK = at_least_single(output)
        if self.link == "logistic_hazard":
            return torch.where(self.edges.isfinite(), F.logsigmoid(-logits_BK), 0).cumsum(1)
        count = logits_BK.shape[1]
        earlier = torch.ones(count, count + 1, dtype=torch.bool, device=logits_BK.device).tril()
        return self._log_shares(logits_BK)[:, None].masked_fill(earlier, -math.inf).logsumexp(2)

    def _roughness(self, logits_BK: Tensor) -> Tensor:
        steps = torch.where(self.edges[1:].isfinite(), logits_BK.diff(dim=1), 0)
        return self.smooth * steps.square().sum(1)


def _logits(config: HazardsConfig, inputs: Sequence[TensorShape]) -> TensorShape:
    return Vector((config.count,))


component = Head("hazards", HazardsConfig, Hazards, rule="features: B _", output=_logits, task="survival",
                 names="horizons", category="survival", paper="arXiv:1910.06724", claims=("onnx",),
                 probes=Probes(sizes=[((10,),)], values={"hidden": [[16]], "edges": [[6, 12]]}, together=[
                     {"horizons": [12, 24, 60]}, {"horizons": [12, 36], "edges": [6, 12, 18, 24]},
                     {"horizons": [12, 24, 60], "link": "mtlr", "between": "density", "smooth": 0.1}]))
