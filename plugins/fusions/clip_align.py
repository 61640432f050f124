"""CLIP alignment: combines projections of the inputs, with an auxiliary contrastive loss between those of a case.

Source: Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision, arXiv 2103.00020,
figure 3; on CT and records: Sanjeev et al. 2023, PECon, arXiv 2308.14050, whose code computes this loss.
PECon's paper has a supervised form, in which all cases of one class are positives. It needs the targets, which a
fusion does not see, and is not included. The extension to more than two inputs, the mean over pairs, is ours.
"""
# Axes: B batch, M inputs, c width of one input, w {width}.

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import log
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    Bundle,
    CaseComparison,
    Config,
    Fusion,
    Projections,
    Recorded,
    Release,
    Scalar,
    Shape,
    TensorShape,
    Vector,
    at_least_single,
    joined_shape,
)

Cases = Literal["batch", "step"]
SamePatient = Literal["negative", "ignore"]
CASES = "Which cases are compared: those of a batch, or of a whole step."
SAME_PATIENT = "What other cases of the same patient are for a case: negatives as any other, or left out."


class ClipAlignConfig(Config):
    """Options of `fusion.clip_align`."""

    width: PositiveInt | None = Field(
        64, description="Width to which each input is projected; None uses them as they are, with equal widths.")
    merge: Literal["concat", "sum"] = Field("concat", description="How the projections are combined.")
    weight: NonNegativeFloat = Field(0.1, description="Weight of the alignment loss.")
    temperature: PositiveFloat = Field(
        0.07, description="Initial divisor of the similarities; its logarithm is learned.")
    largest_scale: PositiveFloat = Field(100.0, description="Upper bound on the factor of the similarities.")
    cases: Cases = Field("batch", description=CASES)
    same_patient: SamePatient = Field("negative", description=SAME_PATIENT)


class Alignment(CaseComparison):
    """Cross-entropy of finding a case's own vector among those of the batch, both ways, mean over the pairs of inputs.

    S = e^t n_a n_b^T of vectors of length one; the loss of a pair is `balance` CE(S) + (1 - `balance`) CE(S^T) with the
    diagonal as target. The scale e^t is learned where `learned` is true.

    Shapes: M inputs (B, w); gives (). Rows without both inputs are excluded from the matrix; a pair of inputs in fewer
    than two rows is excluded from the mean. Where `same_patient` is `ignore`, a case is not told from other cases of
    its patient.
    """

    log_scale: Tensor

    def __init__(self, temperature: float, largest_scale: float, same_patient: SamePatient = "negative",
                 balance: float = 0.5, learned: bool = True) -> None:
        super().__init__()
        self.ignores, self.balance = same_patient == "ignore", balance
        self.largest = log(largest_scale)
        start = torch.tensor(-log(temperature))
        if learned:
            self.log_scale = nn.Parameter(start)
        else:
            self.register_buffer("log_scale", start, persistent=False)

    def compare(self, present: Tensor | None, *features: Tensor, patients: Tensor | None = None) -> Tensor:
        """The loss."""
        apart = None if patients is None or not self.ignores else patients.unsqueeze(1) != patients
        if present is None:
            present = torch.ones(features[0].shape[0], len(features), dtype=torch.bool, device=features[0].device)
        # The gradient passes beyond the cap, or the scale could never come back.
        scale = (self.log_scale - (self.log_scale - self.largest).clamp(min=0).detach()).exp()
        directions = [F.normalize(at_least_single(x), dim=1) for x in features]
        columns = present.unbind(1)
        losses, counts = [], []
        for a, b in combinations(range(len(features)), 2):
            both_B = columns[a] & columns[b]
            losses.append(_contrast(scale * (directions[a] @ directions[b].T), both_B, apart, self.balance))
            counts.append(both_B.sum() > 1)
        return torch.stack(losses).sum() / torch.stack(counts).sum().clamp(min=1)


def _contrast(scores_BB: Tensor, both_B: Tensor, apart_BB: Tensor | None, balance: float) -> Tensor:
    """The mean cross-entropy of rows and columns against the diagonal, over the valid rows and columns."""
    place_B = torch.arange(both_B.shape[0], device=both_B.device)
    other_BB = both_B.unsqueeze(1) & both_B
    # The diagonal stays, so that no row is an empty sum.
    kept_BB = (other_BB if apart_BB is None else other_BB & apart_BB) | (place_B.unsqueeze(1) == place_B)
    scores_BB = scores_BB.where(kept_BB, float("-inf"))
    losses_B = balance * scores_BB.logsumexp(1) + (1 - balance) * scores_BB.logsumexp(0) - scores_BB.diagonal()
    return losses_B.where(both_B, 0.0).sum() / both_B.sum().clamp(min=1)


class ClipAlign(nn.Module):
    """The projections concatenated or summed, and the weighted alignment loss.

    A case has as many negatives as the batch has other cases: with a batch of 4 that is 3, and little is learned.
    `cases: step` compares those of a whole step, over accumulated batches and processes.

    Shapes: M inputs (B, c_m), two or more; gives `features`, (B, M w) or (B, w), and `loss_align`, ().

    Missing inputs: their part of the result is zeros, and their rows do not enter the loss.

    Raises: ComponentError if `width` is None and the inputs have different widths.
    """

    def __init__(self, config: ClipAlignConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        joined_shape(config, inputs)
        self.concat, self.weight = config.merge == "concat", config.weight
        self.project = Projections(inputs, config.width)
        self.align = Alignment(config.temperature, config.largest_scale, config.same_patient)

    def forward(self, first: Tensor, *others: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The combined projections and the loss."""
        parts = self.project([first, *others], present)
        joined = torch.cat(parts, 1) if self.concat else torch.stack(parts).sum(0)
        return joined, (self.weight * self.align(present, *parts)).to(joined.dtype)


def _output(config: ClipAlignConfig, inputs: Sequence[TensorShape]) -> Shape:
    width = joined_shape(config, inputs).width * (len(inputs) if config.merge == "concat" else 1)
    return Bundle((("features", Vector((width,))), ("loss_align", Scalar(()))))


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    said = re.search(r"scale 1/([\d.]+)", str(meta.get("constructor", "")))
    return {"temperature": float(said[1])} if said else {}


def _replay(module: ClipAlign, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    return {"loss": module.align(None, *inputs)}


component = Fusion(
    "clip_align", ClipAlignConfig, ClipAlign, rule="first: B _, *others: B _", output=_output, absent="neutral",
    category="alignment", paper="arXiv:2103.00020", cases="cases",
    reference={"release": Release(names={}, own=("align.log_scale",), options={"width": None}, read=_read,
                                  replay=_replay)},
)
