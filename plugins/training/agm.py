"""AGM: the gradient through each modality's part of the joint logits is scaled, so that none is learned far ahead.

The part of a modality is its Shapley value: what the logits gain by it, in the mean of both orders.

    phi_a = (z - z_without_a + z_a_alone) / 2;    sum of phi_m = z
    s_m = mean over cases of -log softmax(phi_m)[true class];    r_m = exp(mean of the others' s - s_m)
    kappa_m = exp(alpha min(R_m - r_m, 10)),    R_m the same of the running means S of all steps before

The loss is that of z; its gradient through `phi_m` is multiplied by `kappa_m`. With `alpha: 0` nothing changes.

Source: Li et al. 2023, Boosting Multi-modal Model Performance with Adaptive Gradient Modulation, ICCV, arXiv
2308.07686. Departures: an optional input is left out by its mask; with `absent: zeros`, and for inputs that are not
optional, it is zeros, as in the authors' program. Both use one further pass a modality in evaluation mode, as there;
with more than two modalities there are two, and what the parts lack of z is divided among them equally. Cases that lack
a modality keep the plain loss. The authors' clipping of gradients is the setting `clip_gradient`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from fusionkit_plugins.blocks.joint_head import complete, joint_head, mean_of_others, of_the_true_class, true_classes
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from fusionkit.api import BatchView, EpochWindow, Probes, Training, TrainingMethod, TrainingView

_LEAST, _MOST = 1e-8, 10.0


class AGMConfig(EpochWindow):
    """Options of `training.agm`."""

    alpha: NonNegativeFloat = Field(1.0, description="Strength: 0 changes nothing; the authors also use 2.5.")
    absent: Literal["mask", "zeros"] = Field(
        "mask", description="How an input is left out: by its mask where it is optional, or as zeros.")
    head: str = Field("", description="The head whose logits are divided; needed where several see more than one "
                                      "input.")


class AGM(TrainingMethod):
    """The factors are those of a batch; the history has their means, in columns `method_factor_NAME`."""

    config: AGMConfig

    def total(self, losses: Mapping[str, Tensor], view: TrainingView) -> Tensor:
        """The losses, with the gradient of the joint one scaled."""
        batch, head = view.batch, joint_head(view, self.config.head)
        logits, targets = true_classes(batch, head)
        rows = complete(view, batch, head)
        parts = self._parts(view, head, logits)
        scores = {name: -of_the_true_class(part.detach().softmax(1), targets).clamp(min=_LEAST).log()
                  for name, part in parts.items()}
        count = int(rows.sum())
        means = {name: float(values[rows].double().mean()) for name, values in scores.items()} if count else {}
        factors = self._factors(means) if count and len(parts) > 1 else dict.fromkeys(parts, 1.0)
        view.add("rows", count)
        for name, mean in means.items():
            view.add(name, mean * count)
            view.log(f"factor_{name}", factors[name])
        changed = torch.stack([view.scale(part, factors[name]) for name, part in parts.items()]).sum(0)
        loss = batch.loss(head, torch.where(rows[:, None], changed, logits))
        return loss + sum((value * (name != head) for name, value in losses.items()), torch.zeros_like(loss))

    def _parts(self, view: TrainingView, head: str, logits: Tensor) -> dict[str, Tensor]:
        """The part of each modality in the logits, (B, K); they add up to them."""
        names = view.modalities
        alone = {name: self._without(view.batch, [other for other in names if other != name])[head] for name in names}
        if len(names) == 2:
            first, second = names
            without = {first: alone[second], second: alone[first]}
        else:
            without = {name: self._without(view.batch, [name])[head] for name in names}
        parts = {name: (logits - without[name] + alone[name]) / 2 for name in names}
        lacking = (logits - torch.stack(list(parts.values())).sum(0)) / len(names)
        return parts if len(names) == 2 else {name: part + lacking for name, part in parts.items()}

    def _without(self, batch: BatchView, names: list[str]) -> Mapping[str, Tensor]:
        masked = [name for name in names if name in batch.optional and self.config.absent == "mask"]
        return batch.again(absent=masked, zeros=[name for name in names if name not in masked])

    def _factors(self, scores: dict[str, float]) -> dict[str, float]:
        before = {name: float(self.state.get(f"score_{name}", 0.0)) for name in scores}
        return {name: math.exp(self.config.alpha * min(_ratio(before, name) - _ratio(scores, name), _MOST))
                for name in scores}

    def end_step(self, view: TrainingView) -> None:
        """Add the scores of the step to the running means."""
        if not view.sums.get("rows"):
            return
        self.state["steps"] = steps = self.state.get("steps", 0) + 1
        for name in view.modalities:
            before = self.state.get(f"score_{name}", 0.0)
            self.state[f"score_{name}"] = before * (steps - 1) / steps + view.sums[name] / view.sums["rows"] / steps


def _ratio(scores: dict[str, float], name: str) -> float:
    return math.exp(mean_of_others(scores, name) - scores[name])


component = Training(
    "agm", AGMConfig, AGM, category="balance", probes=Probes(values={"head": ["result"]}), paper="arXiv:2308.07686",
    exceptions={"training: two batches": "the authors state the factor for a batch, so two batches have two"},
)
