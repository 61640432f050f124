"""PMR: the slower modality's features are drawn to the prototype of their class.

The prototype of a class is the mean of a modality's features over the training cases, in evaluation mode; after the
second epoch a share `momentum` of the former one is kept. Features are compared with all prototypes:

    d_m[c] = -|x_m - p_m[c]|;    L_m = cross entropy of d_m;    q_m = mean of softmax(d_m)[true class]
    rho_m = q_m / mean of the others' q;    loss + alpha sum of L_m over the modalities with rho_m < 1

With `weight: clip` each of these has the weight `min(1 / rho_m - 1, 1)` besides, as in the paper's text.

Source: Fan et al. 2023, PMR: Prototypical Modal Rebalance for Multimodal Learning, CVPR, arXiv 2211.07089. Departures:
prototypes are those of training cases alone; a class without a case keeps its prototype, and has none before its first;
cases that lack a modality are left out of its terms; the paper's entropy term, which the authors' program has not, is
left out. Features of several positions are compared as one long vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.joint_head import joint_head, mean_of_others, of_the_true_class, true_classes
from pydantic import Field, PositiveFloat
from torch import Tensor

from fusionkit.api import EpochWindow, Probes, Training, TrainingMethod, TrainingView

_ROOT = 1e-12
"""Added under the root of a distance, which has no gradient at 0."""


class PMRConfig(EpochWindow):
    """Options of `training.pmr`."""

    alpha: PositiveFloat = Field(1.0, description="The weight of the prototype loss.")
    momentum: float = Field(0.2, ge=0, lt=1, description="The share of the former prototype that is kept.")
    share: float = Field(1.0, gt=0, le=1, description="The share of the training cases that prototypes are made of, "
                                                      "drawn in each epoch anew.")
    weight: Literal["hard", "clip"] = Field(
        "hard", description="The weight of a slower modality's term: 1, or how far it is behind, at most 1.")
    head: str = Field("", description="The head whose classes have prototypes; needed where several see more than one "
                                      "input.")


class PMR(TrainingMethod):
    """The history has how far each modality is ahead, in columns `method_ratio_NAME`, and its loss, `method_loss_NAME`.
    """

    config: PMRConfig

    def begin_epoch(self, view: TrainingView) -> None:
        """The first prototypes."""
        if view.epoch == self.config.first_epoch:
            self._update(view, 0.0)

    def end_epoch(self, view: TrainingView) -> None:
        """Prototypes of the new weights."""
        self._update(view, self.config.momentum if view.epoch > self.config.first_epoch else 0.0)

    def _update(self, view: TrainingView, kept: float) -> None:
        head = joint_head(view, self.config.head)
        sums: dict[str, Tensor] = {}
        counts: dict[str, Tensor] = {}
        for batch in view.training_cases(self.config.share):
            logits, targets = true_classes(batch, head)
            classes = F.one_hot(targets, logits.shape[1]).double()
            for name in view.modalities:
                rows = classes * (batch.known[head] & batch.present[name])[:, None]
                found = rows.T @ batch.features(name).detach().flatten(1).double()
                sums[name] = sums[name] + found if name in sums else found
                counts[name] = counts.get(name, 0) + rows.sum(0)
        for name, total in sums.items():
            mean = (total / counts[name][:, None]).float()
            old = self.state.get(name)
            if isinstance(old, Tensor):
                blended = (1 - kept) * mean + kept * old
                mean = torch.where(mean.isnan(), old, torch.where(old.isnan(), mean, blended))
            self.state[name] = mean

    def total(self, losses: Mapping[str, Tensor], view: TrainingView) -> Tensor:
        """The losses, and those of the modalities that are behind."""
        batch, head = view.batch, joint_head(view, self.config.head)
        _, targets = true_classes(batch, head)
        near: dict[str, float] = {}
        terms: dict[str, Tensor] = {}
        for name in view.modalities:
            prototypes = self.state[name]
            assert isinstance(prototypes, Tensor)
            there = ~prototypes.isnan().any(1)
            rows = batch.known[head] & batch.present[name] & there[targets]
            steps = batch.features(name).flatten(1)[:, None] - prototypes.nan_to_num(0.0)
            distances = -(steps.square().sum(2) + _ROOT).sqrt().masked_fill(~there, torch.inf)
            own = of_the_true_class(distances.log_softmax(1), targets)[rows]
            near[name] = float(own.detach().exp().double().mean()) if len(own) else 0.0
            terms[name] = -own.sum() / max(view.rows[head], 1)
            if len(own):
                view.log(f"loss_{name}", float(-own.detach().double().mean()))
        total = torch.stack(list(losses.values())).sum()
        for name, term in terms.items():
            ratio = _ratio(near, name)
            view.log(f"ratio_{name}", ratio)
            total = total + self.config.alpha * self._weight(ratio) * term
        return total

    def _weight(self, ratio: float) -> float:
        if ratio >= 1:
            return 0.0
        return 1.0 if self.config.weight == "hard" else min(1 / ratio - 1, 1.0) if ratio else 1.0


def _ratio(near: dict[str, float], name: str) -> float:
    """How far a modality is ahead of the others; 1 where one of the two has no case."""
    others = mean_of_others(near, name) if len(near) > 1 else 0.0
    return near[name] / others if others and near[name] else 1.0


component = Training(
    "pmr", PMRConfig, PMR, category="balance", probes=Probes(values={"head": ["result"]}), paper="arXiv:2211.07089",
    exceptions={"training: two batches": "which modality is behind is decided for a batch, as the authors state it"},
)
