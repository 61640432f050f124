"""InfoReg: the encoder that is ahead is drawn back to where the epoch began, while it still gains information.

`q_m` is the mean probability of the true class by modality m alone, and the one with the largest is ahead by the gap to
the mean of the others'. The information that an encoder gains in an epoch is the trace of its Fisher matrix: the sum
over its matrices of the mean over entries of the sum over steps of the squared gradient. While this grows,

    gradient += strength exp(tanh(gap_scale gap)) (theta - theta at the start of the epoch)
    it grows where (t1 - t2) / t1 > threshold, with t1 the mean of the last `window` traces and t2 of the window before

Modalities are told apart by a head on each encoder; where not every one has one, the logits of a linear head on joined
features are divided, with an equal share of its bias, and the losses of the parts are added.

Source: Huang et al. 2025, Adaptive Unimodal Regulation for Balanced Multimodal Information Acquisition, CVPR, arXiv
2503.18595. Departures: the authors' program looks at the trace of the first modality alone and has a factor for each
of two, 0.95 and 0.10, with the gap of sums over a batch: `mode: release`. Here it is the trace of the encoder that is
ahead, one factor, and the gap of means, which does not depend on the size of batches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from fusionkit_plugins.blocks.joint_head import complete, joint_head, mean_of_others, of_the_true_class, true_classes
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from fusionkit.api import ComponentError, EpochWindow, Gradients, Probes, Training, TrainingMethod, TrainingView

_RELEASE = (0.95, 0.10)


class InfoRegConfig(EpochWindow):
    """Options of `training.inforeg`."""

    strength: NonNegativeFloat = Field(0.5, description="The factor of the distance from the start of the epoch.")
    gap_scale: PositiveFloat = Field(1.0, description="What the gap between mean probabilities is multiplied by.")
    threshold: float = Field(0.05, description="The relative growth of the trace above which the encoder is held.")
    window: PositiveInt = Field(10, description="Over how many epochs traces are averaged.")
    mode: Literal["ahead", "release"] = Field(
        "ahead", description="Whose trace and factor count: of the encoder ahead, or as in the authors' program.")
    head: str = Field("", description="The head whose logits are divided; needed where several see more than one "
                                      "input.")


class InfoReg(TrainingMethod):
    """A copy of the encoders' weights is kept. The history has the pull on each, in columns `method_pull_NAME`."""

    config: InfoRegConfig

    def begin_epoch(self, view: TrainingView) -> None:
        """Remember the weights, and whether each encoder still gains."""
        for modality in view.modalities:
            for name, weight in view.weights(modality).items():
                self.state[f"start/{name}"] = weight.clone()
            self.state[f"trace/{modality}"] = 0.0
            traces = self._traces(modality)
            last, before = float(traces[-self.config.window:].mean()), float(traces[-self.config.window - 1:-1].mean())
            first = view.epoch == self.config.first_epoch
            self.state[f"growth/{modality}"] = 1.0 if first else (last - before) / last if last else 0.0

    def _traces(self, modality: str) -> Tensor:
        traces = self.state.get(f"traces/{modality}")
        return traces if isinstance(traces, Tensor) else torch.zeros(self.config.window, dtype=torch.float64)

    def total(self, losses: Mapping[str, Tensor], view: TrainingView) -> Tensor:
        """The losses; where encoders have no heads, those of the parts of the joint logits besides."""
        total = torch.stack(list(losses.values())).sum()
        if self._has_heads(view):
            return total
        head = joint_head(view, self.config.head)
        targets = true_classes(view.batch, head)[1]
        rows = complete(view, view.batch, head)
        view.add("rows", int(rows.sum()))
        for name, part in divided(view, head, rows).items():
            known = of_the_true_class(part.detach().softmax(1), targets)[rows]
            view.add(name, float(known.double().sum()))
            total = total + view.batch.loss(head, part)
        return total

    def _has_heads(self, view: TrainingView) -> bool:
        return all(name in view.heads for name in view.modalities)

    def edit(self, modality: str, gradients: Gradients, view: TrainingView) -> None:
        """Pull the encoder back, and add up its squared gradients."""
        pull = self._pull(modality, view)
        view.log(f"pull_{modality}", pull)
        weights = view.weights(modality)
        trace = self.state[f"trace/{modality}"]
        for name, gradient in gradients.total.items():
            if pull:
                gradient.add_(pull * (weights[name] - self.state[f"start/{name}"]))
            if gradient.dim() > 1:
                trace += float(gradient.double().square().mean())
        self.state[f"trace/{modality}"] = trace

    def _pull(self, modality: str, view: TrainingView) -> float:
        scores = dict(view.scores)
        if not self._has_heads(view):
            rows = view.sums.get("rows", 0)
            scores = {name: view.sums[name] / rows for name in view.modalities} if rows else {}
        if len(scores) < 2 or max(scores, key=lambda name: scores[name]) != modality:
            return 0.0
        gap = scores[modality] - mean_of_others(scores, modality)
        if self.config.mode == "ahead":
            strength, scale, seen = self.config.strength, self.config.gap_scale, modality
        else:
            place = view.modalities.index(modality)
            strength, seen = _RELEASE[min(place, 1)], view.modalities[0]
            # The authors compare sums over the batch.
            scale = view.rows[view.heads[modality]] if self._has_heads(view) else view.sums["rows"]
        growing = gap > 0 and float(self.state[f"growth/{seen}"]) > self.config.threshold
        return strength * math.exp(math.tanh(scale * gap)) if growing else 0.0

    def end_epoch(self, view: TrainingView) -> None:
        """Add the traces of the epoch to those before."""
        for modality in view.modalities:
            now = torch.tensor([float(self.state[f"trace/{modality}"])], dtype=torch.float64)
            traces = self._traces(modality)
            self.state[f"traces/{modality}"] = torch.cat([traces.cpu(), now])[-self.config.window - 1:]


def divided(view: TrainingView, head: str, rows: Tensor) -> dict[str, Tensor]:
    """The part of each modality in the logits of a linear head on joined features, with its share of the bias.

    Raises: ComponentError if what the parts have in common differs between cases, so that the head is not linear.
    """
    batch, names = view.batch, view.modalities
    if len(names) < 2:
        raise ComponentError("it needs two modalities whose encoders learn",
                             fix="give two inputs encoders that are not frozen, or train without it")
    alone = {}
    for name in names:
        others = [other for other in names if other != name]
        masked = [other for other in others if other in batch.optional]
        alone[name] = batch.again(absent=masked, zeros=[other for other in others if other not in masked],
                                  evaluation=False)[head]
    bias = (torch.stack(list(alone.values())).sum(0) - batch.logits(head)) / (len(names) - 1)
    common = bias[rows].detach()
    if len(common) and float((common - common[0]).abs().max()) > 1e-3 * (1 + float(common.abs().max())):
        raise ComponentError("the logits do not divide into parts of the modalities",
                             why="the head is not a linear layer on joined features",
                             fix="give each encoder a head of its own, with the same classes")
    return {name: values - bias * (len(names) - 1) / len(names) for name, values in alone.items()}


component = Training(
    "inforeg", InfoRegConfig, InfoReg, category="balance", probes=Probes(values={"head": ["result"]}),
    paper="arXiv:2503.18595",
)
