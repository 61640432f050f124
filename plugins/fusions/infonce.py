"""InfoNCE between all pairs of inputs: returns the inputs, with a loss that pulls the vectors of a case together.

Source: van den Oord et al. 2018, Representation Learning with Contrastive Predictive Coding, arXiv 1807.03748, eq. 4;
in both directions and with a learned temperature: Radford et al. 2021, arXiv 2103.00020, figure 3.
The extension to more than two inputs, the mean over pairs, is ours, and so is that cases of one patient need not be
negatives of each other. With a fixed temperature and `balance` it is the loss of MMCL, Hager, Menten and Rueckert 2023,
arXiv 2303.14080, to whose recorded numbers it is held.
"""
# Axes: B batch, M inputs, c width of one input, w {width}.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from fusionkit_plugins.blocks.pairs import check_several
from fusionkit_plugins.fusions.clip_align import CASES, SAME_PATIENT, Alignment, Cases, SamePatient
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, Projections, Recorded, Release, TensorShape, fill_absent, joined_shape


class InfoNCEConfig(Config):
    """Options of `fusion.infonce`."""

    width: PositiveInt | None = Field(
        64, description="Width to which each input is projected for the comparison; None compares them unchanged, "
                        "with equal widths.")
    weight: NonNegativeFloat = Field(0.1, description="Weight of the contrastive loss.")
    temperature: PositiveFloat = Field(
        0.07, description="Divisor of the similarities, at first where it is learned.")
    learned: bool = Field(True, description="Whether the logarithm of the temperature is learned.")
    balance: float = Field(0.5, ge=0, le=1, description="Share in the loss of finding the second input by the first; "
                                                        "the rest is of the other direction.")
    largest_scale: PositiveFloat = Field(100.0, description="Upper bound on the factor of the similarities.")
    cases: Cases = Field("batch", description=CASES)
    same_patient: SamePatient = Field("negative", description=SAME_PATIENT)


class InfoNCE(nn.Module):
    """The inputs unchanged, and the mean over pairs of b CE(S) + (1 - b) CE(S^T), S = e^t n_a n_b^T, n = P x / |P x|.

    Cases are contrasted within the batch of one process: a batch of 4 has 3 negatives, and little is learned. With
    `cases: step` they are those of a whole step, over accumulated batches and processes.
    `fusion.clip_align` computes the same loss and combines the projections.

    Shapes: M inputs (B, c_m), two or more; returns each, and `loss_infonce`, ().

    Missing inputs: are returned as zeros and stay missing; their rows do not enter the loss. A pair in fewer than two
    rows does not enter the mean.

    Raises: ComponentError for a single input, or when `width` is None and the inputs have different widths.
    """

    def __init__(self, config: InfoNCEConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        check_several(inputs)
        joined_shape(config, inputs)
        self.weight = config.weight
        self.project = Projections(inputs, config.width)
        self.align = Alignment(config.temperature, config.largest_scale, config.same_patient, config.balance,
                               config.learned)

    def forward(self, *features: Tensor, present: Tensor | None = None) -> tuple[Tensor, ...]:
        """The inputs and the loss."""
        loss = self.weight * self.align(present, *self.project(features, present))
        return *fill_absent(features, present), loss.to(features[0].dtype)


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    told = meta["constructor"]
    return {"temperature": told["temperature"], "balance": told["lambda_0"]}


def _replay(module: InfoNCE, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    one, other = (F.normalize(x, dim=1) for x in inputs)
    return {"loss": module.align(None, *inputs), "logits": module.align.log_scale.exp() * (one @ other.T)}


component = Fusion(
    "infonce", InfoNCEConfig, InfoNCE, rule="*features: B _ -> same, loss_infonce: ()", absent="drop",
    category="auxiliary loss", paper="arXiv:1807.03748", cases="cases",
    exceptions=dict.fromkeys(("gradients: align.log_scale", "gradients: project.*"),
                             "where fewer than two cases have both inputs nothing is compared"),
    reference={"release": Release(names={}, read=_read, replay=_replay, options={"width": None, "learned": False})})
