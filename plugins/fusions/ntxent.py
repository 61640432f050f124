"""NT-Xent: returns two views of the same cases, with a loss that finds a view's partner among all other views.

Source: Chen et al. 2020, A Simple Framework for Contrastive Learning of Visual Representations (SimCLR), arXiv
2002.05709, eq. 1; held to numbers recorded from the copy of it in paulhager/MMCL-Tabular-Imaging 2698c423.
"""
# Axes: B batch, M inputs, c width of one input, w {width}.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.pairs import check_several
from fusionkit_plugins.fusions.clip_align import CASES, Cases
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    CaseComparison,
    Config,
    Fusion,
    Projections,
    Recorded,
    Release,
    TensorShape,
    at_least_single,
    fill_absent,
    joined_shape,
)


class NTXentConfig(Config):
    """Options of `fusion.ntxent`."""

    width: PositiveInt | None = Field(
        None, examples=[11], description="Width to which each input is projected for the comparison; None compares "
                                         "them unchanged, with equal widths.")
    weight: NonNegativeFloat = Field(1.0, description="Weight of the loss.")
    temperature: PositiveFloat = Field(0.1, description="Divisor of the similarities.")
    cases: Cases = Field("batch", description=CASES)


class Views(CaseComparison):
    """Of each of 2 B vectors the cross entropy of its partner among the 2 B - 1 others, by cosine over temperature.

    Shapes: `present` (B, M) or None and M inputs (B, w); gives (), the mean over pairs of inputs. Rows without both
    inputs of a pair are left out; with fewer than two rows a pair does not count.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def compare(self, present: Tensor | None, *features: Tensor) -> Tensor:
        """The loss."""
        directions = [F.normalize(at_least_single(x), dim=1) for x in features]
        if present is None:
            present = torch.ones(directions[0].shape[0], len(directions), dtype=torch.bool, device=directions[0].device)
        columns, losses, counts = present.unbind(1), [], []
        for a, b in combinations(range(len(directions)), 2):
            both_B = columns[a] & columns[b]
            losses.append(_contrast(directions[a], directions[b], both_B, self.temperature))
            counts.append(both_B.sum() > 1)
        return (torch.stack(losses) * torch.stack(counts)).sum() / torch.stack(counts).sum().clamp(min=1)


def _contrast(one_Bw: Tensor, other_Bw: Tensor, both_B: Tensor, temperature: float) -> Tensor:
    views_nw, there_n = torch.cat([one_Bw, other_Bw]), torch.cat([both_B, both_B])
    place_n = torch.arange(views_nw.shape[0], device=views_nw.device)
    partner_n = place_n.roll(one_Bw.shape[0])
    # The partner stays, so that no row is an empty sum.
    kept_nn = (there_n & (place_n.unsqueeze(1) != place_n)) | (partner_n.unsqueeze(1) == place_n)
    scores_nn = (views_nw @ views_nw.T / temperature).where(kept_nn, float("-inf"))
    losses_n = F.cross_entropy(scores_nn, partner_n, reduction="none")
    return losses_n.where(there_n, 0.0).sum() / there_n.sum().clamp(min=1)


class NTXent(nn.Module):
    """The inputs unchanged, and the loss: two views of a case attract each other, all other views repel.

    Unlike `fusion.infonce`, views of the same input are negatives of each other too. With `cases: step` cases are those
    of a whole step, over accumulated batches and processes.

    Shapes: M inputs (B, c), two or more; returns each, and `loss_ntxent`, ().

    Missing inputs: are returned as zeros and stay missing; their rows do not enter the loss.

    Raises: ComponentError for a single input, or when `width` is None and the inputs have different widths.
    """

    def __init__(self, config: NTXentConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        check_several(inputs)
        joined_shape(config, inputs)
        self.weight = config.weight
        self.project = Projections(inputs, config.width)
        self.views = Views(config.temperature)

    def forward(self, *features: Tensor, present: Tensor | None = None) -> tuple[Tensor, ...]:
        """The inputs and the loss."""
        loss = self.weight * self.views(present, *self.project(features, present))
        return *fill_absent(features, present), loss.to(features[0].dtype)


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"temperature": meta["constructor"]["temperature"]}


def _replay(module: NTXent, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    return {"loss": module.views(None, *inputs)}


component = Fusion(
    "ntxent", NTXentConfig, NTXent, rule="*features: B _ -> same, loss_ntxent: ()", absent="drop",
    category="auxiliary loss", paper="arXiv:2002.05709", cases="cases",
    exceptions={"gradients: project.*": "where fewer than two cases have both inputs nothing is compared"},
    reference={"release": Release(names={}, read=_read, replay=_replay)})
