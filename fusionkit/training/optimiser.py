"""The optimiser and the learning rate of every step; the rate is a function of the step alone."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import Optimizer

from fusionkit.errors import Diagnostic, UserError
from fusionkit.training.named_optimisers import optimiser_of
from fusionkit.training.named_schedules import factor_of
from fusionkit.training.settings import TrainingSettings


def make_optimiser(network: nn.Module, settings: TrainingSettings) -> Optimizer:
    """The optimiser of the trainable weights; tensors with fewer than two axes have no weight decay.

    Raises: UserError with `nothing-to-train` if every node is frozen or has no weights, and with `bad-option` if the
    optimiser refuses the weights.
    """
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not trainable:
        raise UserError(Diagnostic("nothing-to-train", "the network has no trainable weights",
                                   fix="remove 'freeze' from a node that should learn"))
    groups = [
        {"params": [p for p in trainable if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trainable if p.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [{**group, "lr": settings.learning_rate} for group in groups if group["params"]]
    return optimiser_of(settings.chosen_optimiser, groups, settings.model_dump())


def set_rate(optimiser: Optimizer, rate: float) -> None:
    """Set the learning rate of every group."""
    for group in optimiser.param_groups:
        group["lr"] = rate


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
