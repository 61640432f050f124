"""The optimiser and the learning rate of every step; the rate is a function of the step alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer

from fusionkit.errors import Diagnostic, UserError
from fusionkit.network.model import FusionModel
from fusionkit.training.named_optimisers import optimiser_of
from fusionkit.training.named_schedules import factor_of
from fusionkit.training.settings import TrainingSettings

RATE_FACTOR = "rate_factor"
"""The key of a group of weights whose learning rate is this factor of the run's."""


def make_optimiser(network: FusionModel, settings: TrainingSettings) -> Optimizer:
    """The optimiser of the trainable weights; tensors with fewer than two axes have no weight decay.

    A node with a `rate` or an `unfreeze` has groups of its own, those that learn later after the others.

    Raises: UserError with `nothing-to-train` if every node is frozen or has no weights, and with `bad-option` if the
    optimiser refuses the weights.
    """
    groups = [group for part in _parts(network) for group in _groups(part, settings)]
    if not groups:
        later = any(node.node.unfreeze > 1 for node in network.plan.nodes)
        raise UserError(Diagnostic(
            "nothing-to-train", f"the network has no trainable weights{' in its first epoch' * later}",
            fix=f"remove '{'unfreeze' if later else 'freeze'}' from a node that should learn"))
    return optimiser_of(settings.chosen_optimiser, groups, settings.model_dump())


@dataclass(frozen=True)
class _Part:
    """Weights that learn together, and the factor of their learning rate."""

    weights: list[nn.Parameter]
    rate: float


def _parts(network: FusionModel) -> list[_Part]:
    """The weights of all nodes without keys of their own, then those of each other node."""
    nodes = [planned.node for planned in network.plan.nodes]
    own = sorted((node for node in nodes if node.rate != 1 or node.unfreeze > 1), key=lambda node: node.unfreeze)
    apart = {node.name for node in own}
    together = [weight for name, weight in _trainable(network) if name.partition(".")[0] not in apart]
    return [_Part(together, 1.0), *(_Part([weight for _, weight in _trainable(network.get_submodule(node.name))],
                                          node.rate) for node in own)]


def _trainable(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]


def _groups(part: _Part, settings: TrainingSettings) -> list[dict[str, Any]]:
    """The groups of a part that are not empty: with weight decay and without."""
    groups: list[dict[str, Any]] = [
        {"params": [p for p in part.weights if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in part.weights if p.dim() <= 1], "weight_decay": 0.0},
    ]
    factor = {} if part.rate == 1 else {RATE_FACTOR: part.rate}
    return [{**group, "lr": settings.learning_rate * part.rate, **factor} for group in groups if group["params"]]


def set_rate(optimiser: Optimizer, rate: float) -> None:
    """Set the learning rate of every group."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get(RATE_FACTOR, 1.0)


def learning_rate(settings: TrainingSettings, step: int, steps: int) -> float:
    """The learning rate of a step of the run, counted from 0; `steps` is the number of steps in an epoch.

    Warm-up rises linearly and reaches the full rate at its last step.
    """
    warmup = round(settings.warmup_epochs * steps)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(settings.epochs * steps - warmup, 1)
    chosen = settings.named("schedule")
    if chosen is not None:
        return settings.learning_rate * factor_of(chosen, step - warmup, settings.epochs * steps - warmup)
    factors = {
        "constant": 1.0,
        "cosine": 0.5 * (1 + math.cos(math.pi * done)),
        "linear": 1 - done,
        "step": settings.step_factor ** (step // steps // settings.step_epochs),
    }
    return settings.learning_rate * factors[settings.schedule]
