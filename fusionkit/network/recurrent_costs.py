"""Torch's recurrent layers on the meta device: a few steps are run there, and the others cost the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_LAYERS = frozenset({torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu})
_STEPS = 2


class FewSteps(TorchFunctionMode):
    """Within, a recurrent layer on the meta device runs over few steps and gives a result of the length that was asked.

    On that device torch takes a layer apart in Python, some milliseconds a step. `count` gives what has been counted;
    `unseen` is what must be added to each of its numbers: costs are linear in the number of steps.
    """

    def __init__(self, count: Callable[[], tuple[int, ...]]) -> None:
        super().__init__()
        self.count = count
        self.unseen = tuple(0 for _ in count())

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function not in _LAYERS or kwargs or not _plain(args):
            return function(*args, **(kwargs or {}))
        given, axis = args[0], 1 if args[-1] else 0
        length = given.shape[axis]
        if length <= _STEPS + 1:
            return function(*args)
        counts = [self.count()]
        for steps in (_STEPS, _STEPS + 1):
            states, *last = function(given.narrow(axis, 0, steps), *args[1:])
            counts.append(self.count())
        sizes = list(states.shape)
        sizes[axis] = length
        result = torch.empty(sizes, dtype=states.dtype, device=states.device)
        begun, short, longer, made = [*counts, self.count()]
        self.unseen = tuple(
            unseen + (two - one - (one - none)) * (length - _STEPS) - (whole - one)
            for unseen, none, one, two, whole in zip(self.unseen, begun, short, longer, made, strict=True))
        return (result, *last)


def _plain(args: Any) -> bool:
    """Whether these are a batch on the meta device, its start, the weights and seven settings, and nothing packed."""
    return len(args) == 9 and isinstance(args[3], bool) and args[0].ndim == 3 and args[0].device.type == "meta"
