"""The validation of an epoch: the loss of every head and its accuracy, over all processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fusionkit.data.batch import Batch
from fusionkit.evaluation.weighted_metrics import accuracy, recalls
from fusionkit.planning.plan import PlannedHead
from fusionkit.training.objective import arguments, counted
from fusionkit.training.step import Stepper

# Axes: B batch, K classes or labels, J tallied classes: K, or for labels K yes and K no.


@dataclass(frozen=True)
class Scores:
    """The results of a validation: the combined loss, and mean losses and accuracies by head name."""

    loss: float
    losses: dict[str, float]
    accuracies: dict[str, float]
    balanced: dict[str, float]

    def monitored(self, monitor: str) -> float:
        """The value that selects the best epoch; larger is better."""
        if monitor == "loss":
            return -self.loss
        values = self.accuracies if monitor == "accuracy" else self.balanced
        return sum(values.values()) / len(values)

    def row(self) -> dict[str, float]:
        """The scores as columns of the history."""
        row = {"validation_loss": self.loss}
        row |= {f"validation_loss_{name}": value for name, value in self.losses.items()}
        row |= {f"validation_accuracy_{name}": value for name, value in self.accuracies.items()}
        return row | {f"validation_balanced_accuracy_{name}": value for name, value in self.balanced.items()}


@torch.no_grad()
def validate(stepper: Stepper, batches: Iterable[Batch], stop: Callable[[], bool]) -> Scores | None:
    """The scores of a whole dataset in evaluation mode; None if `stop` became true in between."""
    network, heads = stepper.network, stepper.network.plan.heads
    tallies = [torch.zeros(2 + 2 * _tallied(head), dtype=torch.float64, device=stepper.processes.device)
               for head in heads]
    network.eval()
    for batch in batches:
        if stop():
            network.train()
            return None
        placed = stepper.place(batch)
        given = arguments(network, placed)
        with stepper.processes.accelerator.autocast():
            results = stepper.objective(*given, outputs=True)
        valid = counted(network, given[1], placed.target_present)
        for head, tally in zip(heads, tallies, strict=True):
            tally[0] += results[head.name]
            tally[1] += valid[head.name].sum()
            if head.task != "regression":
                decoded = network.head(head.name).decode(results[f"output/{head.name}"])
                tally[2:] += _tally(head, decoded, placed.targets[head.name], valid[head.name])
    network.train()
    summed = stepper.processes.sum_tensor(torch.cat(tallies))
    return _scores(heads, summed)


def _tallied(head: PlannedHead) -> int:
    return {"multiclass": 1, "multilabel": 2}.get(head.task, 0) * len(head.names)


def _tally(head: PlannedHead, decoded_BK: Tensor, target: Tensor, valid_B: Tensor) -> Tensor:
    """The number of rows of each class, then the number of these that are correct: (2 J,)."""
    if head.task == "multiclass":
        true = F.one_hot(target.where(valid_B, 0), len(head.names)).bool()
        found = F.one_hot(decoded_BK.argmax(1), len(head.names)).bool()
    else:
        # A label that is not known is NaN, neither above nor below.
        predicted = decoded_BK > 0.5
        true, found = torch.cat([target > 0.5, target <= 0.5], 1), torch.cat([predicted, ~predicted], 1)
    true = true & valid_B[:, None]
    return torch.cat([true.sum(0), (true & found).sum(0)])


def _scores(heads: tuple[PlannedHead, ...], summed: list[float]) -> Scores:
    losses: dict[str, float] = {}
    plain: dict[str, float] = {}
    balanced: dict[str, float] = {}
    total, start = 0.0, 0
    for head in heads:
        size = _tallied(head)
        loss, rows = summed[start : start + 2]
        seen, found = np.array(summed[start + 2 : start + 2 + 2 * size]).reshape(2, size)
        start += 2 + 2 * size
        losses[head.name] = loss / rows if rows else math.nan
        total += head.weight * losses[head.name] if rows else 0.0
        if size and rows:
            plain[head.name] = float(accuracy(found, seen))
            rates = recalls(found[seen > 0], seen[seen > 0]).tolist()
            balanced[head.name] = sum(rates) / len(rates)
    return Scores(total, losses, plain, balanced)


def has_accuracy(heads: Iterable[Any]) -> bool:
    """Whether any head has an accuracy that can be monitored."""
    return any(head.task != "regression" for head in heads)
