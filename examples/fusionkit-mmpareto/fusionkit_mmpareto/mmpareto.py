"""MMPareto: encoders take the shortest mean of the gradients of the joint loss and of their own where these disagree.

Source: Wei and Hu 2024, MMPareto: boosting multimodal learning with innocent unimodal assistance, arXiv 2405.17730.
For each encoder, G is the gradient of all losses but that of its own head, U that of its own. Where they agree, both
count one half; else the point of least norm between them is taken. Twice that mean, stretched to the length of G + U
where it is shorter, times `gamma`, is the new gradient. Heads, and what several inputs reach, keep theirs.

The authors' release stretches each tensor on its own, `per: tensor`, so that the direction over the encoder is not
exactly the common one; `per: encoder` keeps it. More than two modalities are the same: an encoder has two gradients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from fusionkit.api import EpochWindow, Gradients, Training, TrainingMethod, TrainingView
from pydantic import Field, PositiveFloat
from torch import Tensor


class MMParetoConfig(EpochWindow):
    """Options of `training.pareto`."""

    gamma: PositiveFloat = Field(1.5, description="Factor of all gradients of encoders.")
    per: Literal["tensor", "encoder"] = Field("tensor", description="What is stretched: each tensor, or the encoder.")


class MMPareto(TrainingMethod):
    """It has no state. The history has the mean weight of the joint loss, in columns `method_joint_NAME`."""

    config: MMParetoConfig

    def parts(self, modality: str, view: TrainingView) -> Sequence[str]:
        """The loss of the modality's own head."""
        return (view.heads[modality],)

    def edit(self, modality: str, gradients: Gradients, view: TrainingView) -> None:
        """Replace the gradients of one encoder."""
        own = gradients.parts[view.heads[modality]]
        joint = {name: total - own[name] for name, total in gradients.total.items()}
        share = weight_of_first(joint, own)
        view.log(f"joint_{modality}", share)
        mean = {name: 2 * share * joint[name] + 2 * (1 - share) * own[name] for name in own}
        for names in ([name] for name in mean) if self.config.per == "tensor" else [list(mean)]:
            plain, new = (inner({name: part[name] for name in names}, part) for part in (gradients.total, mean))
            stretch = torch.where(new > 0, (plain / new).clamp(min=1).sqrt(), 1.0)
            for name in names:
                gradients.total[name].copy_(self.config.gamma * stretch * mean[name])


def weight_of_first(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """One half for gradients that agree, else the weight of the first at the point of least norm between them."""
    x, y, w = (float(inner(*pair)) for pair in ((first, first), (first, second), (second, second)))
    return 0.5 if y > 0 else least_norm(x, y, w)


def least_norm(x: float, y: float, w: float) -> float:
    """The weight a at which a G + (1 - a) U is shortest, for the products x = GG, y = GU and w = UU."""
    if y >= min(x, w):
        return 0.999 if y >= x else 0.001
    return (w - y) / (x + w - 2 * y)


def inner(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> Tensor:
    """The inner product over the tensors of the first."""
    return torch.stack([(value.double() * second[name].double()).sum() for name, value in first.items()]).sum()


component = Training(
    "pareto", MMParetoConfig, MMPareto, category="balance", requires="heads", paper="arXiv:2405.17730",
)
