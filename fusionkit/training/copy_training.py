"""Trains a copy of the network on one of its losses, for a method that asks what this loss alone would learn."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from itertools import islice

import numpy as np
import torch

from fusionkit.components.training import LossChange
from fusionkit.data.batch import Batch
from fusionkit.errors import RunError
from fusionkit.network.model import FusionModel
from fusionkit.training.batch_order import seed_of, smallest_share
from fusionkit.training.case_reading import CaseReader
from fusionkit.training.objective import Objective, arguments, counted
from fusionkit.training.optimiser import learning_rate, make_optimiser, set_rate
from fusionkit.training.step import Stepper


class CopyTraining:
    """Trains copies on the cases to learn from, and measures them on these and on those that are held out."""

    def __init__(self, stepper: Stepper, learned: CaseReader, held: CaseReader) -> None:
        self.stepper, self.learned, self.held = stepper, learned, held

    def __call__(self, loss: str, epochs: int, epoch: int) -> LossChange:
        """The mean losses before and after; the network itself is unchanged. `epoch` counts from 1."""
        heads = [head.name for head in self.stepper.network.plan.heads]
        if loss not in heads or loss in self.stepper.objective.over_step:
            raise RunError(f"a copy cannot be trained on {loss!r}, which is no head with a loss of its own for each "
                           f"case; there are {', '.join(heads)}")
        if self.stepper.processes.sharded:
            raise RunError("copies cannot be trained with 'strategy: fsdp'; train without it")
        network = deepcopy(self.stepper.network)
        objective = Objective(network)
        before = [self._mean(objective, loss, reader) for reader in (self.learned, self.held)]
        self._train(network, objective, loss, epochs, epoch)
        after = [self._mean(objective, loss, reader) for reader in (self.learned, self.held)]
        return LossChange(before[0], after[0], before[1], after[1])

    def _train(self, network: FusionModel, objective: Objective, loss: str, epochs: int, epoch: int) -> None:
        settings = self.stepper.settings
        optimiser = make_optimiser(network, settings)
        steps = settings.epoch_steps(self.learned.count)
        network.train()
        for number in range(epochs):
            seed = seed_of(settings.seed, "copy", loss, epoch, number)
            order = np.random.default_rng(seed).permutation(self.learned.count).tolist()
            batches, step = self.learned(order, smallest_share(network)), 0
            while part := list(islice(batches, settings.accumulate)):
                torch.manual_seed(seed_of(seed, step, self.stepper.processes.index))
                self._gradients(network, objective, loss, part)
                # Its schedule is that of the run, in which these epochs would be the next ones.
                set_rate(optimiser, learning_rate(settings, min(epoch - 1 + number, settings.epochs - 1) * steps
                                                  + min(step, steps - 1), steps))
                optimiser.step()
                optimiser.zero_grad()
                step += 1

    def _gradients(self, network: FusionModel, objective: Objective, loss: str, batches: Iterable[Batch]) -> None:
        processes, rows = self.stepper.processes, 0
        for batch in batches:
            placed = self.stepper.place(batch)
            given = arguments(network, placed)
            objective(*given)[loss].backward()
            rows += int(counted(network, given[1], given[3])[loss].sum())
        total = max(processes.sum([float(rows)])[0], 1.0)
        for weight in network.parameters():
            if weight.grad is not None or (processes.count > 1 and weight.requires_grad):
                weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
                if processes.count > 1:
                    torch.distributed.all_reduce(weight.grad)
                weight.grad /= total

    @torch.no_grad()
    def _mean(self, objective: Objective, loss: str, reader: CaseReader) -> float:
        objective.network.eval()
        summed = [0.0, 0.0]
        for batch in reader():
            given = arguments(objective.network, self.stepper.place(batch))
            summed[0] += float(objective(*given)[loss])
            summed[1] += float(counted(objective.network, given[1], given[3])[loss].sum())
        found, rows = self.stepper.processes.sum(summed)
        return found / rows if rows else float("nan")
