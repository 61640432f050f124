"""Cox's proportional hazards by strata: cases are compared within their own, each of which has a baseline of its own.

Source: Kalbfleisch and Prentice 2002, The Statistical Analysis of Failure Time Data, doi:10.1002/9781118032985; see
`head.cox` for the rest.
"""
# Axes: B batch, N training cases, c features, s strata, T times.

from __future__ import annotations

from collections.abc import Sequence

import torch
from fusionkit_plugins.blocks.cox import cox_losses
from fusionkit_plugins.heads.cox import Cox, CoxConfig
from torch import Tensor

from fusionkit.api import ComponentError, Head, Probes, TensorShape, at_least_single


class CoxStrata(Cox):
    """Maps features, and the stratum as one number of 1 among zeros, to a log hazard and the number of the stratum.

    Losses are those of `head.cox` within each stratum, added up. `settle` fits a baseline to the training cases of
    each stratum, and one to all of them, for strata without a training event and cases whose stratum is all zeros:
    those are stratum 0. Cases are ranked by 1 - survival at the last horizon, since log hazards of different strata
    have different zeros; by their log hazard as long as there is no baseline.

    Shapes: (B, c) and (B, s); gives (B, 2). Missing rows are skipped.

    Raises: ComponentError if `layer` is none and c is not 1, or if there is one stratum.
    """

    def strata(self, inputs: Sequence[TensorShape]) -> tuple[int, ...]:
        """One more than there are strata."""
        if inputs[1].width < 2:
            raise ComponentError("its second input has one number, so that all cases have one stratum",
                                 fix="read the column of the stratum with 'encode: onehot', or use 'head.cox'")
        return (inputs[1].width + 1,)

    def forward(self, features: Tensor, stratum: Tensor) -> Tensor:  # type: ignore[override]
        """The log hazard and the number of the stratum, (B, 2)."""
        log_hazard: Tensor = self.layers(features)
        number = torch.where(stratum.amax(1) > 0, stratum.argmax(1) + 1, 0)
        return torch.cat([log_hazard, number[:, None].to(log_hazard.dtype)], 1)

    def _losses(self, rows: Tensor, target: Tensor) -> Tensor:
        return cox_losses(rows[:, 0], target[:, 0], target[:, 1], self.ties, rows[:, 1].detach())

    def curve(self, output: Tensor, times: Tensor) -> Tensor:
        """The probability of survival at any times: (B, 2) and (T,) give (B, T)."""
        rows = at_least_single(output)
        number = rows[:, 1].round().long().clamp(0, len(self.baseline_times) - 1)
        return (-self._cumulative(times).to(rows.dtype)[number] * rows[:, :1].exp()).exp()

    def risk(self, output: Tensor) -> Tensor:
        """1 - survival at the last horizon, or the log hazard as long as there is no baseline: (B,)."""
        return 1 - self.curve(output, self.horizons[-1:])[:, 0] if self.settled else super().risk(output)

    def settle(self, output: Tensor, target: Tensor) -> None:
        """Fit the baselines to the training cases: log hazards and strata (N, 2), times and events (N, 2)."""
        for place in range(len(self.baseline_times)):
            own = output[:, 1].round() == place
            if place == 0 or not bool((target[own, 1] == 1).any()):
                own = torch.ones_like(own)
            self._settle_at(place, output[own], target[own])


component = Head("cox_strata", CoxConfig, CoxStrata, rule="features: B _, stratum: B _ -> B 2", task="survival",
                 names="horizons", cases="risk_set", category="survival", paper="doi:10.1002/9781118032985",
                 exceptions={"gradients: input:stratum": "a stratum is not learned from, and chooses a baseline",
                             "waits: unique": "there is a risk set for each stratum, whose number is a value"},
                 probes=Probes(sizes=[((1,), (3,))], values={"hidden": [[16]]}, together=[
                     {"horizons": [12, 24, 60]}, {"risk_set": "bank", "bank": 8}]))
