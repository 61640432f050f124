"""A gate that selects a few experts for each row, with noise in training, and how evenly it does. No component.

Source: Shazeer et al. 2017, Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer, arXiv
1701.06538, sections 2.1 and 4 and appendix A; scores by distance: Han et al. 2024, FuseMoE, arXiv 2402.03226.
"""

# Axes: T rows (cases, or tokens), d width, E experts.

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionkit.api import ComponentError

Score = Literal["softmax", "laplace", "gaussian"]
_LEAST_NOISE, _LEAST = 0.01, 1e-10


@dataclass(frozen=True)
class Gating:
    """What a gate decided: the share of each expert (T, E), zero for all but a few, and the load of each (T, E).

    `scores` (T, E) are those that decided, with their noise. The load is the probability that an expert is selected
    under another draw of the noise; without noise it is 1 for those that are.
    """

    shares: Tensor
    load: Tensor
    scores: Tensor

    def unevenness(self, counted_T: Tensor | None = None, first: int = 0) -> Tensor:
        """Squared coefficients of variation of shares and load over the experts from `first` on, over counted rows."""
        total = torch.zeros((), dtype=self.shares.dtype, device=self.shares.device)
        for part in (self.shares, self.load):
            sums_E = (part if counted_T is None else part.where(counted_T.unsqueeze(1), 0.0)).sum(0)[first:]
            total = total + sums_E.var() / (sums_E.mean().square() + _LEAST)
        return total


class NoisyGate(nn.Module):
    """The `selected` best of `experts` by a score of the row, with shares by a softmax over these.

    Scores: `softmax` x w_e, `laplace` -|x - w_e|, `gaussian` -|x - w_e|^2; in training plus normal noise of standard
    deviation softplus(x u_e) + 0.01, unless it is not `noisy`.

    Shapes: (T, d); costs 2 d E, or d E without noise.

    Raises: ComponentError for more selected experts than there are, or fewer than two.
    """

    def __init__(self, width: int, experts: int, selected: int, score: Score, noisy: bool = True) -> None:
        super().__init__()
        check_experts(experts, selected)
        self.selected, self.kind = selected, score
        self.weight = nn.Parameter(torch.randn(width, experts) / sqrt(width))
        self.spread = nn.Parameter(torch.zeros(width, experts)) if noisy else None

    def forward(self, x_Td: Tensor, noise_TE: Tensor | None = None) -> Gating:
        """The shares and loads; `noise_TE` replaces the noise that is drawn in training."""
        clean_TE = self._scores(x_Td)
        scores_TE, deviation_TE = clean_TE, None
        if self.spread is not None and (self.training or noise_TE is not None):
            deviation_TE = F.softplus(x_Td @ self.spread) + _LEAST_NOISE
            scores_TE = clean_TE + deviation_TE * (torch.randn_like(clean_TE) if noise_TE is None else noise_TE)
        best, places = scores_TE.topk(min(self.selected + 1, scores_TE.shape[1]), dim=1)
        shares_TE = torch.zeros_like(scores_TE).scatter(
            1, places[:, : self.selected], best[:, : self.selected].softmax(1))
        if deviation_TE is None or self.selected == scores_TE.shape[1]:
            return Gating(shares_TE, (shares_TE > 0).to(shares_TE.dtype), scores_TE)
        # Another draw selects an expert if it beats the best of the others that is not, or the last that is selected.
        least_in, least_out = best[:, self.selected :], best[:, self.selected - 1 : self.selected]
        beaten_TE = torch.where(scores_TE > least_in, least_in, least_out)
        load_TE = torch.special.ndtr((clean_TE - beaten_TE) / deviation_TE)
        return Gating(shares_TE, load_TE, scores_TE)

    def _scores(self, x_Td: Tensor) -> Tensor:
        if self.kind == "softmax":
            return x_Td @ self.weight
        squared_TE = (x_Td.unsqueeze(2) - self.weight).square().sum(1)
        # The root has no gradient at 0.
        return -squared_TE if self.kind == "gaussian" else -(squared_TE + 1e-12).sqrt()


def check_experts(experts: int, selected: int) -> None:
    """Raises: ComponentError for more selected experts than there are, or fewer than two experts."""
    if experts < 2 or selected > experts:
        raise ComponentError(f"of {experts} experts {selected} cannot be selected",
                             fix="give two or more 'experts', and no larger 'selected'")
