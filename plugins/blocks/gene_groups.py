"""Groups of numbers, such as the genes of pathways, as tokens beside a bag of patches. Contains no component."""

# Axes: B batch, c numbers of a group, n tokens of one input, G tokens of all groups, d width of the tokens.

from __future__ import annotations

from collections.abc import Sequence

import torch
from fusionkit_plugins.blocks.transformer import valid_keys
from torch import Tensor, nn

from fusionkit.api import TensorShape, fill_padding

BAG_AND_GROUPS = "bag: B [_] _, *groups: B _ or B [_] _"
"""The left side of a rule for a bag of tokens and groups of numbers, each a vector, or tokens of one group each."""


class GroupTokens(nn.Module):
    """A self-normalising network for each group: two linear layers with ELU and alpha dropout.

    Source: Klambauer et al. 2017, Self-Normalizing Neural Networks, arXiv 1706.02515, with ELU as in MCAT and SurvPath.

    Shapes: for each group (B, c) or (B, n, c), and (B, n) or None; `present` (B, groups) or None. Gives (B, G, d) and
    (B, G), True = of a present group and no padding. Costs c d + d^2 + 2 d for each group.
    """

    def __init__(self, shapes: Sequence[TensorShape], width: int, dropout: float) -> None:
        super().__init__()
        self.networks = nn.ModuleList(nn.Sequential(
            nn.Linear(shape.width, width), nn.ELU(), nn.AlphaDropout(dropout),
            nn.Linear(width, width), nn.ELU(), nn.AlphaDropout(dropout)) for shape in shapes)

    def forward(self, groups: Sequence[Tensor], present: Tensor | None, valid: Sequence[Tensor | None] | None
                ) -> tuple[Tensor, Tensor]:
        """The tokens, and which of them are there."""
        masks = valid if valid is not None else [None] * len(groups)
        rows = [fill_padding(x if x.dim() == 3 else x.unsqueeze(1), mask)
                for x, mask in zip(groups, masks, strict=True)]
        tokens = [network(x) for network, x in zip(self.networks, rows, strict=True)]
        return torch.cat(tokens, 1), valid_keys(rows, present, valid)
