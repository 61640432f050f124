"""SMIL: what a case lacks is a weighted sum of typical training cases, with weights told by what it has.

Source: Ma, Ren, Zhao, Tulyakov, Wu, Peng 2021, SMIL: Multimodal Learning with Severely Missing Modality, AAAI, arXiv
2103.05677, section 3: a missing modality is reconstructed from the centres of clusters of complete training features.
Departures: one level of training in place of two, since the inner update of the form that is in use (CareBench
4faf845d) is computed and never used; the weights are learned by the network's own loss and by reconstructing inputs
that are there; they are positive and sum to 1; no features are disturbed by noise; any number of inputs.
"""
# Axes: B batch, M inputs, c width of one input, q {centres}, h {hidden}, n rows that are fitted.

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    Bundle,
    ComponentError,
    Config,
    Fitted,
    Fusion,
    Scalar,
    Shape,
    TensorShape,
    TrainingRows,
    Vector,
    at_least_single,
    fill_absent,
    zero_empty,
)

_ROUNDS = 30


class SmilConfig(Config):
    """Options of `fusion.smil`."""

    centres: PositiveInt = Field(10, le=256, examples=[3], description="Centres of clusters of each input's training "
                                                                     "features.")
    hidden: PositiveInt = Field(128, examples=[5], description="Width inside the networks that weigh the centres.")
    weight: NonNegativeFloat = Field(0.05, description="Weight of the loss of reconstructing inputs that are there.")


class Smil(Fitted):
    """The inputs concatenated; a missing one is `softmax(mean of g_nm(x_n)) C_m`, n over the inputs that are there.

    `g_nm = Lin(h, q) relu Lin(c_n, h)`; C_m (q, c_m) are centres of the training cases that have input m, by Lloyd's
    algorithm from cases that lie far apart, fitted before the first epoch and after each; no gradient flows into them.
    `loss_completion` is `weight` times the mean over inputs of the mean squared difference between an input that is
    there and what the others would make of it.

    Shapes: M inputs (B, c_m); gives `features`, (B, sum of c_m), and `loss_completion`, (). Costs
    `(M - 1) sum_m (c_m h + h + h q + q)` and q (sum of c_m) numbers for the centres.

    Missing inputs: as above. Rows with nothing present give zeros.
    """

    def __init__(self, config: SmilConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        if len(inputs) < 2:
            raise ComponentError("it makes an input of the others, but is given one", fix="give two or more: "
                                 "from: [ct, pet]")
        self.config = config
        self.weigh = nn.ModuleDict(
            {f"{source}_to_{place}": nn.Sequential(nn.Linear(shape.width, config.hidden), nn.ReLU(),
                                                   nn.Linear(config.hidden, config.centres))
             for source, shape in enumerate(inputs) for place in range(len(inputs)) if place != source})
        for place, shape in enumerate(inputs):
            self.register_buffer(f"centres_{place}", torch.zeros(config.centres, shape.width))

    def forward(self, *features: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The completed inputs and the loss."""
        filled = fill_absent(features, present)
        given = present
        if given is None:
            given = torch.ones(filled[0].shape[0], len(filled), dtype=torch.bool, device=filled[0].device)
        completed, losses = [], []
        for place, x in enumerate(filled):
            made, told_B = self.reconstructed(filled, given, place)
            here_B = given[:, place] & told_B
            errors_B = (at_least_single(made) - at_least_single(x).detach()).square().mean(1)
            losses.append(errors_B.where(here_B, 0.0).sum() / here_B.sum().clamp(min=1))
            completed.append(x.where(given[:, place : place + 1], made.to(x.dtype)))
        loss = self.config.weight * torch.stack(losses).mean()
        return zero_empty(torch.cat(completed, 1), present), loss.to(features[0].dtype)

    def reconstructed(self, filled: Sequence[Tensor], present: Tensor, place: int) -> tuple[Tensor, Tensor]:
        """What the other inputs make of one input, and for which rows there are any: (B, c) and (B,)."""
        scores, there = [], []
        for source, x in enumerate(filled):
            if source != place:
                scores.append(self.weigh[f"{source}_to_{place}"](x).where(present[:, source : source + 1], 0.0))
                there.append(present[:, source])
        count_B = torch.stack(there).sum(0)
        mean_Bq = torch.stack(scores).sum(0) / count_B.clamp(min=1).unsqueeze(1)
        return mean_Bq.softmax(1) @ self._centres(place).to(mean_Bq.dtype), count_B > 0

    def fit(self, rows: TrainingRows) -> None:
        """Find the centres of each input among the training cases that have it; fewer cases than centres repeat."""
        for place, x in enumerate(fill_absent(list(rows.inputs), rows.present)):
            own_nc = x[rows.present[:, place]].to(self._centres(place).dtype)
            if len(own_nc):
                self._centres(place).copy_(_clustered(own_nc, self.config.centres))

    def _centres(self, place: int) -> Tensor:
        return self.get_buffer(f"centres_{place}")


def _clustered(rows_nc: Tensor, count: int) -> Tensor:
    """Centres of clusters by Lloyd's algorithm, which begins with the row nearest to the mean, then rows far apart."""
    nearest = (rows_nc - rows_nc.mean(0)).square().sum(1)
    chosen = [int(nearest.argmin())]
    far_n = (rows_nc - rows_nc[chosen[0]]).square().sum(1)
    for _ in range(count - 1):
        chosen.append(int(far_n.argmax()))
        far_n = torch.minimum(far_n, (rows_nc - rows_nc[chosen[-1]]).square().sum(1))
    centres_qc = rows_nc[chosen]
    for _ in range(_ROUNDS):
        owner_n = torch.cdist(rows_nc, centres_qc).argmin(1)
        member_nq = torch.nn.functional.one_hot(owner_n, count).to(rows_nc.dtype)
        sizes_q1 = member_nq.sum(0).unsqueeze(1)
        moved_qc = torch.where(sizes_q1 > 0, member_nq.T @ rows_nc / sizes_q1.clamp(min=1), centres_qc)
        if torch.equal(moved_qc, centres_qc):
            break
        centres_qc = moved_qc
    return centres_qc


def _output(config: SmilConfig, inputs: Sequence[TensorShape]) -> Shape:
    return Bundle((("features", Vector((sum(shape.width for shape in inputs),))), ("loss_completion", Scalar(()))))


component = Fusion(
    "smil", SmilConfig, Smil, rule="*features: B _", output=_output, absent="drop", category="missing modality",
    paper="arXiv:2103.05677",
    exceptions={"gradients: weigh.*": "the centres are zero until they are fitted"},
)
