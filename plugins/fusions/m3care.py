"""M3Care: what a case lacks is taken from similar training cases that have it, which the network remembers.

Source: Zhang et al. 2022, M3Care: Learning with Missing Modalities in Multimodal Healthcare Data, KDD; read in the
notebooks of choczhang/M3Care 3036c425 and in CareBench 4faf845d. Their neighbours are the cases of a batch, and their
masks leave every incomplete case without any, so that all get one and the same vector. Departures, which make it what
the paper means: neighbours come from a memory of training cases, so that a result depends on the case alone, and
similarity is averaged over what both cases have; the graph layers behind it are left out. Recorded numbers of the
notebooks' form are therefore not reproduced. With `similarity: plain` and `neighbours` it is retrieval by distance.
"""
# Axes: B batch, M inputs, c width of one input, Q places of the memory.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    Bundle,
    Config,
    Fitted,
    Fusion,
    Probes,
    Scalar,
    Shape,
    TensorShape,
    TrainingRows,
    Vector,
    at_least_single,
    fill_absent,
    zero_empty,
)

_NOBODY = -1
"""The number of a place of the memory in which no case is."""


class M3CareConfig(Config):
    """Options of `fusion.m3care`."""

    memory: PositiveInt = Field(512, le=1 << 20, examples=[16], description="Room for so many training cases, which "
                                                                          "are saved with the weights.")
    similarity: Literal["learned", "plain"] = Field(
        "learned", description="What distances are between: learned projections of the inputs, or the inputs.")
    neighbours: PositiveInt | None = Field(
        None, examples=[3], description="How many of the most similar cases are averaged; None takes all above the "
                                        "threshold.")
    threshold: float = Field(-2.0, ge=-30, le=30, description="Logit of the similarity from which a case counts; it is "
                                                              "learned with 'similarity: learned'.")
    weight: NonNegativeFloat = Field(0.0, description="Weight of the loss that keeps the length of projected features.")


class M3Care(Fitted):
    """The inputs concatenated; a missing one is the mean of it in similar training cases, by their similarity.

    Similarity is the mean over inputs m that both cases have of `exp(-|f_m(x) - f_m(y)|^2 / d_m)`, less a threshold and
    not below 0; d_m is the mean squared distance within the memory, f_m = LN relu MLP, or the identity. Where no case
    passes the threshold, or none that does has the input, a learned vector stands for it. `loss_stability` is `weight`
    times the sum over inputs of the mean of | |MLP_m(x)| - |x| |.

    The memory is filled with training cases, evenly spread over their order, before the first epoch and after each;
    no gradient flows into it. In training a case is no neighbour of itself. In evaluation a training case finds itself.

    Shapes: M inputs (B, c_m); gives `features`, (B, sum of c_m), and `loss_stability`, (). Costs 3 c^2 + 5 c for each
    input with `similarity: learned`, c for its learned vector, and Q (sum of c_m) numbers for the memory.

    Missing inputs: as above. Rows with nothing present give zeros.
    """

    there: Tensor
    numbers: Tensor
    widths: Tensor

    def __init__(self, config: M3CareConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        self.config = config
        learned = config.similarity == "learned"
        self.project = nn.ModuleList(_mlp(shape.width) for shape in inputs) if learned else None
        self.norms = nn.ModuleList(nn.LayerNorm(shape.width) for shape in inputs) if learned else None
        start = torch.tensor(config.threshold)
        if learned:
            self.level = nn.Parameter(start)
        else:
            self.register_buffer("level", start)
        self.stand_in = nn.ParameterList(nn.Parameter(torch.zeros(shape.width)) for shape in inputs)
        for place, shape in enumerate(inputs):
            self.register_buffer(f"memory_{place}", torch.zeros(config.memory, shape.width))
        self.register_buffer("there", torch.zeros(config.memory, len(inputs), dtype=torch.bool))
        self.register_buffer("numbers", torch.full((config.memory,), _NOBODY))
        self.register_buffer("widths", torch.ones(len(inputs)))

    def forward(self, *features: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The completed inputs and the loss."""
        filled = fill_absent(features, present)
        given = present
        if given is None:
            given = torch.ones(filled[0].shape[0], len(filled), dtype=torch.bool, device=filled[0].device)
        similar_BQ = self.similarity(filled, given)
        completed = []
        for place, x in enumerate(filled):
            weights_BQ = similar_BQ.where(self.there[:, place], 0.0)
            total_B1 = weights_BQ.sum(1, keepdim=True)
            found = weights_BQ @ self._memory(place).to(weights_BQ.dtype) / total_B1.where(total_B1 > 0, 1.0)
            found = torch.where(total_B1 > 0, found, self.stand_in[place]).to(x.dtype)
            completed.append(x.where(given[:, place : place + 1], found))
        return zero_empty(torch.cat(completed, 1), present), self._stability(filled, given).to(features[0].dtype)

    def similarity(self, filled: Sequence[Tensor], present: Tensor) -> Tensor:
        """How similar each case of the memory is, for reports: (B, Q), 0 for those that do not count."""
        total_BQ, shared_BQ = torch.zeros(()), torch.zeros(())
        for place, x in enumerate(filled):
            with torch.no_grad():
                known_Qc = self._seen(place, self._memory(place).to(x.dtype))
            squared_BQ = (self._seen(place, x).unsqueeze(1) - known_Qc).square().sum(2)
            both_BQ = present[:, place : place + 1] & self.there[:, place]
            kernel_BQ = (-squared_BQ / self.widths[place].to(squared_BQ.dtype)).exp()
            total_BQ, shared_BQ = total_BQ + kernel_BQ.where(both_BQ, 0.0), shared_BQ + both_BQ
        similar_BQ = (total_BQ / shared_BQ.clamp(min=1) - self.level.sigmoid()).relu()
        if self.cases is not None:
            similar_BQ = similar_BQ.where(self.numbers != self.cases.unsqueeze(1), 0.0)
        if self.config.neighbours is not None and self.config.neighbours < similar_BQ.shape[1]:
            least_B1 = similar_BQ.detach().topk(self.config.neighbours, 1).values[:, -1:]
            similar_BQ = similar_BQ.where(similar_BQ >= least_B1, 0.0)
        return similar_BQ

    def fit(self, rows: TrainingRows) -> None:
        """Remember training cases, and how far apart they are."""
        number = min(len(rows.cases), self.config.memory)
        chosen = torch.linspace(0, len(rows.cases) - 1, number, device=rows.cases.device).round().long()
        there = rows.present[chosen]
        self.there.zero_()
        self.there[:number] = there
        self.numbers.fill_(_NOBODY)
        self.numbers[:number] = rows.cases[chosen]
        for place, x in enumerate(fill_absent([x[chosen] for x in rows.inputs], there)):
            self._memory(place).zero_()
            self._memory(place)[:number] = x
            seen = self._seen(place, x)[there[:, place]]
            squared = (seen.unsqueeze(1) - seen).square().sum(2)
            # Without two cases apart there is no distance to compare with.
            mean = squared.sum() / max(1, len(seen) * (len(seen) - 1))
            self.widths[place] = mean.where(mean > 0, 1.0)

    def _memory(self, place: int) -> Tensor:
        return self.get_buffer(f"memory_{place}")

    def _seen(self, place: int, x: Tensor) -> Tensor:
        if self.project is None or self.norms is None:
            return at_least_single(x)
        return at_least_single(self.norms[place](self.project[place](x).relu()))

    def _stability(self, filled: Sequence[Tensor], present: Tensor) -> Tensor:
        if self.project is None:
            return filled[0].new_zeros(())
        terms = []
        for place, x in enumerate(filled):
            gap_B = (_length(self.project[place](x)) - _length(x)).abs()
            here_B = present[:, place]
            terms.append(gap_B.where(here_B, 0.0).sum() / here_B.sum().clamp(min=1))
        return self.config.weight * torch.stack(terms).sum()


def _length(x_Bc: Tensor) -> Tensor:
    # The root has no gradient at 0.
    return (at_least_single(x_Bc).square().sum(1) + 1e-12).sqrt()


def _mlp(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
                         nn.Linear(width, width))


def _output(config: M3CareConfig, inputs: Sequence[TensorShape]) -> Shape:
    return Bundle((("features", Vector((sum(shape.width for shape in inputs),))), ("loss_stability", Scalar(()))))


_UNFITTED = "the memory is empty until it is fitted, and the loss has no weight"
component = Fusion(
    "m3care", M3CareConfig, M3Care, rule="*features: B _", output=_output, absent="drop", category="missing modality",
    paper="doi:10.1145/3534678.3539388", probes=Probes(values={"threshold": [-3.0, -1.0]}),
    exceptions=dict.fromkeys(("gradients: project.*", "gradients: norms.*", "gradients: level"), _UNFITTED),
)
