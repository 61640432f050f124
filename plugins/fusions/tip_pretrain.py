"""TIP's pretraining: its transformer over a table with hidden cells and an image, with three losses without targets.

Source: Du et al. 2024, TIP: Tabular-Image Pre-training for Multimodal Classification with Incomplete Data, ECCV,
arXiv 2407.07582, and the release siyi-wind/TIP 9258cc25, Apache-2.0, to whose numbers it is held. Departures: where no
cell of a kind was hidden its part of the reconstruction is 0, where the release divides 0 by 0; cases that lack the
table or the image are in no contrast and no pair; projections are one linear layer.
"""
# Axes: B batch, t tokens of the table, C columns, S categories of all columns, c channels, D width, P {projection}.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.tip_layers import TipConfig, start
from fusionkit_plugins.fusions.clip_align import Alignment
from fusionkit_plugins.fusions.tip import Tip, TipFusionConfig
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from fusionkit.api import (
    Bundle,
    ComponentError,
    Fusion,
    Probes,
    Recorded,
    Release,
    Scalar,
    Shape,
    TensorShape,
    Tokens,
    at_least_single,
    fill_absent,
    mean_valid,
    zero_empty,
)

_FLOOR = 1e-4
"""Added to the probability of each wrong partner, so that easy ones are drawn too."""
_LEAST = 1e-8
"""Added to a probability before its logarithm."""


class TipPretrainConfig(TipConfig):
    """Options of `fusion.tip_pretrain`."""

    projection: PositiveInt = Field(128, examples=[7], description="Width in which the table and the image are "
                                                                   "compared.")
    temperature: PositiveFloat = Field(0.1, description="Divisor of the similarities.")
    weight: NonNegativeFloat = Field(1 / 3, description="Weight of each of the three losses.")


class TipPretrain(nn.Module):
    """The tokens of `fusion.tip`, and three losses: contrast, matching and reconstruction.

    `loss_itc`: which table belongs to an image, and the reverse, by the summary of the table's `changed` view and the
    mean of the image. `loss_itm`: whether a table and an image belong together, by the first token, for each true pair,
    each image with a wrong table and each table with a wrong image; a wrong partner is drawn with a probability in
    proportion to softmax(similarities) + 1e-4, in evaluation the most probable is taken. `loss_tr`: the mean of
    -log(p + 1e-8) over hidden categories, p by one softmax over all categories of all columns, and of the squared error
    over hidden numbers, added and halved. A cell is hidden that `row` has and `hidden` has not.

    Shapes: `masked` and `changed` (B, t, D) of `encoder.tip_table`, `image` (B, c, ...) or (B, k, c), `row` and
    `hidden` (B, t - 1, 2 + S) of `encoder.tip_cells`; gives `tokens` (B, t, D) and the losses, (). Costs those of
    `fusion.tip`, (D + c + 2) P for the projections and (D + 1) (S + 3) for what is told of tokens.

    Missing inputs: cases without `row` or `image` are not compared, and fewer than two others give 0; nothing is told
    of cells that a case does not have. The rest as `fusion.tip`.

    Raises: ComponentError if the heads do not divide the width, or the views are not of one table.
    """

    def __init__(self, config: TipPretrainConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        masked, image, _, row, _ = inputs
        if masked.positions != row.positions + 1:
            raise ComponentError(f"'masked' has {masked.positions} tokens, and 'row' has {row.positions} columns",
                                 why="a table has one token more than columns",
                                 fix="give tokens of `encoder.tip_table` and cells of `encoder.tip_cells` of one table")
        shared = {name: getattr(config, name) for name in TipConfig.model_fields}
        self.encoder = Tip(TipFusionConfig(**shared, output="tokens"), [masked, image])
        self.near_table = nn.Linear(masked.width, config.projection)
        self.near_image = nn.Linear(image.width, config.projection)
        self.align = Alignment(config.temperature, 1 / config.temperature, learned=False)
        self.matches = nn.Linear(masked.width, 2)
        self.number = nn.Linear(masked.width, 1)
        self.category = nn.Linear(masked.width, row.width - 2) if row.width > 2 else None
        self.temperature, self.weight = config.temperature, config.weight
        start(self)

    def forward(self, masked: Tensor, image: Tensor, changed: Tensor, row: Tensor, hidden: Tensor, *,
                present: Tensor | None = None, valid: Sequence[Tensor | None] | None = None
                ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The tokens and the losses."""
        changed, row, hidden = fill_absent([changed, row, hidden], None if present is None else present[:, 2:])
        of_pair = None if present is None else present[:, :2]
        table_BtD, image_Bkc = self.encoder.streams(masked, image, of_pair, valid)
        asked_BkD, there_Bk = self.encoder.asked(image_Bkc, of_pair, valid)
        x_BtD = self.encoder.refined(table_BtD, asked_BkD, there_Bk)
        both_B = self._both(present, masked)
        near_table, near_image = self.near_table(changed[:, 0]), self.near_image(mean_valid(image_Bkc, there_Bk))
        contrast = self.align(torch.stack([both_B, both_B], 1), near_image, near_table)
        partners = self.partners(near_image, near_table, both_B)
        matching = self._matching(x_BtD, table_BtD, (asked_BkD, there_Bk), partners)
        rebuilt = reconstruction(self.number(x_BtD[:, 1:]).squeeze(2),
                                 None if self.category is None else self.category(x_BtD[:, 1:]), row, hidden)
        losses = [(self.weight * loss).to(x_BtD.dtype) for loss in (contrast, matching, rebuilt)]
        return zero_empty(x_BtD, of_pair), losses[0], losses[1], losses[2]

    @staticmethod
    def _both(present: Tensor | None, like: Tensor) -> Tensor:
        """Which cases have a table and an image, (B,); one whose every cell is hidden has a table."""
        if present is None:
            return torch.ones(like.shape[0], dtype=torch.bool, device=like.device)
        return present[:, :4].all(1)

    def partners(self, near_image: Tensor, near_table: Tensor, both_B: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The probabilities of wrong tables for each image and of wrong images for each table, (B, B) each."""
        one, other = (F.normalize(at_least_single(x.detach()), dim=1) for x in (near_image, near_table))
        itself_BB = torch.eye(one.shape[0], dtype=torch.bool, device=one.device)
        there_BB = torch.ones_like(itself_BB) if both_B is None else both_B.expand_as(itself_BB)
        scores_BB = one @ other.T / self.temperature
        return _wrong(scores_BB, there_BB, itself_BB), _wrong(scores_BB.T, there_BB, itself_BB)

    def _matching(self, x_BtD: Tensor, table_BtD: Tensor, image: tuple[Tensor, Tensor], wrong: tuple[Tensor, Tensor]
                  ) -> Tensor:
        asked_BkD, there_Bk = image
        tables_B, images_B = (self._drawn(each) for each in wrong)
        # One pass for each half: wrong tables beside each image, wrong images beside each table.
        far = self.encoder.refined(
            torch.cat([table_BtD.index_select(0, tables_B), table_BtD]),
            torch.cat([asked_BkD, asked_BkD.index_select(0, images_B)]),
            torch.cat([there_Bk, there_Bk.index_select(0, images_B)]))
        paired_B = wrong[0].sum(1) > 0
        belong, apart = (-at_least_single(self.matches(tokens)).log_softmax(1)[:, place]
                         for tokens, place in ((x_BtD[:, 0], 1), (far[:, 0], 0)))
        losses = torch.cat([belong, apart]).where(paired_B.repeat(3), 0.0)
        return losses.sum() / (3 * paired_B.sum()).clamp(min=1)

    def _drawn(self, share_BB: Tensor) -> Tensor:
        if not self.training:
            return share_BB.argmax(1)
        # The first of exponential clocks with these rates: a draw that no device waits for.
        times_BB = torch.empty_like(share_BB).exponential_().clamp(min=torch.finfo(share_BB.dtype).tiny)
        return (share_BB / times_BB).argmax(1)


def _wrong(scores_BB: Tensor, there_BB: Tensor, itself_BB: Tensor) -> Tensor:
    """Zeros where there is no other case, or where the case itself is no pair."""
    kept_BB = there_BB | itself_BB
    share_BB = (scores_BB.where(kept_BB, float("-inf")).softmax(1) + _FLOOR).where(
        there_BB & there_BB.T & ~itself_BB, 0.0)
    return share_BB / share_BB.sum(1, keepdim=True).clamp(min=torch.finfo(share_BB.dtype).tiny)


def reconstruction(numbers_BC: Tensor, scores_BCS: Tensor | None, row_BCs: Tensor, hidden_BCs: Tensor) -> Tensor:
    """The loss of what is told of hidden cells, 0 for a kind without any: half of categories and half of numbers.

    Shapes: (B, C), (B, C, S) or None, and cells (B, C, 2 + S); gives ().
    """
    numbers_BC, row_BCs = at_least_single(numbers_BC), row_BCs.to(at_least_single(numbers_BC).dtype)
    asked_BC = (row_BCs[:, :, 1] > 0) & (hidden_BCs[:, :, 1] == 0)
    errors_BC = (numbers_BC - row_BCs[:, :, 0]).square().where(asked_BC, 0.0)
    loss = errors_BC.sum() / asked_BC.sum().clamp(min=1)
    if scores_BCS is not None:
        is_BCS = row_BCs[:, :, 2:]
        asked_BC = (is_BCS.sum(2) > 0) & (hidden_BCs[:, :, 2:].sum(2) == 0)
        share_BC = (at_least_single(scores_BCS).softmax(2) * is_BCS).sum(2)
        losses_BC = -(share_BC + _LEAST).log().where(asked_BC, 0.0)
        loss = loss + losses_BC.sum() / asked_BC.sum().clamp(min=1)
    return loss / 2


def _output(config: TipPretrainConfig, inputs: Sequence[TensorShape]) -> Shape:
    return Bundle((("tokens", Tokens(inputs[0].sizes)),
                   *((f"loss_{name}", Scalar(())) for name in ("itc", "itm", "tr"))))


def _sizes(inputs: Sequence[Sequence[int]], meta: Mapping[str, Any]) -> list[list[int]]:
    """Any that fit: what is recorded of the losses has no parameters."""
    return [[3, 8], [5, 2], [3, 8], [2, 3], [2, 3]]


def _replay(module: TipPretrain, inputs: Sequence[Tensor], case: Recorded) -> Mapping[str, Tensor]:
    """Partners of projections; or the reconstruction, where their categories stand first and count from 0."""
    if "targets" not in case.arrays:
        tables, images = module.partners(*inputs)
        return {"table_for_image": tables, "image_for_table": images}
    scores_BkS, numbers_Bn1 = inputs
    sizes, targets = case.meta["constructor"]["category_counts"], case.arrays["targets"]
    codes, total = len(sizes), sum(sizes)
    rows = [F.one_hot(targets[:, place].long() + sum(sizes[:place]), total) for place in range(codes)]
    row = targets.new_zeros(*targets.shape, 2 + total)
    row[:, codes:, 0], row[:, codes:, 1] = targets[:, codes:], 1.0
    for place, one in enumerate(rows):
        row[:, place, 2:] = one.to(row.dtype)
    told = F.pad(numbers_Bn1.squeeze(2), [codes, 0]), F.pad(scores_BkS, [0, 0, 0, targets.shape[1] - codes])
    return {"loss": reconstruction(*told, row, row.where(~case.arrays["mask"].bool().unsqueeze(2), 0.0))}


component = Fusion(
    "tip_pretrain", TipPretrainConfig, TipPretrain,
    rule="masked: B t d, image: B _ _... or B [_] _, changed: B t d, row: B n c, hidden: B n c", output=_output,
    absent="drop", category="auxiliary loss", paper="arXiv:2407.07582",
    exceptions={"gradients: input:hidden": "only which cells it has not is read"},
    probes=Probes(sizes=[((4, 8), (5, 2, 3), (4, 8), (3, 6), (3, 6)), ((3, 8), (7, 5), (3, 8), (2, 2), (2, 2))]),
    reference={"release": Release(names={}, sizes=_sizes, replay=_replay, options={"heads": 2, "layers": 1})})
