"""Parallel co-attention: two token sequences weight each other through one affinity matrix.

Source: Lu, Yang, Batra and Parikh 2016, Hierarchical Question-Image Co-Attention for Visual Question Answering, arXiv
1606.00061, section 3.3, eq. 3 to 5.
The paper's tokens have one width; here the two widths may differ.
"""
# Axes: B batch, n and m tokens of the two streams, c and d their widths, h {hidden}.

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Fusion, TensorShape, fill_absent, fill_padding, row_mask, softmax_present


class CoattentionConfig(Config):
    """Options of `fusion.coattention`."""

    hidden: PositiveInt = Field(64, description="Hidden features of the layers that score the tokens.")


class Coattention(nn.Module):
    """F = tanh(X W Y^T); H_x = tanh(X W_x + F Y W_y), H_y = tanh(Y W_y + F^T X W_x); weights softmax(H_x u) and
    softmax(H_y v) over the tokens of each; the results are the weighted sums of X and of Y.

    Shapes: X (B, n, c) and Y (B, m, d); gives (B, c) and (B, d). Costs c d + (c + d) h + 2 h, no biases; for one width
    that is d^2 + 2 d h + 2 h.

    Padding of masked tokens has no affinity and no weight.

    Missing inputs: the affinity to a missing one is zero, so that the other is weighted by itself only; the result of a
    missing input is zeros.
    """

    def __init__(self, config: CoattentionConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        first, second = (shape.width for shape in inputs)
        self.affinity = nn.Linear(second, first, bias=False)
        self.hide_first = nn.Linear(first, config.hidden, bias=False)
        self.hide_second = nn.Linear(second, config.hidden, bias=False)
        self.score_first = nn.Linear(config.hidden, 1, bias=False)
        self.score_second = nn.Linear(config.hidden, 1, bias=False)

    def forward(self, first: Tensor, second: Tensor, present: Tensor | None = None,
                valid: Sequence[Tensor | None] | None = None) -> tuple[Tensor, Tensor]:
        """Both inputs, each as one vector."""
        x_Bnc, y_Bmd = fill_absent([first, second], present)
        valid_Bn, valid_Bm = (None, None) if valid is None else valid
        # Without biases, tokens of zeros add nothing to the affinity of others.
        x_Bnc, y_Bmd = fill_padding(x_Bnc, valid_Bn), fill_padding(y_Bmd, valid_Bm)
        affinity_Bnm = (x_Bnc @ self.affinity(y_Bmd).transpose(1, 2)).tanh()
        x_Bnh, y_Bmh = self.hide_first(x_Bnc), self.hide_second(y_Bmd)
        hidden_Bnh = (x_Bnh + affinity_Bnm @ y_Bmh).tanh()
        hidden_Bmh = (y_Bmh + affinity_Bnm.transpose(1, 2) @ x_Bnh).tanh()
        seen = (softmax_present(self.score_first(hidden_Bnh), valid_Bn) * x_Bnc).sum(1), \
               (softmax_present(self.score_second(hidden_Bmh), valid_Bm) * y_Bmd).sum(1)
        if present is None:
            return seen
        one, other = (x.where(row_mask(present[:, place], x), 0.0) for place, x in enumerate(seen))
        return one, other


component = Fusion("coattention", CoattentionConfig, Coattention, absent="identity", category="attention",
                   rule="first: B [_] c, second: B [_] d -> first: B c, second: B d", paper="arXiv:1606.00061",
                   claims=("onnx",))
