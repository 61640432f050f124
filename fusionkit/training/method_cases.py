"""The training cases as a training method sees them between epochs: in evaluation mode, the same in every process."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Dataset

from fusionkit.data.batch import Batch, Case
from fusionkit.training.batch_order import seed_of
from fusionkit.training.case_reading import CaseReader
from fusionkit.training.copy_training import CopyTraining
from fusionkit.training.objective import arguments
from fusionkit.training.seen_batch import BatchSeen
from fusionkit.training.step import Stepper


def offer_cases(stepper: Stepper, learned: CaseReader, held: Dataset[Case] | None) -> None:
    """Let the method of a run see the cases it learns from, and those that it holds out."""
    view = stepper.method.view
    view.reading = MethodCases(stepper, learned)
    if held is not None:
        reader = CaseReader(held, stepper.settings, stepper.processes)
        view.holding, view.copying = MethodCases(stepper, reader), CopyTraining(stepper, learned, reader)


class MethodCases:
    """Reads the training cases, or a share of them that is drawn in each epoch anew."""

    def __init__(self, stepper: Stepper, reader: CaseReader) -> None:
        self.stepper, self.reader = stepper, reader

    def __call__(self, share: float, epoch: int) -> Iterator[BatchSeen]:
        """The batches of all processes."""
        places = None
        if share < 1:
            seed = seed_of(self.stepper.settings.seed, "method", epoch)
            count = min(max(math.ceil(share * self.reader.count), self.stepper.processes.count), self.reader.count)
            places = sorted(np.random.default_rng(seed).permutation(self.reader.count)[:count].tolist())
        for batch in self.reader(places):
            yield from self._everywhere(batch)

    def _everywhere(self, batch: Batch) -> Iterator[BatchSeen]:
        stepper, processes = self.stepper, self.stepper.processes
        modes = [(part, part.training) for part in stepper.network.modules()]
        stepper.network.eval()
        placed = stepper.place(batch)
        with torch.no_grad(), processes.accelerator.autocast():
            results = stepper.objective(*arguments(stepper.network, placed), outputs=True, shares={})
        for part, mode in modes:
            part.training = mode
        kept = {name: value for name, value in results.items() if name.startswith(("features/", "output/"))}
        if processes.count == 1:
            yield stepper.seen(placed, kept, {})
            return
        for other, values in processes.gather((batch, {name: value.cpu() for name, value in kept.items()})):
            yield stepper.seen(stepper.place(other), {name: value.to(processes.device)
                                                      for name, value in values.items()}, {})
