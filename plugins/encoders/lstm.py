"""LSTM: the last state of a long short-term memory over the steps of a series, or over tokens.

Source: Hochreiter, Schmidhuber 1997, Long Short-Term Memory, doi 10.1162/neco.1997.9.8.1735; as the encoder of an
hourly record: Hayat, Geras, Shamout 2022, MedFuse, arXiv 2207.07027.
"""
# Axes: B batch, t steps, c channels, w {width}.

from __future__ import annotations

from collections.abc import Sequence

import torch
from fusionkit_plugins.blocks.recurrence import Recurrence, States, features_of_step
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Encoder, TensorShape


class LSTMConfig(Config):
    """Options of `encoder.lstm`."""

    width: PositiveInt = Field(64, description="Width of the result.")
    layers: PositiveInt = Field(1, le=100, description="Number of layers, one on the other.")


class LSTM(Recurrence):
    """The state of the top layer after the last real step; zeros for a case without a step.

    Of a series each step is its values, zeros where nothing was observed, and 1 or 0 for observed or not. Times are
    not read: they suit steps of about equal length.

    Shapes: series (B, t, c), or tokens (B, t, c); gives (B, w). Padding may stand anywhere: real steps are moved to the
    front in their order. Missing rows are skipped. Costs 4 w (c + w + 2) a layer.
    """

    kept = 2

    def __init__(self, config: LSTMConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__(nn.LSTM(features_of_step(inputs[0]), config.width, config.layers, batch_first=True))

    def states(self, steps_Btc: Tensor, start: Tensor, weights: list[Tensor]) -> Tensor:
        """The states of the top layer."""
        # Of the arguments behind the weights: biases, layers, dropout, training, both directions, batch first.
        return torch.lstm(steps_Btc, (start, start), weights, True, self.count, 0.0, self.training, False, True)[0]

    def after(self, given_Bg: Tensor, hidden_Bg: Tensor, states: States) -> States:
        """State and memory after a step."""
        take, keep, new, show = (given_Bg + hidden_Bg).chunk(4, 1)
        memory_Bw = torch.sigmoid(keep) * states[1] + torch.sigmoid(take) * torch.tanh(new)
        return torch.sigmoid(show) * torch.tanh(memory_Bw), memory_Bw


component = Encoder("lstm", LSTMConfig, LSTM, rule="series: B series[t] _ -> B {width} | series: B [t] _ -> B {width}",
                    category="series", paper="doi:10.1162/neco.1997.9.8.1735",
                    exceptions={"variance": "gates and tanh shrink what they are given, as in every LSTM"})
