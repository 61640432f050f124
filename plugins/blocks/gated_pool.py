"""Pooling of items by scores of a small gated network. Contains no component."""

# Axes: B batch, n items, d width of an item, h hidden features.

from __future__ import annotations

from torch import Tensor, nn

from fusionkit.api import softmax_present


class GatedScores(nn.Module):
    """Items weighted by w, the softmax over the valid i of `u (tanh(V x_i + b) * sigmoid(U x_i + c))`.

    Source: Ilse, Tomczak and Welling 2018, arXiv 1802.04712, eq. 9; without `gated` eq. 8, `u tanh(V x_i + b)`.
    The authors' code adds a learned number to all scores, which has no effect on their softmax; it is left out here.

    Costs 2 (d h + h) + h.
    """

    def __init__(self, width: int, hidden: int, gated: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, hidden)
        self.gate = nn.Linear(width, hidden) if gated else None
        self.score = nn.Linear(hidden, 1, bias=False)
        self.drop_hidden = nn.Dropout(dropout)

    def scores(self, items_Bnd: Tensor) -> Tensor:
        """The score of each item, before the softmax: (B, n)."""
        hidden = self.drop_hidden(self.hidden(items_Bnd).tanh())
        if self.gate is not None:
            hidden = hidden * self.drop_hidden(self.gate(items_Bnd).sigmoid())
        scores: Tensor = self.score(hidden).squeeze(2)
        return scores

    def pooled(self, items_Bnd: Tensor, valid_Bn: Tensor | None) -> tuple[Tensor, Tensor]:
        """The weighted mean (B, d), zeros where nothing is valid, and the weights (B, n)."""
        weights_Bn = softmax_present(self.scores(items_Bnd), valid_Bn)
        return (weights_Bn.unsqueeze(2) * items_Bnd).sum(1), weights_Bn


class GatedPool(GatedScores):
    """The weighted mean alone.

    Shapes: (B, n, d) and (B, n), True = valid, or None; gives (B, d), zeros where nothing is valid.
    """

    def forward(self, items_Bnd: Tensor, valid_Bn: Tensor | None = None) -> Tensor:
        """The weighted mean."""
        return self.pooled(items_Bnd, valid_Bn)[0]
