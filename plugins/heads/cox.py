"""Cox's proportional hazards: a log hazard for each case, learnt by comparing it with all that are still at risk.

Source: Cox 1972, Regression Models and Life-Tables; a network as the log hazard: Faraggi and Simon 1995, A neural
network model for survival data, doi:10.1002/sim.4780140108; Katzman et al. 2018, DeepSurv, arXiv 1606.00931.
Ties: Efron 1977, doi:10.1080/01621459.1977.10480613. Baseline: Breslow 1974, doi:10.2307/2529620.
"""
# Axes: B batch, N training cases, c features, H {horizons}, T times, M points of the baseline.

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Self

import torch
from fusionkit_plugins.blocks.cox import BaselinePoints, TiesOption, breslow_baseline, cox_losses, thinned
from fusionkit_plugins.blocks.horizons import HorizonsConfig
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from fusionkit.api import Head, Probes, TensorShape, at_least_single, readout


class CoxConfig(HorizonsConfig):
    """Options of `head.cox`."""

    ties: TiesOption = "efron"
    risk_set: Literal["step", "batch", "bank"] = Field(
        "step", description="The cases that an event is compared with: all of a step, over accumulated batches and "
                            "processes; those of its batch, which is another loss the smaller the batch; or besides "
                            "those of a bank of earlier cases of the epoch, as they were then.")
    bank: PositiveInt | None = Field(
        None, description="How many earlier cases of the epoch `risk_set: bank` keeps.")
    baseline_points: BaselinePoints = 512

    @model_validator(mode="after")
    def _banks(self) -> Self:
        if (self.bank is None) != (self.risk_set != "bank"):
            raise ValueError("'bank' is the number of cases that 'risk_set: bank' keeps: write both or none")
        return self


class Cox(nn.Module):
    """Maps features to a log hazard without a constant, which comparisons cannot know.

    The loss of an event is the negative log of its share of the hazard of all that are at risk at its time; it depends
    on the other cases of the step. Losses are multiplied by N / E, N training cases with E events, so that the mean
    over cases is that over events. `settle` fits Breslow's baseline, which turns log hazards into probabilities; before
    that nobody has had an event, and every probability is 1. The baseline is saved with the weights.

    With a bank, a case is also compared with the last cases of the epoch, whose log hazards are those of their own step
    and have no gradient; events of the bank teach cases of the batch. The value of the loss is that of the batch's
    events. The bank is emptied at the start of an epoch, so that no case meets itself, and evaluation does not see it.

    Shapes: (B, c); gives (B, 1). Missing rows are skipped.

    Raises: ComponentError if `layer` is none and c is not 1.
    """

    bank: Tensor
    baseline_times: Tensor
    baseline_hazard: Tensor
    per_event: Tensor
    horizons: Tensor

    def __init__(self, config: CoxConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.layers = readout(config, inputs[0], 1)
        if isinstance(self.layers, nn.Sequential):
            last = self.layers[-1]
            assert isinstance(last, nn.Linear)
            last.register_parameter("bias", None)
        self.ties = config.ties
        self.last = float(config.horizons[-1])
        self.register_buffer("horizons", torch.tensor(config.horizons, dtype=torch.float32), persistent=False)
        self.register_buffer("baseline_times", torch.full((*self.strata(inputs), config.baseline_points), math.inf))
        self.register_buffer("baseline_hazard", torch.zeros(*self.strata(inputs), config.baseline_points))
        self.register_buffer("per_event", torch.ones(()))
        if config.bank is not None:
            self.register_buffer("bank", torch.zeros(config.bank, len(inputs) + 2))
        self.has_bank = config.bank is not None

    def forward(self, features: Tensor) -> Tensor:
        """The log hazard, (B, 1)."""
        return self.layers(features)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each case: (B, 1) and times and events (B, 2) give (B,)."""
        rows = at_least_single(output)
        if not (self.has_bank and self.training):
            return self._losses(rows, target).to(rows.dtype) * self.per_event
        count = len(rows)
        rows = torch.cat([rows, self.bank[:, :-2].to(rows.dtype)])
        target = torch.cat([target, self.bank[:, -2:].to(target.dtype)])
        losses, counted = self._losses(rows, target), target[:count, 0] > 0
        others = losses[count:].sum()
        others = (others - others.detach()) / counted.sum().clamp(min=1)
        kept = torch.cat([rows.detach(), target], 1)
        kept = torch.cat([kept[:count][counted], kept[count:]])[:len(self.bank)]
        self.bank.copy_(kept.to(self.bank.dtype))
        return (losses[:count] + torch.where(counted, others, 0)).to(rows.dtype) * self.per_event

    def _losses(self, rows: Tensor, target: Tensor) -> Tensor:
        return cox_losses(rows[:, 0], target[:, 0], target[:, 1], self.ties)

    def begin_epoch(self) -> None:
        """Empty the bank."""
        if self.has_bank:
            self.bank.zero_()

    def decode(self, output: Tensor) -> Tensor:
        """The probability of survival at each horizon, (B, H)."""
        return self.curve(output, self.horizons)

    def curve(self, output: Tensor, times: Tensor) -> Tensor:
        """The probability of survival at any times: (B, 1) and (T,) give (B, T)."""
        hazard = at_least_single(output).exp()
        return (-self._cumulative(times).to(hazard.dtype) * hazard).exp()

    @property
    def curve_times(self) -> Tensor:
        """The times at which curves fall."""
        return self.baseline_times[self.baseline_times.isfinite()]

    def risk(self, output: Tensor) -> Tensor:
        """The log hazard, by which cases are ranked: (B,)."""
        return at_least_single(output)[:, 0]

    def details(self, output: Tensor) -> dict[str, Tensor]:
        """Each (B,): the risk, the median, NaN where it is not reached, and the mean time to the last horizon."""
        steps = self.baseline_times.flatten().unique() if self.baseline_times.dim() > 1 else self.baseline_times
        survival_BM = self.curve(output, steps)
        reached = (survival_BM <= 0.5) & steps.isfinite()
        median = torch.where(reached, steps, torch.inf).amin(1)
        until = steps.clamp(max=self.last)
        lengths = torch.cat([until[1:], until.new_tensor([self.last])]) - until
        return {"risk": self.risk(output), "median": torch.where(median.isfinite(), median, torch.nan),
                f"rmst@{self.last:g}": until[0] + (survival_BM * lengths).sum(1)}

    def _cumulative(self, times: Tensor) -> Tensor:
        """The baseline hazard up to each time: (T,), or of each stratum."""
        reached = self.baseline_times[..., None] <= times
        return torch.where(reached, self.baseline_hazard[..., None], 0).amax(-2)

    @property
    def settled(self) -> bool:
        """Whether the baseline is fitted."""
        return bool(self.baseline_times.flatten()[0].isfinite())

    def settle(self, output: Tensor, target: Tensor) -> None:
        """Fit the baseline to the training cases: log hazards (N, 1), times and events (N, 2)."""
        self._settle_at((), output, target)

    def _settle_at(self, place: int | tuple[()], output: Tensor, target: Tensor) -> None:
        times, hazard = thinned(*breslow_baseline(output[:, 0], target[:, 0], target[:, 1]),
                                self.baseline_times.shape[-1])
        own_times, own_hazard = self.baseline_times[place], self.baseline_hazard[place]
        own_times.fill_(math.inf)
        own_hazard.fill_(float(hazard[-1]) if len(hazard) else 0.0)
        own_times[:len(times)] = times.to(own_times.dtype)
        own_hazard[:len(times)] = hazard.to(own_hazard.dtype)

    def strata(self, inputs: Sequence[TensorShape]) -> tuple[int, ...]:
        """The first size of the baselines: none where all cases have one."""
        return ()

    def balance(self, counts: Tensor) -> None:
        """Set the factor N / E from the numbers of censored training cases and of events, (2,)."""
        self.per_event.copy_(counts.sum() / counts[1].clamp(min=1))


component = Head("cox", CoxConfig, Cox, rule="features: B _ -> B 1", task="survival", names="horizons",
                 cases="risk_set", category="survival", paper="arXiv:1606.00931", claims=("onnx",),
                 exceptions=dict.fromkeys(("waits: item", "waits: unique"),
                                          "risk sets are made of a batch's distinct times, whose number is a value"),
                 probes=Probes(sizes=[((1,),)], values={"hidden": [[16]]}, together=[
                     {"horizons": [12, 24, 60]}, {"risk_set": "bank", "bank": 8}]))
