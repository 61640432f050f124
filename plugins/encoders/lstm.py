"""LSTM: the last state of a long short-term memory over the steps of a series, or over tokens.

Source: Hochreiter, Schmidhuber 1997, Long Short-Term Memory, doi 10.1162/neco.1997.9.8.1735; as the encoder of an
hourly record: Hayat, Geras, Shamout 2022, MedFuse, arXiv 2207.07027.
"""
# Axes: B batch, t steps, c channels, w {width}.

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Encoder, Series, TensorShape


_PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class LSTMConfig(Config):
    """Options of `encoder.lstm`."""

    width: PositiveInt = Field(64, description="Width of the result.")
    layers: PositiveInt = Field(1, le=100, description="Number of layers, one on the other.")


class LSTM(nn.Module):
    """The state of the top layer after the last real step; zeros for a case without a step.

    Of a series each step is its values, zeros where nothing was observed, and 1 or 0 for observed or not. Times are
    not read: they suit steps of about equal length.

    Shapes: series (B, t, c), or tokens (B, t, c); gives (B, w). Padding may stand anywhere: real steps are moved to the
    front in their order. Missing rows are skipped.
    """

    def __init__(self, config: LSTMConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        features = inputs[0].width * (2 if inputs[0].layout == "series" else 1)
        self.width, self.count = config.width, config.layers
        made = nn.LSTM(features, config.width, config.layers, batch_first=True)
        # Its weights alone: the module lists them a second time, which neither export nor compilation takes.
        self.weights = nn.ParameterDict(dict(made.named_parameters()))
        self.names = [f"{part}_l{layer}" for layer in range(config.layers) for part in _PARTS]

    def forward(self, series: Series | Tensor, valid: Tensor | None = None) -> Tensor:
        """The last state."""
        steps_Btc = series if isinstance(series, Tensor) else torch.cat(
            [series.values, series.observed.to(series.values.dtype)], 2)
        if valid is None:
            return self._states(steps_Btc)[:, -1]
        order_Bt = torch.argsort((~valid).to(torch.int64), dim=1, stable=True)
        states_Btw = self._states(steps_Btc.gather(1, order_Bt.unsqueeze(2).expand_as(steps_Btc)))
        last_B11 = (valid.sum(1) - 1).clamp(min=0)[:, None, None]
        last_Bw = states_Btw.gather(1, last_B11.expand(-1, 1, states_Btw.shape[2])).squeeze(1)
        return last_Bw.where(valid.any(1, keepdim=True), 0.0)

    def _states(self, steps_Btc: Tensor) -> Tensor:
        """The states of the top layer, which begin at zeros."""
        weights = [self.weights[name] for name in self.names]
        start = steps_Btc.new_zeros(self.count, steps_Btc.shape[0], self.width)
        # Of the arguments behind the weights: biases, layers, dropout, training, both directions, batch first.
        return torch.lstm(steps_Btc, (start, start), weights, True, self.count, 0.0, self.training, False, True)[0]


component = Encoder("lstm", LSTMConfig, LSTM, rule="series: B series[t] _ -> B {width} | series: B [t] _ -> B {width}",
                    category="series", paper="doi:10.1162/neco.1997.9.8.1735",
                    exceptions={"variance": "gates and tanh shrink what they are given, as in every LSTM"})
