"""ShaSpec: shared and specific features composed by one layer; the shared ones of others stand for a missing modality.

Source: Wang et al. 2023, Multi-modal Learning with Missing Modality via Shared-Specific Feature Modelling, CVPR, arXiv
2307.14126. The composition is the linear layer of CareBench's form for classification; the authors' program for
segmentation has a convolution, and takes the shared feature of the first modality that is there: `generate: first`.
Departures: both losses leave out what is missing, and shared features are compared in all pairs, where the authors'
program goes round in a ring (`pairs: ring`); the domain classifier sees the specific features, as in the paper.
"""
# Axes: B batch, M modalities, h width of all features.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn

from fusionkit.api import (
    Bundle,
    ComponentError,
    Config,
    Fusion,
    Probes,
    Recorded,
    Release,
    Scalar,
    Shape,
    TensorShape,
    Vector,
    fill_absent,
    zero_empty,
)


class ShaSpecConfig(Config):
    """Options of `fusion.shaspec`."""

    generate: Literal["mean", "first"] = Field(
        "mean", description="What stands for a missing modality: the mean of the shared features that are there, or "
                            "the first of them.")
    output: Literal["concat", "mean"] = Field("concat", description="How the modalities are joined.")
    shared: NonNegativeFloat = Field(0.1, description="Weight of the loss of distance between shared features.")
    domain: NonNegativeFloat = Field(
        0.02, description="Weight of the loss of telling the modality from a specific feature.")
    pairs: Literal["all", "ring"] = Field(
        "all", description="Which shared features are compared: the mean over all pairs, or the sum over neighbours in "
                           "a ring.")


class ShaSpec(nn.Module):
    """`f_m = s_m + R [s_m; p_m]` of a modality's shared and specific features; a missing one is the others' shared.

    `loss_shared`: the mean of |s_a - s_b| over rows with both, over pairs. `loss_domain`: the cross entropy of
    `W p_m` with m, over the modalities of all rows that are there.

    Shapes: M pairs (s_1, p_1, s_2, p_2, ...) of (B, h); gives `features`, (B, M h) or with `output: mean` (B, h), and
    both losses, (). Costs 2 h^2 + h + M h + M.

    Missing inputs: a modality is present if both its inputs are. Rows with nothing present give zeros.

    Raises: ComponentError if the number of inputs is odd. They have one width, and there are two modalities or more.
    """

    def __init__(self, config: ShaSpecConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.config = config
        width, count = _sizes(inputs)
        self.compose = nn.Linear(2 * width, width)
        self.tell = nn.Linear(width, count)

    def forward(self, shared: Tensor, specific: Tensor, shared_2: Tensor, *others: Tensor,
                present: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The composed features and both losses."""
        features = (shared, specific, shared_2, *others)
        if present is None:
            present = torch.ones(features[0].shape[0], len(features), dtype=torch.bool, device=features[0].device)
        present_BM = present[:, 0::2] & present[:, 1::2]
        common, own = fill_absent(features[0::2], present_BM), fill_absent(features[1::2], present_BM)
        generated_Bh = self._generated(common, present_BM)
        composed = [(s + self.compose(torch.cat([s, p], 1))).where(here_B.unsqueeze(1), generated_Bh)
                    for s, p, here_B in zip(common, own, present_BM.unbind(1), strict=True)]
        joined = torch.cat(composed, 1) if self.config.output == "concat" else torch.stack(composed).mean(0)
        distance, told = self.losses(common, own, present_BM)
        return zero_empty(joined, present_BM), self.config.shared * distance, self.config.domain * told

    def _generated(self, shared: Sequence[Tensor], present_BM: Tensor) -> Tensor:
        stack_BMh = torch.stack(list(shared), 1)
        counted_BM = present_BM
        if self.config.generate == "first":
            counted_BM = present_BM & (present_BM.cumsum(1) == 1)
        counts_B1 = counted_BM.sum(1, keepdim=True).clamp(min=1).to(stack_BMh.dtype)
        return stack_BMh.where(counted_BM.unsqueeze(2), 0.0).sum(1) / counts_B1

    def losses(self, shared: Sequence[Tensor], specific: Sequence[Tensor], present_BM: Tensor
               ) -> tuple[Tensor, Tensor]:
        """The distance between shared features, and the cross entropy of the modality, without their weights."""
        count = len(shared)
        columns = present_BM.unbind(1)
        ring = self.config.pairs == "ring"
        pairs = [(a, (a + 1) % count) for a in range(count if count > 2 else 1)] if ring else combinations(range(count),
                                                                                                           2)
        distances, counted = [], []
        for a, b in pairs if count > 1 else ():
            rows_B = columns[a] & columns[b]
            distances.append((shared[a] - shared[b]).abs().mean(1).where(rows_B, 0.0).sum() / rows_B.sum().clamp(min=1))
            counted.append(rows_B.any())
        distance = torch.stack(distances).sum() if distances else shared[0].new_zeros(())
        if distances and not ring:
            distance = distance / torch.stack(counted).sum().clamp(min=1)
        told_BM = torch.stack([F.cross_entropy(self.tell(part), torch.full_like(here_B, place, dtype=torch.long),
                                               reduction="none")
                               for place, (part, here_B) in enumerate(zip(specific, columns, strict=True))], 1)
        told = told_BM.where(present_BM, 0.0).sum() / present_BM.sum().clamp(min=1)
        return distance, told.to(distance.dtype)


def _sizes(inputs: Sequence[TensorShape]) -> tuple[int, int]:
    if len(inputs) % 2:
        raise ComponentError(f"it takes pairs of shared and specific features, but {len(inputs)} inputs are given",
                             fix="give two for each modality: shared, specific, shared, specific ...")
    return inputs[0].width, len(inputs) // 2


def _output(config: ShaSpecConfig, inputs: Sequence[TensorShape]) -> Shape:
    width, count = _sizes(inputs)
    joined = width * count if config.output == "concat" else width
    return Bundle((("features", Vector((joined,))), ("loss_shared", Scalar(())), ("loss_domain", Scalar(()))))


def _read(shapes: Mapping[str, Sequence[int]], meta: Mapping[str, Any]) -> dict[str, Any]:
    generated = str(meta.get("generated", "mean"))
    rows = "rows" in str(meta.get("case", ""))
    return {"generate": generated, "pairs": "all" if rows else "ring", "shared": 1.0, "domain": 1.0}


def _replay(module: ShaSpec, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    """Recorded inputs are all shared features, then all specific ones; the program's losses run over missing ones."""
    count = len(inputs) // 2
    shared, specific = inputs[:count], inputs[count:]
    everything = torch.ones(len(inputs[0]), count, dtype=torch.bool)
    if "present" in case.arrays:
        present = case.arrays["present"].bool()
    else:
        present = everything.clone()
        present[:, [place for place in range(count) if place not in case.meta["present"]]] = False
    pairs = [part for pair in zip(shared, specific, strict=True) for part in pair]
    fused, *losses = module(*pairs, present=present.repeat_interleave(2, 1))
    if "present" not in case.arrays:
        losses = list(module.losses(shared, specific, everything))
    return {"fused": fused, "loss_shared": losses[0], "loss_domain": losses[1]}


component = Fusion(
    "shaspec", ShaSpecConfig, ShaSpec, rule="shared: B h, specific: B h, shared_2: B h, *others: B h", output=_output,
    absent="drop", category="missing modality", paper="arXiv:2307.14126",
    probes=Probes(sizes=[((5,), (5,), (5,), (5,)), ((3,),) * 6]),
    reference={"release": Release(names={"compose": "compos_layer.conv", "tell": "dom_classifier"}, read=_read,
                                  replay=_replay)},
)
