"""Competing risks by Cox's model of each cause: a log hazard for each, and the incidence of each in time.

Source: Prentice et al. 1978, The Analysis of Failure Times in the Presence of Competing Risks, doi:10.2307/2530374.
"""
# Axes: B batch, N training cases, c features, C {causes}, H {horizons}, K = C H columns, M points, G times.

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import torch
from fusionkit_plugins.blocks.competing import incidence_by_hazards
from fusionkit_plugins.blocks.cox import BaselinePoints, TiesOption, breslow_baseline, cox_losses, thinned
from fusionkit_plugins.blocks.horizons import HorizonsConfig
from fusionkit_plugins.blocks.options import check_names
from pydantic import Field, model_validator
from torch import Tensor, nn

from fusionkit.api import Head, Probes, TensorShape, at_least_single, readout


class CauseCoxConfig(HorizonsConfig):
    """Options of `head.cause_cox`."""

    causes: list[Annotated[str, Field(min_length=1)]] = Field(
        min_length=2, description="Names of the events, in the order of their numbers in the data, from 1.",
        examples=[["relapse", "death"]])
    ties: TiesOption = "efron"
    risk_set: Literal["step", "batch"] = Field(
        "step", description="The cases that an event is compared with: all of a step, over accumulated batches and "
                            "processes, or those of its batch.")
    baseline_points: BaselinePoints = 512

    @model_validator(mode="after")
    def _two_names(self) -> Self:
        check_names("causes", self.causes, "cause")
        return self

    @property
    def columns(self) -> list[str]:
        """Each cause at each horizon."""
        return [f"{cause}@{horizon:g}" for cause in self.causes for horizon in self.horizons]


class CauseCox(nn.Module):
    """Maps features to a log hazard of each cause, without constants.

    The loss is that of `head.cox` for each cause, with the others censored, added up; `settle` fits a baseline to each.
    What is predicted needs all of them: the incidence of a cause is the sum of S(t-) dH_c(t), which cannot be 1 for
    two causes. Before `settle` nobody has had an event.

    Shapes: (B, c); gives (B, C). Missing rows are skipped.

    Raises: ComponentError if `layer` is none and c is not C.
    """

    baseline_times: Tensor
    baseline_hazard: Tensor
    per_event: Tensor
    horizons: Tensor

    def __init__(self, config: CauseCoxConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.causes = len(config.causes)
        self.layers = readout(config, inputs[0], self.causes)
        if isinstance(self.layers, nn.Sequential):
            last = self.layers[-1]
            assert isinstance(last, nn.Linear)
            last.register_parameter("bias", None)
        self.ties = config.ties
        self.register_buffer("horizons", torch.tensor(config.horizons, dtype=torch.float32), persistent=False)
        self.register_buffer("baseline_times", torch.full((self.causes, config.baseline_points), math.inf))
        self.register_buffer("baseline_hazard", torch.zeros(self.causes, config.baseline_points))
        self.register_buffer("per_event", torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        """The log hazards, (B, C)."""
        return self.layers(features)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each case: (B, C), and times and causes (B, 2), give (B,)."""
        rows = at_least_single(output)
        losses = sum(cox_losses(rows[:, place], target[:, 0], (target[:, 1] == place + 1).to(target.dtype), self.ties)
                     for place in range(self.causes))
        assert isinstance(losses, Tensor)
        return losses.to(rows.dtype) * self.per_event

    def decode(self, output: Tensor) -> Tensor:
        """The incidence of each cause until each horizon, (B, K)."""
        return self.incidence(output, self.horizons).flatten(1)

    def incidence(self, output: Tensor, times: Tensor) -> Tensor:
        """The incidence of each cause until any times: (B, C) and (T,) give (B, C, T)."""
        rows = at_least_single(output)
        grid = self.baseline_times.flatten().unique()
        reached = self.baseline_times[..., None] <= grid
        hazard_CG = torch.where(reached, self.baseline_hazard[..., None], 0).amax(1).to(rows.dtype)
        found = incidence_by_hazards(hazard_CG * rows.exp()[..., None])
        start = found.new_zeros(*found.shape[:2], 1)
        return torch.cat([start, found], 2)[..., torch.searchsorted(grid, times, right=True)]

    @property
    def settled(self) -> bool:
        """Whether the baselines are fitted."""
        return bool(self.baseline_times.isfinite().any())

    def settle(self, output: Tensor, target: Tensor) -> None:
        """Fit the baselines to the training cases: log hazards (N, C), times and causes (N, 2)."""
        self.baseline_times.fill_(math.inf)
        for place in range(self.causes):
            own = (target[:, 1] == place + 1).to(target.dtype)
            times, hazard = thinned(*breslow_baseline(output[:, place], target[:, 0], own),
                                    self.baseline_times.shape[1])
            self.baseline_hazard[place] = float(hazard[-1]) if len(hazard) else 0.0
            self.baseline_times[place, :len(times)] = times.to(self.baseline_times.dtype)
            self.baseline_hazard[place, :len(times)] = hazard.to(self.baseline_hazard.dtype)

    def balance(self, counts: Tensor) -> None:
        """Set the factor N / E from the numbers of censored training cases and of each cause, (1 + C,)."""
        self.per_event.copy_(counts.sum() / counts[1:].sum().clamp(min=1))


component = Head("cause_cox", CauseCoxConfig, CauseCox, rule="features: B _ -> B {causes}", task="competing_risks",
                 names="columns", cases="risk_set", category="survival", paper="doi:10.2307/2530374",
                 exceptions=dict.fromkeys(("waits: item", "waits: unique"),
                                          "risk sets are made of a batch's distinct times, whose number is a value"),
                 probes=Probes(sizes=[((2,),)], values={"hidden": [[16]]}, together=[
                     {"horizons": [12, 24], "causes": ["relapse", "death"]}]))
