"""The schedules of torch and timm by name, as far as they depend on the step alone; they count steps of training.

An argument for the length of a schedule that has no default is the number of steps of the run. A name that both have
is torch's; `timm_NAME` is timm's in any case.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

import torch
from torch import nn

from fusionkit.components.schedule import Schedule
from fusionkit.training.library_components import InLibrary, options_of

_LEFT_OUT = {
    "reducelronplateau": "it depends on results, not on the step alone",
    "plateau": "it depends on results, not on the step alone",
    "lambda": "it needs a function, which no file holds",
    "multiplicative": "it needs a function, which no file holds",
    "sequential": "it is made of other schedules",
    "chainedscheduler": "it is made of other schedules",
}
_OWN = frozenset({"constant", "cosine", "linear", "step"})
"""Schedules of the trainer itself; torch's and timm's of these names have a prefix."""
_OURS = ("optimizer", "last_epoch", "max_lr", "base_lr", "cycle_momentum", "base_momentum", "max_momentum", "epochs",
         "steps_per_epoch", "warmup_t", "warmup_lr_init", "warmup_prefix", "t_in_epochs", "initialize", "noise_range_t",
         "noise_pct", "noise_std", "noise_seed")
_LENGTHS = ("T_max", "total_steps", "t_initial")


@dataclass(frozen=True, repr=False)
class LibrarySchedule(InLibrary, Schedule):
    """A schedule of an installed library."""

@lru_cache(maxsize=1)
def _made() -> Mapping[str, Any]:
    """Every class by every name that it has."""
    torchs: Any = import_module("torch.optim.lr_scheduler")
    timms: Any = import_module("timm.scheduler")
    found: dict[str, Any] = {}
    base: Any = import_module("timm.scheduler.scheduler").Scheduler
    for prefix, library, ending, kind in (("timm", timms, "LRScheduler", base),
                                          ("torch", torchs, "LR", torchs.LRScheduler)):
        for word in dir(library):
            made, name = getattr(library, word), word.removesuffix(ending).lower()
            if inspect.isclass(made) and issubclass(made, kind) and name not in ("", *_LEFT_OUT) and word[0] != "_" \
                    and made is not kind:
                found |= {f"{prefix}_{name}": made} | ({} if name in _OWN else {name: made})
    return found


def names() -> list[str]:
    """Every name, sorted."""
    return sorted(_made())


def package_of(name: str) -> str:
    """The package that has the schedule of a name."""
    return str(_made()[name].__module__.partition(".")[0])


def why_not(name: str) -> str | None:
    """Why a schedule of this name in torch or timm cannot be used; None if there is no reason or no schedule."""
    return _LEFT_OUT.get(name.removeprefix("torch_").removeprefix("timm_"))


@lru_cache(maxsize=64)
def find(name: str) -> LibrarySchedule | None:
    """The schedule of a name, None if neither torch nor timm has it."""
    made = _made().get(name)
    if made is None:
        return None
    lengths = dict.fromkeys((each for each in _LENGTHS if each in inspect.signature(made).parameters), None)
    config = options_of(made, without=_OURS, defaults=lengths, owner=f"schedule.{name}")
    library = package_of(name)
    return LibrarySchedule(name, config, lambda step, steps, options: _factors(name, steps, options.model_dump_json(
        exclude_unset=True, exclude_none=True))[step],
                           about=f"{library}'s {made.__name__}.",
                           licence="BSD-3-Clause" if library == "torch" else "Apache-2.0")


@lru_cache(maxsize=8)
def _factors(name: str, steps: int, options: str) -> list[float]:
    """The factor of every step, with options as JSON.

    A scheduler gives them in order only, so it runs once through a whole training.
    """
    made = _made()[name]
    parameters = inspect.signature(made).parameters
    arguments: dict[str, Any] = {each: steps for each in _LENGTHS if each in parameters}
    arguments |= json.loads(options)
    fixed: dict[str, Any] = {"max_lr": 1.0, "base_lr": 0.0, "cycle_momentum": False}
    arguments |= {key: value for key, value in fixed.items() if key in parameters}
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, found = made(optimiser, **arguments), []
    for step in range(steps):
        if package_of(name) == "timm":
            scheduler.step(step)
        found.append(max(float(optimiser.param_groups[0]["lr"]), 0.0))
        if package_of(name) == "torch" and step + 1 < steps:
            optimiser.step()
            scheduler.step()
    return found
