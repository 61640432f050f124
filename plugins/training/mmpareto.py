"""MMPareto: each encoder follows a direction that lowers the joint loss and its own together.

For the weights of modality m, `G` is the gradient of the joint losses and `U` that of the head on this encoder. Where
their angle is below 90 degrees both count alike; else they have the weights of the shortest point between them, which
no step along it makes worse. The result is made at least as long as `G + U`, and is multiplied by `gamma`:

    (a, b) = (1/2, 1/2) if <G, U> > 0, else the point of least norm
    n = 2 a G + 2 b U;  s = max(1, |G + U| / |n|);  gradient = gamma s n

Heads keep their gradient. With several joint heads each is a vector of its own, of weight 1/k among k where all angles
are below 90 degrees.

Source: Wei and Hu 2024, MMPareto, ICML, arXiv 2405.17730. Departures: lengths are compared for each tensor of weights,
as the authors' program does, which turns the direction over the encoder as a whole; `per: encoder` compares them over
the encoder, which the paper's argument is about. s is 1 where n is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from fusionkit_plugins.blocks.min_norm import min_norm
from pydantic import Field, PositiveFloat
from torch import Tensor

from fusionkit.api import EpochWindow, Gradients, Training, TrainingMethod, TrainingView


class MMParetoConfig(EpochWindow):
    """Options of `training.mmpareto`."""

    gamma: PositiveFloat = Field(1.5, description="What the gradients of encoders are multiplied by.")
    per: Literal["tensor", "encoder"] = Field(
        "tensor", description="Over what lengths are compared: each tensor of weights, or the whole encoder.")


class MMPareto(TrainingMethod):
    """The history has the weight of each encoder's own loss, in columns `method_own_NAME`; 0.5 without a conflict."""

    config: MMParetoConfig

    def parts(self, modality: str, view: TrainingView) -> Sequence[str]:
        """Its own loss; of several joint ones all but the first. The rest of the total is the joint loss."""
        return (view.heads[modality], *view.joint_heads[1:])

    def edit(self, modality: str, gradients: Gradients, view: TrainingView) -> None:
        """Replace the sum of the gradients."""
        parts = [list(part.values()) for part in gradients.parts.values()]
        total = list(gradients.total.values())
        joint = [sum(pieces[1:], pieces[0]) for pieces in zip(total, *([-each for each in part] for part in parts),
                                                              strict=True)]
        vectors = [joint, *parts]
        weights = weights_of(vectors)
        view.log(f"own_{modality}", weights[1])
        found = [sum((len(vectors) * weight * piece for weight, piece in zip(weights, pieces, strict=True)),
                     torch.zeros_like(pieces[0])) for pieces in zip(*vectors, strict=True)]
        groups = [[place] for place in range(len(total))] if self.config.per == "tensor" else [range(len(total))]
        for group in groups:
            longer = lengthening([total[place] for place in group], [found[place] for place in group])
            for place in group:
                total[place].copy_(self.config.gamma * longer * found[place])


def weights_of(vectors: Sequence[Sequence[Tensor]]) -> list[float]:
    """The weights of gradients, each a list of tensors: equal where no two conflict, else those of least norm."""
    flat = torch.stack([torch.cat([piece.detach().double().flatten() for piece in pieces]) for pieces in vectors])
    gram = flat @ flat.T
    count = len(flat)
    if bool((gram[~torch.eye(count, dtype=torch.bool, device=gram.device)] > 0).all()):
        return [1 / count] * count
    return [float(weight) for weight in min_norm(gram)]


def lengthening(plain: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    """By how much the vector found is shorter than the plain sum; 1 where it is not, or is 0."""
    longer, length = (float(sum(piece.double().square().sum() for piece in pieces)) ** 0.5 for pieces in (plain, found))
    return max(1.0, longer / length) if length else 1.0


component = Training(
    "mmpareto", MMParetoConfig, MMPareto, category="balance", requires="heads", paper="arXiv:2405.17730",
)
