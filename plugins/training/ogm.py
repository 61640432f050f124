"""OGM and OGM-GE: while one modality is learned faster than the others, the gradients of its encoder are reduced.

At every step, `s_m` is the mean probability that the head on the encoder of modality m gives to the true class, over
the cases that have the modality and a target; `rho_m` is `s_m` divided by the mean of the others' (for two modalities
their ratio). Where `rho_m > 1`, the gradients of its encoder are multiplied by `1 - tanh(alpha rho_m)`, the factor;
with `noise` (OGM-GE), normal noise of the standard deviation of the original gradient is added to each of them.

Source: Peng et al. 2022, Balanced Multimodal Learning via On-the-fly Gradient Modulation, arXiv 2203.15332, eq. 8-11.
The paper splits the logits of one linear layer on concatenated features into a part of each modality; here a head on
each encoder gives that modality's probability of the true class, so that any fusion may follow. Sums over the batch are
means over the rows that a head has, which is the same if nothing is missing; with more than two modalities each is
compared with the mean of the others. Noise is added only where a gradient was reduced.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from pydantic import Field, PositiveFloat

from fusionkit.api import EpochWindow, Gradients, Training, TrainingMethod, TrainingView


class OGMConfig(EpochWindow):
    """Options of `training.ogm`."""

    alpha: PositiveFloat = Field(0.3, description="Strength: gradients are multiplied by 1 - tanh(alpha * ratio).")
    noise: bool = Field(False, description="Whether noise is added where a gradient was reduced, as in OGM-GE.")


class OGM(TrainingMethod):
    """The last epochs may be better without it, by `last_epoch`; compare the accuracies of the heads on the encoders.

    The history has the mean factor of each modality, in columns `method_factor_NAME`.
    """

    config: OGMConfig

    def edit(self, modality: str, gradients: Gradients, view: TrainingView) -> None:
        """Scale the gradients of a modality that is ahead of the others."""
        factor = factors(view.scores, self.config.alpha)[modality]
        view.log(f"factor_{modality}", factor)
        if factor == 1:
            return
        for name, gradient in gradients.total.items():
            deviation = gradient.float().std(correction=0)
            gradient.mul_(factor)
            if self.config.noise:
                gradient.add_((gradients.noise(name) * deviation).to(gradient.dtype))


def factors(scores: Mapping[str, float], alpha: float) -> dict[str, float]:
    """The factor for the gradient of each modality: 1 - tanh(alpha rho) where rho > 1, else 1.

    rho is its mean probability of the true class divided by the mean of the others'. A single modality has factor 1.
    """
    found = {}
    for name, own in scores.items():
        others = [value for other, value in scores.items() if other != name]
        rho = own * len(others) / sum(others) if sum(others) else math.inf * bool(others)
        found[name] = 1 - math.tanh(alpha * rho) if rho > 1 else 1.0
    return found


component = Training(
    "ogm", OGMConfig, OGM, category="balance", requires="heads", paper="arXiv:2203.15332",
)
