"""The check of optimisers: they repeat, continue from a saved state bit for bit, and leave alone what has no gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fusionkit.components.config import Config
from fusionkit.components.optimiser import Optimiser
from fusionkit.errors import UserError
from fusionkit.testing.faults import Fault
from fusionkit.training.optimiser_state import put_back_state, state_tensors

_RATE, _DECAY, _STEPS, _SAVED = 1e-2, 0.1, 6, 3
_SETTINGS: Mapping[str, Any] = {"momentum": 0.9}
_SIZES = {"matrix": (6, 5), "filters": (4, 3, 3, 3), "bias": (5,), "scalar": (), "idle": (3,)}
"""The weights of a run; `idle` never gets a gradient."""


def optimiser(component: Optimiser, config: Config) -> Fault | None:
    """What is wrong with an optimiser under some options."""
    weights = _weights()
    made = _make(component, config, weights)
    if not isinstance(made, Optimizer):
        return Fault(f"it gives a {type(made).__name__}", "give a torch.optim.Optimizer")
    placed = [parameter for group in made.param_groups for parameter in group["params"]]
    if len(made.param_groups) != 2 or {id(parameter) for parameter in placed} != set(map(id, weights.values())):
        return Fault("it does not keep the groups that it is given", "pass them to the constructor of Optimizer")
    wanted = [_DECAY, 0.0]
    if [group["weight_decay"] for group in made.param_groups] != wanted:
        return Fault("its groups lose their weight decay", "take the weight decay of each group from the group")
    return _runs(component, config)


def _runs(component: Optimiser, config: Config) -> Fault | None:
    before, first = _weights(), _run(component, config)
    still = [name for name in _SIZES if name != "idle" and torch.equal(first[name], before[name])]
    if still:
        return Fault(f"{_STEPS} steps do not change {', '.join(still)}", "change every weight that has a gradient")
    if not torch.equal(first["idle"], before["idle"]):
        return Fault("it changes weights without a gradient", "skip parameters whose grad is None")
    if not _equal(first, _run(component, config)):
        return Fault("two runs from the same seeds differ", "draw random numbers from torch only, inside step")
    if _equal(first, _run(component, config, rate=0.1 * _RATE)):
        return Fault("the learning rate changes nothing", "take the rate of each group from group['lr'] at each step")
    try:
        resumed = _run(component, config, saved=_SAVED)
    except UserError as error:
        return Fault(error.diagnostics[0].render().replace("\n", " "), "keep tensors, numbers and lists of these")
    return None if _equal(first, resumed) else Fault(
        "a run that is saved and resumed differs from one that is not",
        "keep everything that a step leaves behind in self.state or in the groups")


def _weights() -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return {name: nn.Parameter(torch.randn(size, generator=generator)) for name, size in _SIZES.items()}


def _make(component: Optimiser, config: Config, weights: Mapping[str, nn.Parameter]) -> Any:
    large = [parameter for parameter in weights.values() if parameter.dim() > 1]
    small = [parameter for parameter in weights.values() if parameter.dim() <= 1]
    groups = [{"params": large, "lr": _RATE, "weight_decay": _DECAY}, {"params": small, "lr": _RATE,
                                                                       "weight_decay": 0.0}]
    return component.module(groups, config, **{name: _SETTINGS[name] for name in component.takes})


def _run(component: Optimiser, config: Config, *, saved: int | None = None, rate: float = _RATE) -> dict[str, Tensor]:
    """The weights after some steps; before step `saved` the optimiser is made anew from its saved state."""
    weights = _weights()
    made = _make(component, config, weights)
    gradients = torch.Generator().manual_seed(1)
    for step in range(_STEPS):
        if step == saved:
            kept = state_tensors(weights.items(), made)
            made = _make(component, config, weights)
            put_back_state(weights, made, kept)
        for name, parameter in weights.items():
            if name != "idle":
                parameter.grad = torch.randn(parameter.shape, generator=gradients)
        for group in made.param_groups:
            group["lr"] = rate * (1 - step / (2 * _STEPS))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(step)
            made.step()
    return {name: parameter.detach().clone() for name, parameter in weights.items()}


def _equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())
