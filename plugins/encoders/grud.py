"""GRU-D: a recurrent network that lets what was last measured, and its own state, decay with the time since then.

Source: Che et al. 2018, Recurrent Neural Networks for Multivariate Time Series with Missing Values, doi
10.1038/s41598-018-24271-9, equations 3 to 6 and 10 to 14.
"""
# Axes: B batch, t steps, c channels, w {width}.

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.event_times import HOURS
from fusionkit_plugins.blocks.recurrence import (
    States,
    in_order,
    last_state,
    order_of,
    over_steps,
    places_of_steps,
    so_far,
)
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from fusionkit.api import Config, Encoder, MaskedTokens, Series, Shape, TensorShape, Vector

_START = 0.01
"""The decay by hour at first: with 0 the decays would have no gradient, since relu(0) has none."""


class GRUDConfig(Config):
    """Options of `encoder.grud`."""

    width: PositiveInt = Field(64, examples=[6], description="Width of the state.")
    output: Literal["vector", "tokens"] = Field("vector", description="vector: the state after the last step; tokens: "
                                                                      "that after each, with the mask of the steps.")
    delta_unit: Literal["h", "min", "s", "d"] = Field(
        "h", description="The unit in which the time since a measurement decides the decay; times are in hours.")


class GRUD(nn.Module):
    """A GRU over [x, m], where x is what is observed or g x' + (1 - g) mean, and the state decays from step to step.

    d is the time since a channel was last observed, or since the first step before that, m whether it is observed, x'
    its last value. g = exp(-relu(v d + b)) for each channel, h = exp(-relu(V d + b)) h for the state. The mean is that
    of training cases, 0 after standardising, and so is x' before a channel was observed.

    Shapes: series (B, t, c) in the order of time; gives (B, w), zeros for a case without a step, or (B, t, w) with the
    mask of the steps. Padding may stand anywhere. Missing rows are skipped. It loops over the steps; costs
    3 w (2 c + w + 1) and (c + 1) (w + 2).
    """

    def __init__(self, config: GRUDConfig, inputs: Sequence[TensorShape]) -> None:
        super().__init__()
        channels, self.width = inputs[0].width, config.width
        self.unit, self.pooled = HOURS[config.delta_unit], config.output == "vector"
        start = _START * self.unit
        self.fade, self.fade_bias = nn.Parameter(torch.full((channels,), start)), nn.Parameter(torch.zeros(channels))
        self.forget = nn.Linear(channels, config.width)
        nn.init.constant_(self.forget.weight, start)
        nn.init.zeros_(self.forget.bias)
        # The update gate, the reset gate and the new state, one after the other.
        self.value = nn.Linear(channels, 3 * config.width, bias=False)
        self.missing = nn.Linear(channels, 3 * config.width)
        self.gates = nn.Linear(config.width, 2 * config.width, bias=False)
        self.new = nn.Linear(config.width, config.width, bias=False)

    def forward(self, series: Series, valid: Tensor | None = None) -> Tensor:
        """The last state, or all."""
        if valid is None:
            states_Btw = self._states(*series)
            return states_Btw[:, -1] if self.pooled else states_Btw
        order_Bt = order_of(valid)
        real_Bt1 = valid.unsqueeze(2)
        parts = (series.values.where(real_Bt1, 0.0), series.observed & real_Bt1,
                 series.time.where(valid, 0.0).unsqueeze(2))
        values_Btc, observed_Btc, time_Bt1 = (in_order(part, order_Bt) for part in parts)
        states_Btw = self._states(values_Btc, observed_Btc, time_Bt1.squeeze(2))
        if self.pooled:
            return last_state(states_Btw, valid)
        return in_order(states_Btw, places_of_steps(valid))

    def _states(self, values_Btc: Tensor, observed_Btc: Tensor, time_Bt: Tensor) -> Tensor:
        """The states of all steps; those of real steps depend on none behind them."""
        place_t1 = torch.arange(values_Btc.shape[1], device=values_Btc.device).unsqueeze(1)
        last_Btc = so_far(place_t1.where(observed_Btc, -1))
        # Gathered, not shifted by a slice, whose size a program for any number of steps could not know.
        earlier_Btc = last_Btc.gather(1, (place_t1 - 1).clamp(min=0).expand_as(last_Btc))
        before_Btc = earlier_Btc.where(place_t1 > 0, 0).clamp(min=0)
        now_Btc = time_Bt.unsqueeze(2).expand_as(values_Btc)
        delta_Btc = (now_Btc - now_Btc.gather(1, before_Btc)) / self.unit
        held_Btc = values_Btc.gather(1, last_Btc.clamp(min=0)).where(last_Btc >= 0, 0.0)
        fade_Btc = torch.exp(-F.relu(delta_Btc * self.fade + self.fade_bias))
        read_Btc = values_Btc.where(observed_Btc, fade_Btc * held_Btc)
        forget_Btw = torch.exp(-F.relu(self.forget(delta_Btc)))
        given_Btw3 = self.value(read_Btc) + self.missing(observed_Btc.to(values_Btc.dtype))
        start_Bw = given_Btw3.new_zeros(values_Btc.shape[0], self.width)
        return over_steps(self._after, (start_Bw,), (given_Btw3, forget_Btw))

    def _after(self, states: States, given: States) -> States:
        """The state after a step."""
        given_Bw3, forget_Bw = given
        state_Bw = forget_Bw * states[0]
        gates, new = given_Bw3.split([2 * self.width, self.width], 1)
        update, reset = torch.sigmoid(gates + self.gates(state_Bw)).chunk(2, 1)
        return ((1 - update) * state_Bw + update * torch.tanh(new + self.new(reset * state_Bw)),)


def shape(config: GRUDConfig, inputs: Sequence[TensorShape]) -> Shape:
    """A vector, or a token for each step."""
    series = inputs[0]
    if config.output == "vector":
        return Vector((config.width,))
    return MaskedTokens((series.sizes[0], config.width), series.of if isinstance(series, MaskedTokens) else ())


component = Encoder("grud", GRUDConfig, GRUD, rule="series: B series[t] _", output=shape, category="series",
                    paper="doi:10.1038/s41598-018-24271-9")
