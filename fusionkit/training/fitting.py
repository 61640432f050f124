"""Fits the buffers of components on the training cases, before the first epoch and between epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.components.failures import called
from fusionkit.data.batch import Batch
from fusionkit.errors import RunError
from fusionkit.layers.fitted import Fitted, TrainingRows
from fusionkit.network.absence import Absence, Mask, evaluate
from fusionkit.network.model import FusionModel
from fusionkit.planning.plan import Lane
from fusionkit.training.batch_order import seed_of
from fusionkit.training.objective import arguments
from fusionkit.training.step import Stepper
from fusionkit.training.step_losses import components_of

# Axes: N training cases, M inputs of a component.


@dataclass(frozen=True)
class _Place:
    """A part that is fitted, the component's module that it is of, and the calls of this in one forward pass.

    `begins` is the number of epochs that end before its node learns.
    """

    node: str
    part: Fitted
    module: nn.Module
    begins: int = 0
    lanes: list[tuple[Lane, int]] = field(default_factory=list)


class Fitting:
    """The parts of a network that are fitted, on the batches of the training cases of this process in their order.

    Parts of frozen nodes are not: they keep what they bring, and those of a node with `unfreeze` until its epoch.
    """

    def __init__(self, stepper: Stepper, batches: Callable[[], Iterable[Batch]]) -> None:
        self.stepper, self.batches = stepper, batches
        self.places = _places(stepper.network)

    @torch.no_grad()
    def __call__(self, epoch: int) -> None:
        """Fit what is fitted when `epoch` epochs have ended; in every process.

        A part is fitted to what those before it give when they are fitted.
        Raises: RunError if one fails, or gives its buffers another shape.
        """
        for place in self.places:
            if epoch == 0 == place.begins or (epoch > place.begins and place.part.when == "epochs"):
                self._fit_place(place, epoch)

    @torch.no_grad()
    def begin(self, epoch: int) -> None:
        """Fit the parts of nodes that begin to learn when `epoch` epochs have ended, and tell heads that one begins;
        in every process.
        """
        for head in self.stepper.network.plan.heads:
            module: Any = self.stepper.network.head(head.name)
            if callable(getattr(module, "begin_epoch", None)):
                fit_buffers(f"the head {head.name!r}", module, "begin_epoch")
        for place in self.places:
            if epoch == place.begins > 0:
                self._fit_place(place, epoch)

    def _fit_place(self, place: _Place, epoch: int) -> None:
        self.stepper.network.eval()
        rows = self._rows(place)
        for fold in (None, *range(place.part.folds)):
            self._fit(place, self._without(rows, fold, place.part.folds), epoch)
        self.stepper.network.train()

    def _rows(self, place: _Place) -> TrainingRows:
        """The rows of all processes, in the order of the table."""
        found: list[_Kept] = []
        for batch in self.batches():
            placed = self.stepper.place(batch)
            inputs, present, targets, known = arguments(self.stepper.network, placed)
            calls: list[tuple[Tensor, ...]] = []
            handle = place.module.register_forward_pre_hook(lambda _, args, kept=calls: kept.append(args))
            try:
                if self.stepper.processes.sharded:
                    self.stepper.objective(inputs, present, targets, known, outputs=True, shares={})
                else:
                    self.stepper.network(inputs, present)
            finally:
                handle.remove()
            found += [_Kept(placed.index, args, _table(lane, number, present, args), targets, known)
                      for (lane, number), args in zip(place.lanes, calls, strict=True)]
        every = [kept for part in self.stepper.processes.gather([kept.moved("cpu") for kept in found])
                 for kept in part]
        index = torch.cat([kept.index for kept in every])
        order, device = index.argsort(stable=True), self.stepper.processes.device

        def joined(parts: Sequence[Tensor]) -> Tensor:
            return torch.cat(list(parts))[order].to(device)

        first = every[0]
        if any(len({kept.inputs[number].shape[1:] for kept in every}) > 1 for number in range(len(first.inputs))):
            raise RunError(f"the node {place.node!r} is fitted, and reads tokens of a variable number: pool them "
                           "before")
        return TrainingRows(
            [joined([kept.inputs[number] for kept in every]) for number in range(len(first.inputs))],
            joined([kept.present for kept in every]), index[order].to(device),
            self.stepper.numbers.patients(index[order]).to(device),
            {name: joined([kept.targets[name] for kept in every]) for name in first.targets},
            {name: joined([kept.known[name] for kept in every]) for name in first.known})

    def _without(self, rows: TrainingRows, fold: int | None, count: int) -> TrainingRows:
        if fold is None:
            return rows
        kept = self.stepper.numbers.folds(rows.cases, count) != fold
        return TrainingRows(
            [value[kept] for value in rows.inputs], rows.present[kept], rows.cases[kept], rows.patients[kept],
            {name: value[kept] for name, value in rows.targets.items()},
            {name: value[kept] for name, value in rows.known.items()}, fold)

    def _fit(self, place: _Place, rows: TrainingRows, epoch: int) -> None:
        part = place.part
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.stepper.settings.seed, "fit", epoch, place.node, rows.fold))
            fit_buffers(f"the node {place.node!r}", part, "fit", rows)


def fit_buffers(owner: str, module: nn.Module, hook: str, *given: Any) -> None:
    """Let a module fit its buffers by a hook. Raises: RunError if it fails, or gives them other shapes."""
    before = {key: value.shape for key, value in module.state_dict().items()}
    called(owner, module, hook, *given)
    if before != {key: value.shape for key, value in module.state_dict().items()}:
        raise RunError(f"{owner} gives its buffers other shapes in {hook!r}; a saved network must fit it")


@dataclass(frozen=True)
class _Kept:
    """What one call of a component read for the cases of one batch."""

    index: Tensor
    inputs: tuple[Tensor, ...]
    present: Tensor
    targets: Mapping[str, Tensor]
    known: Mapping[str, Tensor]

    def moved(self, device: str) -> _Kept:
        """The same on another device."""
        return _Kept(self.index.to(device), tuple(value.to(device) for value in self.inputs), self.present.to(device),
                     {name: value.to(device) for name, value in self.targets.items()},
                     {name: value.to(device) for name, value in self.known.items()})


def _places(network: FusionModel) -> list[_Place]:
    found: dict[int, _Place] = {}
    for node, lane, number, module in components_of(network):
        for part in () if node.node.freeze else module.modules():
            if isinstance(part, Fitted):
                place = _Place(node.name, part, module, node.node.unfreeze - 1)
                found.setdefault(id(part), place).lanes.append((lane, number))
    return list(found.values())


def _table(lane: Lane, number: int, present: Mapping[str, Tensor], args: Sequence[Tensor]) -> Tensor:
    """Which inputs of a call are there: (B, M)."""
    there = {name: mask.flatten(1).any(1) if mask.dim() > 1 else mask for name, mask in present.items()}
    masks: list[Mask] = [evaluate(value.present, there) for value in lane.reads]
    for call in lane.calls[:number]:
        masks = [Absence(call.component.absent).output_mask(masks)] * len(args)
    everyone = torch.ones(len(args[0]), dtype=torch.bool, device=args[0].device)
    return torch.stack([everyone if mask is None else mask for mask in masks], 1)

