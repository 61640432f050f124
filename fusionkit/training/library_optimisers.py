"""The optimisers of torch and timm by name: their constructors' arguments are the options.

A name that both have is torch's; `timm_NAME` is timm's in any case.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

import torch
from torch.optim import Optimizer

from fusionkit.components.config import Config
from fusionkit.components.optimiser import Optimiser
from fusionkit.training.library_components import InLibrary, options_of

_LEFT_OUT = {
    "lbfgs": "it runs the network several times in one step",
    "sparseadam": "it needs sparse gradients, which no component gives",
    "adahessian": "it needs second derivatives, which training does not compute",
}
_OURS = ("params", "lr", "weight_decay", "foreach", "fused", "capturable", "differentiable", "maximize")
"""Arguments that are no options: settings of training give them, or they only say how the same result is computed.

`maximize` would make the loss larger.
"""
_ASCII = {0xB2: "^2", 0x3B2: "beta"}
_MOMENTUM = 0.9
"""The momentum of timm's factory where a constructor has none."""
_BY_LISTS = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)
"""Optimisers that change few weights on the CPU by one call for each operation, where it gives the same bits.

PyTorch does so on GPUs only. Other optimisers round otherwise then.
"""
_FEW = 1 << 20
"""With more weights it would take memory for as many numbers again, and the calls take no time."""


@dataclass(frozen=True, repr=False)
class LibraryOptimiser(InLibrary, Optimiser):
    """An optimiser of an installed library."""

@lru_cache(maxsize=1)
def _of_torch() -> Mapping[str, type[Optimizer]]:
    found = {name.lower(): getattr(torch.optim, name) for name in torch.optim.__all__
             if inspect.isclass(getattr(torch.optim, name))}
    # torch's Muon takes matrices only, and no network is made of these alone; timm's takes weights of any shape.
    return {name: made for name, made in found.items() if name not in ("optimizer", "muon") and name not in _LEFT_OUT}


@lru_cache(maxsize=1)
def _of_timm() -> Mapping[str, Any]:
    timm: Any = import_module("timm.optim")
    infos = {name: timm.get_optimizer_info(name) for name in timm.list_optimizers() if name not in _LEFT_OUT}
    # Where the class is text it belongs to a package that timm imports only when it is asked for.
    return {name: info for name, info in infos.items() if not isinstance(info.opt_class, str)}


def names() -> list[str]:
    """Every name, sorted."""
    timms = _of_timm()
    return sorted({*_of_torch(), *timms, *(f"timm_{name}" for name in timms if name in _of_torch())})


def package_of(name: str) -> str:
    """The package that has the optimiser of a name."""
    return "torch" if name in _of_torch() else "timm"


def why_not(name: str) -> str | None:
    """Why an optimiser of this name in torch or timm cannot be used; None if there is no reason or no optimiser."""
    timm: Any = import_module("timm.optim")
    try:
        made = timm.get_optimizer_info(name).opt_class
    except ValueError:
        return _LEFT_OUT.get(name)
    return f"timm takes it from another package, {made.partition('.')[0]}" if isinstance(made, str) else \
        _LEFT_OUT.get(name)


@lru_cache(maxsize=256)
def find(name: str) -> LibraryOptimiser | None:
    """The optimiser of a name, None if neither torch nor timm has it."""
    made = _of_torch().get(name)
    if made is not None:
        return _declared(name, made, f"torch.optim.{made.__name__}.", {})
    info = _of_timm().get(name.removeprefix("timm_"))
    if info is None:
        return None
    defaults = dict(info.defaults or {})
    if info.has_momentum and not (defaults.get("momentum") or _default(info.opt_class, "momentum")):
        defaults["momentum"] = _MOMENTUM
    about = info.description.translate(_ASCII)
    return _declared(name, info.opt_class, f"timm's {info.name}: {about}.", defaults)


def _default(made: type[Optimizer], argument: str) -> Any:
    return inspect.signature(made).parameters[argument].default


def _declared(name: str, made: Any, about: str, defaults: Mapping[str, Any]) -> LibraryOptimiser:
    takes = ("momentum",) if name == "sgd" else ()
    by_lists = made in _BY_LISTS
    config = options_of(made, without=(*_OURS, *takes), defaults=defaults, owner=f"optimiser.{name}")

    def module(groups: list[dict[str, Any]], options: Config, **taken: Any) -> Optimizer:
        # Some constructors take the absence of a rate of their own as the wish for one that they choose.
        arguments = {**defaults, **options.model_dump(exclude_unset=True), **taken}
        if by_lists and _are_few(groups):
            arguments["foreach"] = True
        found: Optimizer = made(groups, lr=groups[0]["lr"], **arguments)
        return found

    licence = "BSD-3-Clause" if made.__module__.startswith("torch.") else "Apache-2.0"
    return LibraryOptimiser(name, config, module, about=about, takes=takes, licence=licence)


def _are_few(groups: list[dict[str, Any]]) -> bool:
    """Whether the weights are on the CPU, whole, and few."""
    weights = [weight for group in groups for weight in group["params"]]
    return all(weight.device.type == "cpu" and not hasattr(weight, "device_mesh") for weight in weights) and \
        sum(weight.numel() for weight in weights) <= _FEW
