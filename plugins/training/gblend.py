"""G-Blend: the loss of each head is weighted by what it would generalise, over the square of what it would overfit.

At the start of every `every` epochs a copy of the network is trained for as long on the loss of each head alone. From
its mean losses on the cases learned from, T, and on cases held out, V, before and after:

    G = V before - V after;    O = (V - T) after - (V - T) before
    w = max(G, 0) / (O^2 + 1e-6), of sum 1 over the heads;    loss = sum of w_i L_i

Where no head generalises, all have the same weight. The heads are those on single encoders and those on several inputs;
other losses keep their weight.

Source: Wang, Tran and Feiszli 2020, What Makes Training Multi-Modal Classification Networks Hard?, CVPR, arXiv
1905.12681. Cases are held out of the training cases, not taken from those that select the epoch. Estimating costs one
training of `every` epochs for each head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from fusionkit.api import Config, LossChange, Training, TrainingMethod, TrainingView

_LEAST = 1e-6


class GBlendConfig(Config):
    """Options of `training.gblend`."""

    holdout: float = Field(0.1, gt=0, lt=1, description="The share of the training cases that is held out.")
    every: PositiveInt = Field(10, description="For how many epochs weights are kept before they are estimated anew.")


class GBlend(TrainingMethod):
    """The history has the weight of each loss, in columns `method_weight_NAME`."""

    config: GBlendConfig

    def begin_epoch(self, view: TrainingView) -> None:
        """Estimate the weights, at the first of every so many epochs."""
        if (view.epoch - 1) % self.config.every == 0:
            heads = (*view.heads.values(), *view.joint_heads)
            changes = [view.train_copy(head, self.config.every) for head in heads]
            self.state.update(zip(heads, blended(changes), strict=True))

    def total(self, losses: Mapping[str, Tensor], view: TrainingView) -> Tensor:
        """The weighted losses."""
        return torch.stack([loss * self.state.get(name, 1.0) for name, loss in losses.items()]).sum()

    def end_step(self, view: TrainingView) -> None:
        """Log the weights."""
        for name, weight in self.state.items():
            view.log(f"weight_{name}", float(weight))


def blended(changes: Sequence[LossChange], least: float = _LEAST) -> list[float]:
    """The weight of each loss; `least` is added to the square of what is overfitted."""
    found = []
    for change in changes:
        overfitted = (change.held_after - change.learned_after) - (change.held_before - change.learned_before)
        found.append(max(change.held_before - change.held_after, 0.0) / (overfitted**2 + least))
    return [each / sum(found) for each in found] if sum(found) else [1 / len(found)] * len(found)


component = Training(
    "gblend", GBlendConfig, GBlend, category="balance", requires="heads", holds_out="holdout", paper="arXiv:1905.12681",
    exceptions={"training: two batches": "copies are trained by single batches, so their losses follow their size"},
)
