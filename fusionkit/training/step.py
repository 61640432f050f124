"""One step of training: forward, losses, backward, and the weight update, over all processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from fusionkit.data.batch import Batch
from fusionkit.network.model import FusionModel
from fusionkit.training.applied_method import AppliedMethod
from fusionkit.training.case_numbers import CaseNumbers
from fusionkit.training.distributed import Processes, own_part, whole
from fusionkit.training.objective import Objective, arguments, auxiliary, counts, lay_out, lay_out_weights
from fusionkit.training.optimiser import make_optimiser, set_rate
from fusionkit.training.plain_step import change_weights
from fusionkit.training.seen_batch import BatchSeen
from fusionkit.training.settings import TrainingSettings
from fusionkit.training.step_losses import FirstPass, StepLosses


@dataclass(frozen=True)
class Totals:
    """The divisors of a step: the valid rows of each head and the cases, over all its batches and processes."""

    rows: Mapping[str, int]
    cases: int


@dataclass(frozen=True)
class Outcome:
    """A step before the weight update: the sums over its cases by name, its loss, and whether all is finite.

    `logged` are numbers of the training method.
    """

    sums: dict[str, float]
    loss: float
    finite: bool
    logged: dict[str, float]


class Stepper:
    """Takes steps; `sample` is one case, which several processes need; `patients` has that of each row of the cohort.

    The loss of a step is, over all its batches and processes together,

        sum over heads of weight * (sum of the losses of its rows / number of its rows) + auxiliary losses,

    so that neither the number of processes nor of batches changes it. An auxiliary loss is a number of one batch:
    its mean over batches is weighted by their cases. Losses that compare the cases of a step see all of them.
    """

    def __init__(self, network: FusionModel, settings: TrainingSettings, processes: Processes,
                 sample: Batch | None = None, *, patients: Sequence[str] = ()) -> None:
        self.network = network.to(processes.device)
        self.processes = processes
        self.settings = settings
        half_on_gpu = processes.device.type == "cuda" and settings.precision != "fp32"
        self.channels_last = settings.channels_last == "on" or (settings.channels_last == "auto" and half_on_gpu)
        if self.channels_last:
            lay_out_weights(network)
        self.method = AppliedMethod(network, settings, processes)
        self.objective = Objective(network, self.method.scored, self.method.watched)
        unused = sample is not None and self._leaves_unused(sample)
        if settings.compile:
            self.objective.compile()
        self.numbers = CaseNumbers(patients, settings.seed)
        self.step_losses = StepLosses(self.objective, processes, self.numbers)
        self.wrapped = processes.prepare(self.objective, unused)
        self.optimiser: Any = processes.prepare_optimiser(make_optimiser(network, settings))
        self.trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.weights = {head.name: head.weight for head in network.plan.heads}
        self.auxiliary = auxiliary(network)

    def _leaves_unused(self, sample: Batch) -> bool:
        """Whether some weights do not contribute to the loss of a batch, which DDP must know in advance."""
        if any(node.node.unfreeze > 1 for node in self.network.plan.nodes):
            return True
        self.network.eval()
        results = self.objective(*arguments(self.network, self.place(sample)))
        torch.stack([value for value in results.values() if not value.dim()]).sum().backward()  # type: ignore[no-untyped-call]
        unused = any(p.grad is None for p in self.network.parameters() if p.requires_grad)
        self.network.zero_grad(set_to_none=True)
        self.network.train()
        return sum(self.processes.sum([float(unused)])) > 0

    def place(self, batch: Batch) -> Batch:
        """A batch on the device, with images and volumes in the memory layout of the weights."""
        placed = batch if self.processes.device.type == "cpu" else batch.to(self.processes.device, non_blocking=True)
        if self.channels_last:
            placed = replace(placed, inputs={name: lay_out(value) for name, value in placed.inputs.items()})
        return placed

    def totals(self, batches: Sequence[Batch], flags: Sequence[float] = ()) -> tuple[Totals, list[float]]:
        """The totals of a step, and `flags` summed over all processes in the same message."""
        found = [counts(self.network, batch) for batch in batches]
        rows = [float(sum(part[name] for part in found)) for name in self.weights]
        summed = self.processes.sum([*rows, float(sum(map(len, batches))), *flags])
        numbers = dict(zip(self.weights, map(int, summed), strict=False))
        return Totals(numbers, int(summed[len(rows)])), summed[len(rows) + 1 :]

    def gradients(self, batches: Sequence[Batch], totals: Totals, epoch: int = 0, number: int = 0) -> Outcome:
        """Forward and backward over the batches of step `number` of the epoch, without changing the weights."""
        names = [*self.weights, *self.auxiliary, *(f"score/{name}" for name in self.method.scored)]
        self.method.begin_step(epoch, number, totals.rows)
        of_batches: list[Tensor] = []
        two = self.step_losses.needs_two_passes(batches)
        first = self.step_losses.first_pass(batches, self.place, totals.cases) if two else None
        for position, batch in enumerate(batches):
            local = position + 1 < len(batches)
            with self.processes.no_sync(self.wrapped) if local else nullcontext():
                placed = self.place(batch)
                results = self._forward(placed, first[position] if first else None)
                self._backward(self._loss(results, placed, totals))
            sizes = dict.fromkeys(self.auxiliary, float(len(batch)))
            values = [results[name].detach() for name in names]
            of_batches.append(torch.stack([value * sizes[name] if name in sizes else value
                                           for name, value in zip(names, values, strict=True)]).double())
        sums = reduce(torch.add, of_batches)
        if self.processes.accelerator.scaler is not None:
            self.processes.accelerator.unscale_gradients(self.optimiser)
        # A method that edits gradients by scores waits for these; else a step waits once, at its end.
        read = self.processes.sum_tensor(sums) if self.method.scored else None
        scores = {} if read is None else {name: read[names.index(f"score/{name}")] for name in self.method.scored}
        logged = self.method.edit(scores)
        finite = self._norm().isfinite().to(sums).reshape(1)
        if read is None:
            *read, finite_parts = self.processes.sum_tensor(torch.cat([sums, finite]))
        else:
            finite_parts, = self.processes.sum_tensor(finite)
        found = {name: value for name, value in zip(names, read, strict=True) if not name.startswith("score/")}
        loss = combined(found, self.weights, self.auxiliary, totals)
        return Outcome(found, loss, abs(loss) < float("inf") and finite_parts == self.processes.count, logged)

    def _backward(self, loss: Tensor) -> None:
        """accelerate's with loss scaling; without, it divides by one first."""
        if self.processes.accelerator.scaler is None:
            loss.backward()  # type: ignore[no-untyped-call]
        else:
            self.processes.accelerator.backward(loss)

    def _forward(self, batch: Batch, first: FirstPass | None) -> dict[str, Tensor]:
        second = nullcontext() if first is None else self.step_losses.second_pass(first)
        more: dict[str, Any] = {} if first is None else {"shares": first.heads}
        if self.method.looks:
            more["outputs"] = True
        if batch.mixed is not None:
            more["mixed"] = batch.mixed
        with second, self.step_losses.knowing(batch), self.processes.accelerator.autocast():
            results: dict[str, Tensor] = self.wrapped(*arguments(self.network, batch), **more)
        return results

    def _loss(self, results: Mapping[str, Tensor], batch: Batch, totals: Totals) -> Tensor:
        """This batch's part of the loss of the step, times the number of processes, since gradients are averaged."""
        shares = {name: weight / totals.rows[name] if totals.rows[name] else 0.0
                  for name, weight in self.weights.items()}
        parts = {name: results[name] * share for name, share in shares.items()}
        parts |= {name: results[name] * (len(batch) / totals.cases) for name in self.auxiliary}
        seen = self.seen(batch, results, shares) if self.method.looks else None
        total = self.method.total(parts, seen)
        return total if self.processes.count == 1 else total * self.processes.count

    def seen(self, batch: Batch, results: Mapping[str, Tensor], shares: Mapping[str, float]) -> BatchSeen:
        """A batch on the device, with what the objective gave for it, as a training method sees it."""
        return BatchSeen(self.network, batch, results, self.method.names, shares,
                         self.processes.accelerator.autocast, self.processes.sharded)

    def _norm(self) -> Tensor:
        """The gradient norm over all processes, clipped if requested; else a bound on it that is finite if it is.

        With loss scaling an overflow is part of the method, and without clipping the gradient is not checked.
        """
        accelerator, most = self.processes.accelerator, self.settings.clip_gradient
        if accelerator.scaler is not None:
            if most:
                # Not accelerate's, which would undo loss scaling a second time.
                torch.nn.utils.clip_grad_norm_(self.trainable, most)
            return torch.zeros((), device=self.processes.device)
        if most:
            return whole(accelerator.clip_grad_norm_(self.trainable, most))
        gradients = [parameter.grad for parameter in self.trainable if parameter.grad is not None]
        if self.processes.sharded or not gradients:
            return whole(torch.nn.utils.get_total_norm(gradients))
        # Whether it is finite is all that is asked of it.
        return torch.stack(list(torch._foreach_norm(gradients))).sum()

    def change(self, rate: float) -> None:
        """Update the weights and clear the gradients."""
        set_rate(self.optimiser, rate)
        change_weights(self.optimiser)

    def not_finite(self) -> list[str]:
        """The nodes with a gradient that is not finite, the one closest to the loss first."""
        bad = {name.partition(".")[0] for name, parameter in self.network.named_parameters()
               if parameter.grad is not None and not own_part(parameter.grad).isfinite().all()}
        return [node.name for node in reversed(self.network.plan.nodes) if node.name in bad]


def combined(sums: Mapping[str, float], weights: Mapping[str, float], auxiliary: Sequence[str],
             totals: Totals) -> float:
    """The loss from summed losses: weighted means over the heads' rows, and auxiliary losses over the cases."""
    heads = sum(weight * sums[name] / totals.rows[name] for name, weight in weights.items() if totals.rows[name])
    return heads + sum(sums[name] for name in auxiliary) / max(totals.cases, 1)
