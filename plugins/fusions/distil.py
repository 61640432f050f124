"""Distillation: returns logits, with a loss that pulls those of students towards those of a teacher.

Source: Hinton et al. 2015, Distilling the Knowledge in a Neural Network, arXiv 1503.02531, section 2.
The extensions to several students, with the mean over them, and to independent labels are ours.
"""
# Axes: B batch, K classes or labels.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from fusionkit_plugins.blocks.pairs import mean_over_pairs
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, TensorShape, at_least_single, fill_absent


class DistilConfig(Config):
    """Options of `fusion.distil`."""

    weight: NonNegativeFloat = Field(1.0, description="Weight of the distillation loss.")
    temperature: PositiveFloat = Field(
        2.0, description="Divisor of the logits: the higher, the more weight unlikely classes have.")
    task: Literal["multiclass", "multilabel"] = Field(
        "multiclass", description="multiclass: the logits are those of one softmax; multilabel: each of a sigmoid.")


class Distil(nn.Module):
    """The inputs unchanged, and T^2 KL[softmax(t / T) || softmax(s / T)] of teacher t and student s.

    With `task: multilabel`, T^2 times the mean over labels of the divergence of two Bernoulli distributions,
    sigmoid(t / T) and sigmoid(s / T). The teacher gets no gradient from here; give it a head, or freeze it.

    Shapes: `teacher` and `students`, one or more, (B, K) each; returns each, and `loss_distil`, ().

    Missing inputs: are returned as zeros and stay missing; rows without teacher or student do not enter the loss.
    """

    def __init__(self, config: DistilConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.weight, self.temperature = config.weight, config.temperature
        self.apart = _of_classes if config.task == "multiclass" else _of_labels

    def forward(self, teacher: Tensor, *students: Tensor, present: Tensor | None = None) -> tuple[Tensor, ...]:
        """The logits and the loss."""
        given = fill_absent([teacher, *students], present)
        target, *others = [at_least_single(logits) / self.temperature for logits in given]
        loss = mean_over_pairs(self.apart, [target.detach(), *others], present, "first")
        return *given, (self.weight * self.temperature**2 * loss).to(teacher.dtype)


def _of_classes(teacher: Tensor, student: Tensor) -> Tensor:
    return F.kl_div(student.log_softmax(1), teacher.log_softmax(1), reduction="none", log_target=True).sum(1)


def _of_labels(teacher: Tensor, student: Tensor) -> Tensor:
    yes, no = (F.kl_div(F.logsigmoid(sign * student), F.logsigmoid(sign * teacher), reduction="none", log_target=True)
               for sign in (1, -1))
    return (yes + no).mean(1)


component = Fusion("distil", DistilConfig, Distil, rule="teacher: B k, *students: B k -> same, loss_distil: ()",
                   absent="drop", category="auxiliary loss", paper="arXiv:1503.02531")
