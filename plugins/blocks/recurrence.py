"""Recurrent networks over steps that may be padded, and the order in which they read them. Contains no component."""
# Axes: B batch, t steps, c features of a step, w width of a state.

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from warnings import catch_warnings, filterwarnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionkit.api import Series, TensorShape

_PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
States = tuple[Tensor, ...]
Step = Callable[[States, States], States]
"""From the states and what one step is given, (B, ...) each, to the next states."""


def features_of_step(shape: TensorShape) -> int:
    """How many numbers a step of this input has: of a series its values, and which of them were observed."""
    return shape.width * (2 if shape.layout == "series" else 1)


def steps_of(series: Series | Tensor) -> Tensor:
    """The steps (B, t, c): of a series the values and 1 or 0 for observed or not, tokens as they are."""
    if isinstance(series, Tensor):
        return series
    return torch.cat([series.values, series.observed.to(series.values.dtype)], 2)


def places_of_steps(valid_Bt: Tensor) -> Tensor:
    """Where each step (B, t) stands when the real ones come first, in their order, and the others behind them."""
    # Counted, not sorted: a stable sort cannot be written as ONNX.
    real_Bt, others_Bt = valid_Bt.cumsum(1), (~valid_Bt).cumsum(1)
    return torch.where(valid_Bt, real_Bt, real_Bt[:, -1:] + others_Bt) - 1


def order_of(valid_Bt: Tensor) -> Tensor:
    """The places (B, t) of the steps, the real ones first and in their order."""
    to_Bt = places_of_steps(valid_Bt)
    from_Bt = torch.arange(to_Bt.shape[1], device=to_Bt.device).expand_as(to_Bt)
    return torch.zeros_like(to_Bt).scatter(1, to_Bt, from_Bt)


def in_order(x_Btc: Tensor, order_Bt: Tensor) -> Tensor:
    """The steps in an order."""
    return x_Btc.gather(1, order_Bt.unsqueeze(2).expand_as(x_Btc))


def last_state(states_Btw: Tensor, valid_Bt: Tensor) -> Tensor:
    """The state after the last real step (B, w), of steps of which the real ones are first; zeros without one."""
    last_B11 = (valid_Bt.sum(1) - 1).clamp(min=0)[:, None, None]
    last_Bw = states_Btw.gather(1, last_B11.expand(-1, 1, states_Btw.shape[2])).squeeze(1)
    return last_Bw.where(valid_Bt.any(1, keepdim=True), 0.0)


def over_steps(step: Step, start: States, given_Bt: Sequence[Tensor]) -> Tensor:
    """The first of the states after each step, (B, t, w), from `start` on; each of `given_Bt` is (B, t, ...).

    A loop. `torch.export` would write it out for one number of steps; there it is PyTorch's scan, which takes any.
    """
    if torch.compiler.is_exporting():
        from torch._higher_order_ops.scan import scan

        def scanned(states: States, given: States) -> tuple[States, Tensor]:
            made = step(states, given)
            return made, made[0].clone()  # scan takes no output that is a state as well

        with catch_warnings():
            # It looks for gradients of its arguments, and hides PyTorch's warning, but not where that is an error.
            filterwarnings("ignore", "The .grad attribute of a Tensor", UserWarning)
            return scan(scanned, start, tuple(part.transpose(0, 1) for part in given_Bt))[1].transpose(0, 1)
    states, found = start, []
    for given in zip(*(part.unbind(1) for part in given_Bt), strict=True):
        states = step(states, given)
        found.append(states[0])
    return torch.stack(found, 1)


def so_far(x_Btc: Tensor) -> Tensor:
    """The largest of the whole numbers from -1 up to each step, (B, t, c)."""
    if not torch.compiler.is_exporting():
        return x_Btc.cummax(1).values
    # ONNX has no running maximum.
    return over_steps(lambda most, given: (torch.maximum(most[0], given[0]),), (torch.full_like(x_Btc[:, 0], -1),),
                      (x_Btc,))


class Recurrence(nn.Module):
    """The state of the top layer of a recurrent network after the last real step; zeros for a case without a step.

    Abstract: `states` runs the network that `made` is, `after` one step of a layer with `kept` states.
    """

    kept = 1

    def __init__(self, made: nn.RNNBase) -> None:
        super().__init__()
        self.width, self.count = made.hidden_size, made.num_layers
        # Its weights alone: the module lists them a second time, which neither export nor compilation takes.
        self.weights = nn.ParameterDict(dict(made.named_parameters()))
        self.names = [f"{part}_l{layer}" for layer in range(self.count) for part in _PARTS]

    @abstractmethod
    def states(self, steps_Btc: Tensor, start: Tensor, weights: list[Tensor]) -> Tensor:
        """The states (B, t, w) of the top layer, which begin at `start`, (layers, B, w)."""

    @abstractmethod
    def after(self, given_Bg: Tensor, hidden_Bg: Tensor, states: States) -> States:
        """The states after a step, from what the weights make of its input and of the first state; for export."""

    def forward(self, series: Series | Tensor, valid: Tensor | None = None) -> Tensor:
        """The last state."""
        steps_Btc = steps_of(series)
        if valid is None:
            return self._states(steps_Btc)[:, -1]
        order_Bt = order_of(valid)
        return last_state(self._states(in_order(steps_Btc, order_Bt)), valid)

    def _states(self, steps_Btc: Tensor) -> Tensor:
        weights = [self.weights[name] for name in self.names]
        if torch.compiler.is_exporting():
            return self._written_out(steps_Btc.to(weights[0].dtype), weights)
        if steps_Btc.device.type != "cpu":
            return self.states(steps_Btc, self._start(steps_Btc), weights)
        # Not every processor has an LSTM in bfloat16, and torch raises where it is missing.
        with torch.autocast("cpu", enabled=False):
            whole_Btc = steps_Btc.to(weights[0].dtype)
            return self.states(whole_Btc, self._start(whole_Btc), weights)

    def _written_out(self, steps_Btc: Tensor, weights: list[Tensor]) -> Tensor:
        """The same as `states`, step by step."""
        for layer in range(self.count):
            of_input, of_state, bias, state_bias = weights[4 * layer:4 * layer + 4]
            start = tuple(steps_Btc.new_zeros(steps_Btc.shape[0], self.width) for _ in range(self.kept))
            given_Btg = F.linear(steps_Btc, of_input, bias)

            def step(states: States, given: States, of_state: Tensor = of_state, bias: Tensor = state_bias) -> States:
                return self.after(given[0], F.linear(states[0], of_state, bias), states)

            steps_Btc = over_steps(step, start, (given_Btg,))
        return steps_Btc

    def _start(self, steps_Btc: Tensor) -> Tensor:
        return steps_Btc.new_zeros(self.count, steps_Btc.shape[0], self.width)
