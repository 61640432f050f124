"""Published training methods for two modalities, written for the tests from the formulas of their papers.

AGM: Li et al. 2023, arXiv 2308.07686. PMR: Fan et al. 2023, arXiv 2211.07089. InfoReg: Huang et al. 2025,
arXiv 2503.18595. As the authors released them, with `out` as the joint head, of one process and one batch a step.
G-Blend: Wang et al. 2020, arXiv 1905.12681.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fusionkit.api import Config, TrainingMethod, TrainingView

OUT = "out"


class AGMConfig(Config):
    """Options of AGM."""

    alpha: float = 1.0


class AGM(TrainingMethod):
    """Scales the gradient through the part of each modality in the joint logits."""

    config: AGMConfig

    def total(self, losses: Any, view: Any) -> Tensor:
        first, second = view.modalities
        batch, joint = view.batch, view.batch.logits(OUT)
        alone = [batch.again(zeros=[other])[OUT] for other in (second, first)]
        parts = [(joint + own - other) / 2 for own, other in (alone, reversed(alone))]
        rows = torch.arange(len(joint))
        self.scores = [-part.softmax(1)[rows, batch.targets[OUT]].clamp(min=1e-8).log().mean().item() for part in parts]
        changed = torch.zeros_like(joint)
        for place, part in enumerate(parts):
            ratio = math.exp(self.scores[1 - place] - self.scores[place])
            usual = math.exp(self.state.get(f"score{1 - place}", 0.0) - self.state.get(f"score{place}", 0.0))
            factor = math.exp(self.config.alpha * min(usual - ratio, 10))
            view.log(f"factor_{view.modalities[place]}", factor)
            changed = changed + view.scale(part, factor)
        return batch.loss(OUT, changed) + 0 * sum(losses.values())

    def end_step(self, view: TrainingView) -> None:
        self.state["steps"] = steps = self.state.get("steps", 0) + 1
        for place, score in enumerate(self.scores):
            before = self.state.get(f"score{place}", 0.0)
            self.state[f"score{place}"] = before * (steps - 1) / steps + score / steps


class PMRConfig(Config):
    """Options of PMR."""

    alpha: float = 1.0
    momentum: float = 0.2
    share: float = 1.0


class PMR(TrainingMethod):
    """Adds to the loss that the slower modality's features are near the prototype of their class."""

    config: PMRConfig

    def begin_epoch(self, view: TrainingView) -> None:
        if view.epoch == 1:
            self._prototypes(view, 0.0)

    def end_epoch(self, view: TrainingView) -> None:
        self._prototypes(view, self.config.momentum if view.epoch > 1 else 0.0)

    def _prototypes(self, view: TrainingView, kept: float) -> None:
        seen = [(batch.targets[OUT], {name: batch.features(name) for name in view.modalities}, batch.logits(OUT))
                for batch in view.training_cases(self.config.share)]
        classes = torch.cat([targets for targets, _, _ in seen])
        for name in view.modalities:
            features = torch.cat([values[name] for _, values, _ in seen])
            found = torch.stack([features[classes == number].mean(0) for number in range(seen[0][2].shape[1])])
            old = self.state.get(name)
            # A class without a case in the share keeps its prototype.
            found = found if old is None else torch.where(found.isnan(), old, (1 - kept) * found + kept * old)
            self.state[name] = found

    def total(self, losses: Any, view: Any) -> Tensor:
        rows, targets = torch.arange(len(view.batch.targets[OUT])), view.batch.targets[OUT]
        near, found = {}, {}
        for name in view.modalities:
            steps = view.batch.features(name).unsqueeze(1) - self.state[name]
            distances = -(steps.square().sum(2) + 1e-12).sqrt()
            near[name] = distances.softmax(1)[rows, targets].sum().item()
            found[name] = F.cross_entropy(distances, targets)
        first, second = view.modalities
        view.log("ratio", near[first] / near[second])
        for name in view.modalities:
            view.log(f"loss_{name}", found[name].item())
        slower = second if near[first] > near[second] else first
        return sum(losses.values()) + self.config.alpha * found[slower]


class InfoReg(TrainingMethod):
    """Pulls the encoder that is ahead back to where the epoch began, while the first encoder's trace grows."""

    FACTORS = (0.95, 0.10)

    def begin_epoch(self, view: TrainingView) -> None:
        for modality in view.modalities:
            for name, weight in view.weights(modality).items():
                self.state[f"start/{name}"] = weight.clone()
                self.state[f"squares/{name}"] = torch.zeros_like(weight)
        traces = self.state.setdefault("traces", torch.zeros(10, dtype=torch.float64))
        last, before = traces[-10:].mean().item(), traces[-11:-1].mean().item()
        self.state["growth"] = 1.0 if view.epoch == 1 else (last - before) / last if last else 0.0

    def total(self, losses: Any, view: Any) -> Tensor:
        first, second = view.modalities
        passes = [view.batch.again(absent=[other], evaluation=False)[OUT] for other in (second, first)]
        bias = sum(passes) - view.batch.logits(OUT)
        alone = [each - bias / 2 for each in passes]
        rows = torch.arange(len(bias))
        self.scores = [each.softmax(1)[rows, view.batch.targets[OUT]].sum().item() for each in alone]
        return sum(losses.values()) + sum(view.batch.loss(OUT, each) for each in alone)

    def edit(self, modality: str, gradients: Any, view: TrainingView) -> None:
        place = view.modalities.index(modality)
        ahead = self.scores[place] - self.scores[1 - place]
        weights = view.weights(modality)
        for name, gradient in gradients.total.items():
            if self.state["growth"] > 0.05 and ahead > 0:
                pull = self.FACTORS[place] * math.exp(math.tanh(ahead))
                gradient += pull * (weights[name] - self.state[f"start/{name}"])
            self.state[f"squares/{name}"] = self.state[f"squares/{name}"] + gradient.square()

    def trace(self, names: Any) -> float:
        """The sum over matrices of the mean of their squared gradients, added up over the steps of the epoch."""
        return sum(float(self.state[f"squares/{name}"].double().mean()) for name in names if name.endswith("weight"))


class BlendConfig(Config):
    """Options of G-Blend."""

    held: float = 0.25
    every: int = 1


class Blend(TrainingMethod):
    """Weighs the loss of each head by what it alone would generalise and overfit."""

    config: BlendConfig

    def begin_epoch(self, view: TrainingView) -> None:
        if (view.epoch - 1) % self.config.every == 0:
            heads = (*view.heads.values(), "kind")
            changes = [view.train_copy(head, self.config.every) for head in heads]
            found = blended([each.learned_before for each in changes], [each.learned_after for each in changes],
                            [each.held_before for each in changes], [each.held_after for each in changes])
            for head, weight in zip(heads, found, strict=True):
                self.state[head] = weight

    def total(self, losses: Any, view: Any) -> Tensor:
        return sum(losses[name] * self.state[name] for name in losses)

    def end_step(self, view: TrainingView) -> None:
        for name, weight in self.state.items():
            view.log(f"weight_{name}", float(weight))


def blended(before: Any, after: Any, held_before: Any, held_after: Any, least: float = 1e-6) -> list[float]:
    """The weight of each loss: what was gained on held-out cases over the square of what was overfitted."""
    found = []
    for losses in zip(before, after, held_before, held_after, strict=True):
        learned, then, held, held_then = losses
        overfitted = (held_then - then) - (held - learned)
        found.append(max(held - held_then, 0.0) / (overfitted**2 + least))
    return [each / sum(found) for each in found] if sum(found) else [1 / len(found)] * len(found)
