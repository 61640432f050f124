"""mTAND: a series as tokens at fixed times, of which each attends to what each channel has near its time.

Source: Shukla, Marlin 2021, Multi-Time Attention Networks for Irregularly Sampled Time Series, arXiv 2101.10318,
section 3.1.
"""
# Axes: B batch, t steps, c channels, r {reference} times, e {time_width}, h heads, w {width}.

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
from fusionkit_plugins.blocks.masked_softmax import masked_softmax
from fusionkit_plugins.blocks.transformer import check_heads
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Encoder, Series, TensorShape


class MTANDConfig(Config):
    """Options of `encoder.mtand`."""

    width: PositiveInt = Field(64, description="Width of a token.")
    reference: PositiveInt = Field(16, description="Number of times at which there is a token, from 0 to 'span' at "
                                                   "equal steps.")
    span: PositiveFloat = Field(48.0, description="The hours that the times cover, by which they are divided.")
    time_width: PositiveInt = Field(16, ge=2, examples=[6], description="Width of the code of a time.")
    heads: PositiveInt = Field(2, description="Number of attention heads, which must divide 'time_width'.")


class MTAND(nn.Module):
    """For each reference time and channel a mean of the channel's values, weighed by attention from time to time.

    phi(t) = [linear(t), sin(periodic(t))] is the code of a time, q = W phi(r), k = W phi(t), and the weights of a
    channel softmax(q k / sqrt(e / h)) over the steps at which it was observed. The means of all heads, and 1 or 0 for
    channels that were ever observed, are projected to the width.

    Shapes: series (B, t, c), times in hours from 0; gives (B, r, w). A channel that was never observed has means of 0.
    Missing rows are skipped. Memory h r t c; costs 2 e^2 + 4 e and (2 h c + 1) w.

    Raises: ComponentError if the heads do not divide the width of the code.
    """

    references: Tensor

    def __init__(self, config: MTANDConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        check_heads(config.time_width, config.heads)
        self.heads, self.span = config.heads, config.span
        self.linear, self.periodic = nn.Linear(1, 1), nn.Linear(1, config.time_width - 1)
        self.query, self.key = (nn.Linear(config.time_width, config.time_width) for _ in range(2))
        self.join = nn.Linear(2 * inputs[0].width * config.heads, config.width)
        self.register_buffer("references", torch.linspace(0, 1, config.reference), persistent=False)

    def forward(self, series: Series, valid: Tensor | None = None) -> Tensor:
        """The tokens."""
        observed_Btc, time_Bt = series.observed, series.time
        if valid is not None:
            observed_Btc, time_Bt = observed_Btc & valid.unsqueeze(2), time_Bt.where(valid, 0.0)
        values_Btc = series.values.where(observed_Btc, 0.0)
        query_hre = self._heads(self.query, self.references.to(time_Bt.dtype))
        key_Bhte = self._heads(self.key, time_Bt / self.span)
        scores_Bhrt = query_hre @ key_Bhte.transpose(2, 3) / sqrt(key_Bhte.shape[3])
        weights_Bhrct = masked_softmax(scores_Bhrt.unsqueeze(3), observed_Btc.transpose(1, 2)[:, None, None])
        means_Brhc = torch.einsum("bhrct,btc->brhc", weights_Bhrct, values_Btc.to(weights_Bhrct.dtype))
        ever_Brhc = observed_Btc.any(1)[:, None, None].to(means_Brhc.dtype).expand_as(means_Brhc)
        tokens: Tensor = self.join(torch.cat([means_Brhc, ever_Brhc], 3).flatten(2))
        return tokens

    def _heads(self, layer: nn.Linear, time_t: Tensor) -> Tensor:
        """The codes of times, projected and divided among the heads: (..., h, t, e / h)."""
        time_t1 = time_t.unsqueeze(-1)
        code_te = torch.cat([self.linear(time_t1), torch.sin(self.periodic(time_t1))], -1)
        found: Tensor = layer(code_te).unflatten(-1, (self.heads, -1)).transpose(-2, -3)
        return found


component = Encoder("mtand", MTANDConfig, MTAND, rule="series: B series[t] _ -> B {reference} {width}",
                    category="series", paper="arXiv:2101.10318")
