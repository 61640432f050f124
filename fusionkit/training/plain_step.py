"""Steps of optimisers in a process that compiles nothing, without the import of PyTorch's compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

from fusionkit.network.uncompiled import has_compiler


def change_weights(optimiser: Any) -> None:
    """A step of the optimiser, after which the weights have no gradients; to the bit what its own methods do."""
    step = None if has_compiler() else _plain_step(optimiser)
    if step is None:
        optimiser.step()
        optimiser.zero_grad()
        return
    with torch.set_grad_enabled(optimiser.defaults["differentiable"]):
        step(optimiser)
    for group in optimiser.param_groups:
        for weight in group["params"]:
            weight.grad = None


def _plain_step(optimiser: Any) -> Callable[[Any], Any] | None:
    """PyTorch's step itself, inside what sets gradients and calls hooks; None where that may do more."""
    kind = type(optimiser)
    if not kind.__module__.startswith("torch.optim.") or "step" in vars(optimiser) or _has_hooks(optimiser):
        return None
    if kind.zero_grad is not Optimizer.zero_grad or "differentiable" not in optimiser.defaults:
        return None
    hooked = kind.step
    sets_gradients = getattr(hooked, "__wrapped__", None) if getattr(hooked, "hooked", False) else hooked
    if getattr(getattr(sets_gradients, "__code__", None), "co_name", "") != "_use_grad":
        return None
    step: Callable[[Any], Any] | None = getattr(sets_gradients, "__wrapped__", None)
    return step


def _has_hooks(optimiser: Any) -> bool:
    from torch.optim import optimizer as module

    return any(getattr(place, name, None) for place, names in (
        (optimiser, ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")),
        (module, ("_global_optimizer_pre_hooks", "_global_optimizer_post_hooks"))) for name in names)
