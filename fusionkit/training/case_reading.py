"""Reads the cases of a dataset in their order, apart from the batches of training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import cast

import numpy as np
from torch.utils.data import Dataset

from fusionkit.data.batch import Batch, Case
from fusionkit.training.batch_order import Batches, make_loader, read_batches
from fusionkit.training.distributed import Processes
from fusionkit.training.reading_ahead import reading_ahead
from fusionkit.training.settings import TrainingSettings


class CaseReader:
    """The cases of a dataset in batches, this process's share of each; the worker processes of a loader are kept."""

    def __init__(self, dataset: Dataset[Case], settings: TrainingSettings, processes: Processes) -> None:
        self.dataset, self.settings, self.processes = dataset, settings, processes
        self.count = len(cast(Sized, dataset))
        self.workers = reading_ahead(settings, dataset, training=False).workers
        self._loader: Iterable[Batch] | None = None

    def __call__(self, places: Sequence[int] | None = None, smallest: int = 1) -> Iterator[Batch]:
        """All cases in order, or those at some places, in batches of at least `smallest` cases for each process."""
        if places is None and self._loader is None:
            self._loader = self._made(range(self.count))
        return read_batches(self._loader if places is None and self._loader else self._made(places or (), smallest))

    def _made(self, places: Sequence[int], smallest: int = 1) -> Iterable[Batch]:
        order, share = np.array(places, dtype=np.int64), (self.processes.index, self.processes.count)
        batches = Batches(lambda _: order, len(order), self.settings.batch_size, share=share, smallest=smallest)
        return make_loader(self.dataset, batches, self.workers, self.processes.device.type == "cuda")
