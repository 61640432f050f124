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
from fusionkit.network.uncompiled import uncompiled
from fusionkit.registry.named import Chosen


def optimiser_of(chosen: Chosen[Optimiser], groups: list[dict[str, Any]], settings: Mapping[str, Any]) -> Optimizer:
    """The optimiser of groups of parameters, each with `lr` and `weight_decay`.

    Raises: UserError with `bad-option` if it refuses its options or the weights.
    """
    taken = {name: settings[name] for name in chosen.declared.takes}
    try:
        with uncompiled(Optimizer.add_param_group):
            found: Optimizer = chosen.declared.module(groups, chosen.config, **taken)
    except Exception as error:  # an optimiser may raise anything
        raise UserError(Diagnostic("bad-option", f"{chosen.declared.id} cannot be used", chosen.span,
                                   why=raised(error), fix="change its options, or choose another optimiser")) from error
    return found


def try_optimiser(chosen: Chosen[Optimiser], settings: Mapping[str, Any]) -> None:
    """Make it for a few weights, since only constructors know which values of their arguments they take.

    Raises: UserError with `bad-option`.
    """
    groups = [{"params": [nn.Parameter(torch.zeros(size))], "lr": settings["learning_rate"],
               "weight_decay": settings["weight_decay"]} for size in ((2, 2), (2,))]
    optimiser_of(chosen, groups, settings)
