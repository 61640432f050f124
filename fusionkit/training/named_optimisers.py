"""Optimisers made from the component that a setting names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from fusionkit.components.failures import raised
from fusionkit.components.optimiser import Optimiser
from fusionkit.errors import Diagnostic, UserError
from fusionkit.training.named_components import Chosen
from fusionkit.training.optimiser_state import state_tensors

_SIDE = 64


def optimiser_of(chosen: Chosen[Optimiser], groups: list[dict[str, Any]], settings: Mapping[str, Any]) -> Optimizer:
    """The optimiser of groups of parameters, each with `lr` and `weight_decay`.

    Raises: UserError with `bad-option` if it refuses its options or the weights.
    """
    taken = {name: settings[name] for name in chosen.declared.takes}
    try:
        found: Optimizer = chosen.declared.module(groups, chosen.config, **taken)
    except Exception as error:  # an optimiser may raise anything
        raise UserError(Diagnostic("bad-option", f"{chosen.declared.id} cannot be used", chosen.span,
                                   why=raised(error), fix="change its options, or choose another optimiser")) from error
    return found


def numbers_kept(chosen: Chosen[Optimiser], settings: Mapping[str, Any]) -> float:
    """How many numbers an optimiser keeps for each weight of a matrix, found by a step."""
    weight = nn.Parameter(torch.ones(_SIDE, _SIDE))
    weight.grad = torch.ones(_SIDE, _SIDE)
    group = {"params": [weight], "lr": settings["learning_rate"], "weight_decay": settings["weight_decay"]}
    # Some compile their step, which would take longer than the estimate is worth.
    with torch.compiler.set_stance("force_eager"), torch.random.fork_rng(devices=[]):
        made = optimiser_of(chosen, [group], settings)
        made.step()
    kept = sum(value.numel() for value in state_tensors([("weight", weight)], made).values())
    return kept / weight.numel()


def try_optimiser(chosen: Chosen[Optimiser], settings: Mapping[str, Any]) -> None:
    """Make it for a few weights, since only constructors know which values of their arguments they take.

    Raises: UserError with `bad-option`.
    """
    groups = [{"params": [nn.Parameter(torch.zeros(size))], "lr": settings["learning_rate"],
               "weight_decay": settings["weight_decay"]} for size in ((2, 2), (2,))]
    optimiser_of(chosen, groups, settings)
