"""GRU: the last state of a gated recurrent unit over the steps of a series, or over tokens.

Source: Cho et al. 2014, Learning Phrase Representations using RNN Encoder-Decoder, arXiv 1406.1078, section 2.3, with
the reset gate behind the matrix, as in torch.
"""
# Axes: B batch, t steps, c channels, w {width}.

from __future__ import annotations

from collections.abc import Sequence

import torch
from fusionkit_plugins.blocks.recurrence import Recurrence, States, features_of_step
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Encoder, TensorShape


class GRUConfig(Config):
    """Options of `encoder.gru`."""

    width: PositiveInt = Field(64, description="Width of the result.")
    layers: PositiveInt = Field(1, le=100, description="Number of layers, one on the other.")


class GRU(Recurrence):
    """The state of the top layer after the last real step; zeros for a case without a step.

    Of a series each step is its values, zeros where nothing was observed, and 1 or 0 for observed or not. Times are
    not read: `encoder.grud` reads them.

    Shapes: series (B, t, c), or tokens (B, t, c); gives (B, w). Padding may stand anywhere: real steps are moved to the
    front in their order. Missing rows are skipped. Costs 3 w (c + w + 2) a layer.
    """

    def __init__(self, config: GRUConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(nn.GRU(features_of_step(inputs[0]), config.width, config.layers, batch_first=True))

    def states(self, steps_Btc: Tensor, start: Tensor, weights: list[Tensor]) -> Tensor:
        """The states of the top layer."""
        # Of the arguments behind the weights: biases, layers, dropout, training, both directions, batch first.
        return torch.gru(steps_Btc, start, weights, True, self.count, 0.0, self.training, False, True)[0]

    def after(self, given_Bg: Tensor, hidden_Bg: Tensor, states: States) -> States:
        """The state after a step."""
        (reset, update, new), (past_reset, past_update, past_new) = given_Bg.chunk(3, 1), hidden_Bg.chunk(3, 1)
        kept_Bw = torch.sigmoid(update + past_update)
        new_Bw = torch.tanh(new + torch.sigmoid(reset + past_reset) * past_new)
        return ((1 - kept_Bw) * new_Bw + kept_Bw * states[0],)


component = Encoder("gru", GRUConfig, GRU, rule="series: B series[t] _ -> B {width} | series: B [t] _ -> B {width}",
                    category="series", paper="arXiv:1406.1078")
