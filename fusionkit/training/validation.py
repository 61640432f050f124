"""The validation of an epoch: the loss of every head and its accuracy, over all processes."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fusionkit.arrays import Floats
from fusionkit.components.weighted import ratio
from fusionkit.data.batch import Batch
from fusionkit.data.copying_ahead import arriving
from fusionkit.evaluation.chosen_metrics import ChosenMetric
from fusionkit.evaluation.metrics import measure
from fusionkit.evaluation.predictions import collect
from fusionkit.planning.plan import PlannedHead
from fusionkit.training.objective import arguments, counted
from fusionkit.training.settings import TrainingSettings
from fusionkit.training.step import Stepper
from fusionkit.training.step_losses import Compared, kept_of, whole_loss

UNDEFINED = -sys.float_info.max
"""What an epoch without a value of the monitored metric counts as; finite, since states are JSON."""

# Axes: B batch, K classes or labels, J tallied classes: K, or for labels K yes and K no.


@dataclass(frozen=True)
class Scores:
    """The results of a validation: the combined loss, and mean losses and accuracies by head name.

    `measured` are the values of `metric`, the monitored metric if that is neither the loss nor an accuracy, by head.
    """

    loss: float
    losses: dict[str, float]
    accuracies: dict[str, float]
    balanced: dict[str, float]
    metric: ChosenMetric | None = None
    measured: dict[str, float] = field(default_factory=dict)

    def monitored(self, monitor: str) -> float:
        """The value that selects the best epoch; larger is better.

        Of a metric, the mean over the heads for which it is defined; an epoch in which it is undefined is the worst.
        """
        if monitor == "loss":
            return -self.loss
        if self.metric is None:
            values = self.accuracies if monitor == "accuracy" else self.balanced
            return sum(values.values()) / len(values)
        defined = [value for value in self.measured.values() if not math.isnan(value)]
        if not defined:
            return UNDEFINED
        mean = sum(defined) / len(defined)
        return self.metric.declared.goodness(mean)

    def row(self) -> dict[str, float]:
        """The scores as columns of the history."""
        row = {"validation_loss": self.loss}
        row |= {f"validation_loss_{name}": value for name, value in self.losses.items()}
        row |= {f"validation_accuracy_{name}": value for name, value in self.accuracies.items()}
        if self.metric is not None:
            row |= {f"validation_{self.metric.key}_{name}": value for name, value in self.measured.items()}
        return row | {f"validation_balanced_accuracy_{name}": value for name, value in self.balanced.items()}


@torch.no_grad()
def validate(stepper: Stepper, batches: Iterable[Batch], stop: Callable[[], bool]) -> Scores | None:
    """The scores of a whole dataset in evaluation mode; None if `stop` became true in between."""
    network, heads = stepper.network, stepper.network.plan.heads
    tallies = [torch.zeros(2 + 2 * _tallied(head), dtype=torch.float64, device=stepper.processes.device)
               for head in heads]
    metric = stepper.settings.metric
    together: list[Compared] = []
    kept = [_Kept(head, bool(metric.declared.reads)) for head in heads
            if metric is not None and head.declared_task.is_measured_by(metric.declared.tasks)]
    network.eval()
    for batch in arriving(iter(batches), stepper.processes.device):
        if stop():
            network.train()
            return None
        placed = stepper.place(batch)
        given = arguments(network, placed)
        with stepper.processes.accelerator.autocast():
            results = stepper.objective(*given, outputs=True, shares={})
        together.append(kept_of(stepper.objective, results, placed))
        valid = counted(network, given[1], placed.target_present)
        for head, tally in zip(heads, tallies, strict=True):
            tally[0] += results.get(head.name, 0.0)
            tally[1] += valid[head.name].sum()
            if _tallied(head):
                decoded = network.head(head.name).decode(results[f"output/{head.name}"])
                tally[2:] += _tally(head, decoded, placed.targets[head.name], valid[head.name])
        for each in kept:
            each.add(network.head(each.head.name), results[f"output/{each.head.name}"], placed.targets[each.head.name],
                     valid[each.head.name])
    for head, tally in zip(heads, tallies, strict=True):
        if head.name in stepper.objective.over_step:
            tally[0] += _together(stepper, head.name, together)
    network.train()
    scores = _scores(heads, stepper.processes.sum_tensor(torch.cat(tallies)))
    if metric is None or not math.isfinite(scores.loss):
        return scores
    return replace(scores, metric=metric, measured={
        each.head.name: _measured(each, metric, stepper.processes.gather(each.cases)) for each in kept})


def _together(stepper: Stepper, name: str, batches: Sequence[Compared]) -> float:
    """The loss of a head over all cases of all processes at once, in the main one; 0 in the others."""
    processes = stepper.processes
    parts = processes.gather([tuple(value.cpu() for value in batch[name]) for batch in batches])
    if not processes.main:
        return 0.0
    placed = [(output.to(processes.device), target.to(processes.device)) for part in parts for output, target in part]
    with processes.accelerator.autocast():
        return whole_loss(stepper.network.head(name), placed)


class _Kept:
    """The decoded results of a head and its targets, for a metric that needs those of all cases together."""

    def __init__(self, head: PlannedHead, reads: bool) -> None:
        self.head, self.reads = head, reads
        self.cases: list[tuple[Floats, ...]] = []
        self.names: tuple[str, ...] = ()

    def add(self, module: Any, output: Tensor, target: Tensor, valid_B: Tensor) -> None:
        """The valid rows of a batch; a head that ranks cases by a risk of its own may not tell probabilities yet."""
        told = dict(module.details(output)) if self.reads and hasattr(module, "details") else {}
        told |= {"risk": module.risk(output)} if hasattr(module, "risk") else {}
        self.names = tuple(told)
        kept = (module.decode(output), target, *told.values())
        self.cases.append(tuple(part[valid_B].double().cpu().numpy() for part in kept))


def _measured(kept: _Kept, metric: ChosenMetric, parts: Sequence[Sequence[tuple[Floats, ...]]]) -> float:
    """A metric of one head over the cases of all processes, NaN if undefined."""
    batches = [batch for part in parts for batch in part if len(batch[0])]
    if not batches:
        return math.nan
    values, wanted, *more = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    told = dict(zip(kept.names, more, strict=True))
    outcomes = collect(kept.head.declared_task, kept.head.names, wanted, values, head=kept.head.name,
                       risk=told.get("risk"), details=told)
    found = measure(outcomes, [metric]).overall.get(metric.key)
    return math.nan if found is None else found.value


def _tallied(head: PlannedHead) -> int:
    return {"classes": 1, "labels": 2, "values": 0}[head.declared_task.results] * len(head.names)


def _tally(head: PlannedHead, decoded_BK: Tensor, target: Tensor, valid_B: Tensor) -> Tensor:
    """The number of rows of each class, then the number of these that are correct: (2 J,)."""
    if head.declared_task.results == "classes":
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
            plain[head.name] = float(ratio(found.sum(axis=0), seen.sum(axis=0)))
            rates = ratio(found[seen > 0], seen[seen > 0]).tolist()
            balanced[head.name] = sum(rates) / len(rates)
    return Scores(total, losses, plain, balanced)


def has_monitored(heads: Iterable[Any], settings: TrainingSettings) -> bool:
    """Whether any head has what the settings monitor."""
    if settings.monitor == "loss":
        return True
    if settings.metric is None:
        return any(head.declared_task.results != "values" for head in heads)
    return any(head.declared_task.is_measured_by(settings.metric.declared.tasks) for head in heads)
