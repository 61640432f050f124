"""Several trainings over the same cases in lockstep: work that is the same for all is done once."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch.utils.data import Dataset

from fusionkit.data.batch import Batch, Case
from fusionkit.data.dataset import CaseDataset
from fusionkit.errors import RunError
from fusionkit.network.model import FusionModel
from fusionkit.progress import Progress
from fusionkit.training.batch_order import make_loader, read_batches
from fusionkit.training.checkpoint import LAST, has_state
from fusionkit.training.held_apart import apart
from fusionkit.training.item_draws import ItemDraws, of_all_items
from fusionkit.training.loop import TrainingRun
from fusionkit.training.objective import arguments
from fusionkit.training.run_checks import check_run
from fusionkit.training.settings import TrainingSettings
from fusionkit.training.signals import Interrupted, Interruption

_ENDED = object()


@dataclass(frozen=True)
class LockstepRun:
    """One of several trainings: the arguments of `fit` except the settings, which all share."""

    model: FusionModel
    train: Dataset[Case]
    validation: Dataset[Case] | None
    folder: Path


class SharedBatches:
    """The training batches of runs in lockstep, read once, in the order of the first run.

    `shared` are node outputs to add to them, computed by `network`, which are the same for all networks.
    """

    def __init__(self, first: TrainingRun, cases: Dataset[Case], network: FusionModel, shared: Collection[str] = ()
                 ) -> None:
        self.first = first
        self.network = network
        self.shared = tuple(shared)
        pinned = first.processes.device.type == "cuda"
        learned = of_all_items(apart(cases, first.settings)[0], first.settings.seed)
        self.draws = ItemDraws(learned, first.settings.seed) if isinstance(learned, CaseDataset) else None
        self.loader = make_loader(learned, first.batches, first.workers, pinned)
        self.place = (-1, -1)
        self.reader: Iterator[Batch] = iter(())
        self.kept: dict[tuple[int, int], Batch] = {}

    def __call__(self, epoch: int, start: int) -> Iterator[Batch]:
        """The batches of an epoch, from number `start` on."""
        for number in range(start, len(self.first.batches.sizes)):
            yield self.batch(epoch, number)

    def prepare(self, epoch: int, step: int) -> None:
        """Read the batches of one step in advance, so that no run's time includes the reading."""
        size, last = self.first.settings.accumulate, len(self.first.batches.sizes)
        for number in range(step * size, min((step + 1) * size, last)):
            self.batch(epoch, number)

    def batch(self, epoch: int, number: int) -> Batch:
        """One batch; those of the current step are cached."""
        if (epoch, number) not in self.kept:
            if self.place != (epoch, number):
                self.first.batches.epoch, self.first.batches.start = epoch, number
                self.reader = read_batches(self.loader)
            while len(self.kept) >= self.first.settings.accumulate:
                del self.kept[next(iter(self.kept))]
            self.kept[epoch, number] = self._with_results(next(self.reader), epoch)
            self.place = (epoch, number + 1)
        return self.kept[epoch, number]

    @torch.no_grad()
    def _with_results(self, batch: Batch, epoch: int) -> Batch:
        if not self.shared:
            return batch
        batch = self.draws(batch, epoch) if self.draws else batch
        placed = self.first.stepper.place(batch)
        with self.first.processes.accelerator.autocast():
            found = self.network.results_at(self.shared, *arguments(self.network, placed)[:2])
        return replace(placed, inputs={**placed.inputs, **found})


def begin(runs: Sequence[LockstepRun], settings: TrainingSettings, interruption: Interruption) -> list[TrainingRun]:
    """The trainings of some runs, each resumed from its folder; those that cannot run in lockstep with the first are
    left out.

    Raises: UserError as `fit` does.
    """
    begun: list[TrainingRun] = []
    for run in runs:
        check_run(run.train, run.validation, settings, folder=run.folder, resume=True, model=run.model)
        training = TrainingRun(run.model, run.train, run.validation, settings, run.folder, interruption=interruption,
                               feed=_nothing)
        if has_state(run.folder / LAST):
            training.restore()
        # Networks with a batch norm may need other batches than networks without.
        if not begun or training.batches.sizes == begun[0].batches.sizes:
            begun.append(training)
        else:
            training.close()
    return begun


def _nothing(epoch: int, start: int) -> Iterator[Batch]:
    raise AssertionError("this run has no batches yet; please report")


def advance_all(trainings: Sequence[TrainingRun], batches: SharedBatches, interruption: Interruption,
                progress: Progress | None = None) -> None:
    """Run all trainings to the end, always the one that is furthest behind, so that they proceed in lockstep.

    A training that fails stays where it stopped; `fit` can resume it and explain the failure.
    Raises: Interrupted on Ctrl-C or SIGTERM, after all have saved.
    """
    epochs, steps = trainings[0].settings.epochs, trainings[0].steps
    for training in trainings:
        training.feed = batches
    live = {number: training.rounds(None) for number, training in enumerate(trainings)}
    while live:
        places = {number: (trainings[number].state.epoch, trainings[number].state.step) for number in live}
        earliest = min(places.values())
        if earliest[0] < epochs and earliest[1] < steps:
            batches.prepare(*earliest)
        if progress:
            progress(earliest[0] * steps + earliest[1], epochs * steps)
        for number in [number for number, place in places.items() if place == earliest]:
            try:
                if next(live[number], _ENDED) is _ENDED:
                    del live[number]
            except Interrupted:
                _stop([trainings[other] for other in live if other != number])
                raise
            except RunError:
                del live[number]
    if progress:
        progress(epochs * steps, epochs * steps)


def _stop(trainings: Sequence[TrainingRun]) -> None:
    for training in trainings:
        with contextlib.suppress(Interrupted):
            training.interrupt()
