"""Which cases form which batch: depends on seed and epoch only, not on what was run before."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from fusionkit.data.batch import Batch, Case
from fusionkit.data.case_batches import batch_of
from fusionkit.data.copying_ahead import arriving
from fusionkit.data.dataset import CaseDataset
from fusionkit.errors import Diagnostic, RunError, UserError

Changes = Callable[[Batch, int], Batch]
"""What training changes in a batch of an epoch, counted from 0."""
Order = Callable[[np.random.Generator], NDArray[np.int64]]


@dataclass(frozen=True)
class StepBatches:
    """One step of an epoch: this process's part of its batches."""

    batches: list[Batch]
    number: int


class Feed(Protocol):
    """Provides the training batches of an epoch, from number `start` on."""

    def __call__(self, epoch: int, start: int) -> Iterator[Batch]:
        """The batches in order."""


class Batches(Sampler[list[int]]):
    """The batches of one epoch, as the share of one process.

    `order` gives the positions of the cases of an epoch. `epoch` selects the order, `start` is the first batch to
    yield, so that a run can resume in the middle of an epoch. Shares differ by at most one case. In the first
    `sorted_epochs` the cases that are not `late`, (N,), come before the others.
    """

    late: NDArray[np.bool_]
    sorted_epochs = 0

    def __init__(self, order: Order, count: int, size: int, *, seed: int = 0, share: tuple[int, int] = (0, 1),
                 smallest: int = 1) -> None:
        self.order = order
        self.sizes = batch_sizes(count, size, smallest * share[1])
        self.seed = seed
        self.share = share
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        return len(self.sizes) - self.start

    def __iter__(self) -> Iterator[list[int]]:
        positions = self.order(np.random.default_rng([self.seed, self.epoch]))
        if self.epoch < self.sorted_epochs:
            positions = positions[np.argsort(self.late[positions], kind="stable")]
        for batch in np.split(positions, np.cumsum(self.sizes)[:-1])[self.start :]:
            yield np.array_split(batch, self.share[1])[self.share[0]].tolist()


def by_length(order: Order, lengths: NDArray[np.int64], sizes: Sequence[int]) -> Order:
    """The same cases in batches of about equal lengths, which need less padding; the batches are in random order.

    Cases are sorted within `WINDOW` batches that `order` puts one after the other, so that batches differ from epoch to
    epoch. Batches of another size than the first keep their cases and their place at the end.
    """
    full = sum(size == sizes[0] for size in sizes)

    def arranged(generator: np.random.Generator) -> NDArray[np.int64]:
        positions = order(generator)
        bulk = positions[: full * sizes[0]].reshape(full, sizes[0])
        windows = [bulk[start : start + WINDOW] for start in range(0, full, WINDOW)]
        batches = [batch for window in windows for batch in _sorted(window, lengths)]
        turned = [batches[place] for place in generator.permutation(len(batches))]
        return np.concatenate([*turned, positions[full * sizes[0] :]])

    return arranged


WINDOW = 50
"""Batches whose cases are sorted together: with more there is hardly less padding."""


def _sorted(window: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The cases of some batches, (batches, size), sorted by length."""
    flat = window.reshape(-1)
    return flat[np.argsort(lengths[flat], kind="stable")].reshape(window.shape)


def batch_sizes(count: int, size: int, smallest: int = 1) -> list[int]:
    """The sizes of the batches of an epoch; one that would be too small shares cases with the batch before it.

    No case is dropped. Raises: UserError with `batch-too-small` if no batch can have `smallest` cases.
    """
    if min(count, size) < smallest:
        what = f"{count} cases are" if count < smallest else f"'batch_size' {size} is"
        raise UserError(Diagnostic(
            "batch-too-small", f"{what} too few: a batch needs at least {smallest} here",
            why="every process needs at least one case of each batch, and two with a trainable batch norm, "
                "over which it averages",
            fix="raise 'batch_size', use fewer processes, or another norm ('norm: group')"))
    sizes = [size] * (count // size) + ([count % size] if count % size else [])
    if len(sizes) > 1 and sizes[-1] < smallest:
        both = sizes.pop() + sizes.pop()
        sizes += [both] if both < 2 * smallest else [both - both // 2, both // 2]
    return sizes


def smallest_share(network: nn.Module) -> int:
    """How many cases a process needs in a training batch: two with a trainable batch norm, else one."""
    norms = any(isinstance(part, _NormBase) and part.training and not isinstance(part, _INSTANCE)
                for part in network.modules())
    return 2 if norms else 1


_INSTANCE = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


@dataclass(frozen=True)
class _Numbered:
    """The positions of the cases of a batch, and their epoch."""

    places: Sequence[int]
    epoch: int


class _NumberedBatches(Sampler[_Numbered]):
    """Batches with their epoch, which processes that read ahead cannot know otherwise."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[_Numbered]:
        for places in self.batches:
            yield _Numbered(places, self.batches.epoch)


class _WholeBatches(Dataset[Batch]):
    """Whole batches of a dataset, changed where they are read."""

    def __init__(self, cases: Dataset[Case], changed: Changes | None) -> None:
        self.cases, self.changed = cases, changed
        self.memory = getattr(cases, "memory", None)

    def __getitems__(self, wanted: _Numbered) -> Batch:
        if self.changed is None:
            return batch_of(self.cases, wanted.places)
        cases = self.cases.of_epoch(wanted.epoch) if isinstance(self.cases, CaseDataset) else self.cases
        return self.changed(batch_of(cases, wanted.places), wanted.epoch)


class _ReadHere:
    """The batches of an epoch, read when they are asked for; a DataLoader would take longer than small batches."""

    def __init__(self, dataset: _WholeBatches, order: _NumberedBatches) -> None:
        self.dataset, self.order = dataset, order

    def __iter__(self) -> Iterator[Batch]:
        return map(self.dataset.__getitems__, self.order)


def make_loader(dataset: Dataset[Case], batches: Batches, workers: int, pin: bool, changed: Changes | None = None
                ) -> Iterable[Batch]:
    """A loader of the batches, in order, each `changed` where it is read; it draws nothing from the global random
    state.
    """
    cases, order = _WholeBatches(dataset, changed), _NumberedBatches(batches)
    if not workers and not pin:
        return _ReadHere(cases, order)
    given: Any = order  # a sampler of batches gives lists of places, and ours gives the epoch with them
    return DataLoader(cases, batch_sampler=given, collate_fn=_as_it_is, num_workers=workers, pin_memory=pin,
                      persistent_workers=workers > 0, worker_init_fn=_begin,
                      generator=torch.Generator().manual_seed(batches.seed))


def _as_it_is(batch: Any) -> Any:
    return batch


def _begin(worker: int) -> None:
    """Prepare a process that reads ahead.

    Ctrl-C reaches it too; the main process decides when it stops. Of what all may keep in memory it keeps its part.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    told = get_worker_info()
    memory = getattr(told.dataset, "memory", None) if told is not None else None
    if memory is not None and told is not None:
        memory.room //= told.num_workers


def seed_of(*parts: Any) -> int:
    """A seed for one point of a run, derived from the run's seed and that point."""
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def read_batches(loader: Iterable[Batch], device: torch.device | None = None) -> Iterator[Batch]:
    """The batches of a loader; an error in a worker is raised as it would be in the main process.

    With `device` each is there when it is given, and on a GPU the next one on its way.
    """
    try:
        yield from loader if device is None else arriving(iter(loader), device)
    except RunError as error:
        raise RunError(str(error).rpartition("RunError: ")[2].strip()) from None
