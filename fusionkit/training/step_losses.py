"""Losses that compare the cases of a whole step, over its batches and processes, in two passes.

The first pass runs every batch without gradient and keeps what is compared; the loss of all of it gives the gradient
with respect to that; the second pass, the ordinary one, has the backward pass of the products. The gradients are those
of one large batch, at the memory of a small one and the time of one more forward pass. Source: Gao et al. 2021, Scaling
Deep Contrastive Learning Batch Size under Memory Limited Setup, arXiv 2101.06983.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.data.batch import Batch
from fusionkit.errors import RunError
from fusionkit.layers.case_comparison import CaseComparison, Rows
from fusionkit.layers.fitted import Fitted
from fusionkit.layers.known_masks import places_of, sent
from fusionkit.network.model import FusionModel
from fusionkit.network.node_modules import Chain, Each
from fusionkit.planning.plan import Lane, PlannedNode
from fusionkit.training.case_numbers import CaseNumbers
from fusionkit.training.distributed import Processes
from fusionkit.training.objective import Objective, arguments, compared, counted
from fusionkit.training.shares import Share

# Axes: N cases of a step that count.
Compared = Mapping[str, tuple[Tensor, Tensor]]
"""For each head that compares cases, its outputs and targets of those that count."""


@dataclass(frozen=True)
class FirstPass:
    """What the second pass over one batch needs: its part of the loss of each head, and of each call of a comparison,
    and the random numbers that it starts from.
    """

    heads: Mapping[str, Share]
    calls: Sequence[Sequence[Share]]
    random: RandomState


class RandomState:
    """The state of PyTorch's generators, as it was when this was made."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.cpu = torch.get_rng_state()
        self.cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def put_back(self) -> None:
        """Draw the same numbers again."""
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, self.device)


class StepLosses:
    """The losses of a network that compare the cases of a step; `numbers` are those of the cases and their patients.

    Raises: RunError if a component is to compare the cases of a step, and has no comparison to do so.
    """

    def __init__(self, objective: Objective, processes: Processes, numbers: CaseNumbers) -> None:
        self.objective, self.processes, self.numbers = objective, processes, numbers
        network = objective.network
        self.comparisons = _comparisons(network)
        self.seeing = [part for part in network.modules() if isinstance(part, CaseComparison) and part.sees_patients]
        self.checked = False
        self.fitted = [part for part in network.modules() if isinstance(part, Fitted)]

    def needs_two_passes(self, batches: Sequence[Batch]) -> bool:
        """Whether there is such a loss, and more than one batch to compare; the same in every process."""
        return bool(self.objective.over_step or self.comparisons) and (len(batches) > 1 or self.processes.count > 1)

    def first_pass(self, batches: Sequence[Batch], place: Callable[[Batch], Batch], cases: int) -> list[FirstPass]:
        """Run the batches of a step in training mode without gradient; the network is as before afterwards.

        Statistics that a network keeps are those of the second pass alone. `cases` is the number of cases of the step.
        """
        kept = {name: value.clone() for name, value in self.objective.network.named_buffers()}
        random: list[RandomState] = []
        heads: list[Compared] = []
        calls: list[list[list[Rows]]] = []
        for batch in batches:
            random.append(RandomState(self.processes.device))
            calls.append([[] for _ in self.comparisons])
            for comparison, own in zip(self.comparisons, calls[-1], strict=True):
                comparison.taken = _Keeping(own)
            with self.knowing(batch):
                heads.append(self._compared(place(batch)))
        self._release()
        for name, value in self.objective.network.named_buffers():
            value.copy_(kept[name])
        shares = {name: self._head(name, [each[name] for each in heads]) for name in sorted(self.objective.over_step)}
        scales = [cases / len(batch) for batch in batches]
        found = [self._calls(comparison, [each[number] for each in calls], scales)
                 for number, comparison in enumerate(self.comparisons)]
        self.checked = True
        return [FirstPass({name: own[number] for name, own in shares.items()}, [own[number] for own in found],
                          random[number]) for number in range(len(batches))]

    @contextmanager
    def second_pass(self, first: FirstPass) -> Iterator[None]:
        """Within, a batch draws what it drew in the first pass, and comparisons give its part of the step's loss."""
        first.random.put_back()
        for comparison, shares in zip(self.comparisons, first.calls, strict=True):
            comparison.taken = _Giving(iter(shares))
        try:
            yield
        finally:
            self._release()

    @contextmanager
    def knowing(self, batch: Batch) -> Iterator[None]:
        """Within, comparisons that ask for the patients of the cases see those of a batch, and fitted parts its cases.
        """
        index = sent(batch.index, self.processes.device, True) if self.seeing or self.fitted else batch.index
        for comparison in self.seeing:
            comparison.patients = self.numbers.patients(index)
        for part in self.fitted:
            part.cases, part.fold = index, self.numbers.folds(index, part.folds) if part.folds else None
        try:
            yield
        finally:
            for comparison in self.seeing:
                comparison.patients = None
            for part in self.fitted:
                part.cases = part.fold = None

    def _release(self) -> None:
        for comparison in self.comparisons:
            comparison.taken = None

    @torch.no_grad()
    def _compared(self, batch: Batch) -> Compared:
        given = arguments(self.objective.network, batch)
        with self.processes.accelerator.autocast():
            results = self.objective(*given, outputs=True, shares={})
        return kept_of(self.objective, results, batch)

    def _head(self, name: str, batches: Sequence[tuple[Tensor, Tensor]]) -> list[Share]:
        """The shares of this process's batches in the loss of a head."""
        module: Any = self.objective.network.head(name)
        every, own = self._gather(batches)
        sizes = [len(part[0]) for part in every]
        with torch.enable_grad(), self.processes.accelerator.autocast():
            outputs, targets = _leaf(torch.cat([part[0] for part in every])), torch.cat([part[1] for part in every])
            losses_N = compared(module, outputs, targets)
            [slopes], weights = _slopes(losses_N.sum(), [outputs], module)
        values, rows = torch.split(losses_N.detach(), sizes), torch.split(slopes, sizes)
        weights = {key: slope / len(every) for key, slope in weights.items()}
        return [Share(values[place].sum(), [rows[place]], weights, self._seen([batch[0]]))
                for place, batch in zip(own, batches, strict=True)]

    def _calls(self, comparison: CaseComparison, batches: Sequence[Sequence[Rows]], scales: Sequence[float]
               ) -> list[list[Share]]:
        """The shares of this process's batches in the loss of each call of a comparison, for each batch.

        Its loss is a number of a batch, of which the trainer takes the mean weighted by cases: `scales` undo that.
        """
        counts = {len(calls) for part in self.processes.gather([len(calls) for calls in batches]) for calls in
                  ([()] * number for number in part)}
        if len(counts) > 1:
            raise RunError("a loss over the cases of a step is computed in some batches and not in others")
        found: list[list[Share]] = [[] for _ in batches]
        for number in range(len(batches[0])):
            for own, share in zip(found, self._call(comparison, [calls[number] for calls in batches], scales),
                                  strict=True):
                own.append(share)
        return found

    def _call(self, comparison: CaseComparison, batches: Sequence[Rows], scales: Sequence[float]) -> list[Share]:
        every, own = self._gather(batches)
        sizes = [_length(rows) for rows in every]
        *rows, patients = (_joined(column) for column in zip(*every, strict=True))
        with torch.enable_grad(), self.processes.accelerator.autocast():
            given = [_leaf(row) if row is not None and row.is_floating_point() else row for row in rows]
            loss = comparison.compared(tuple(given), patients)
            learned = [row for row in given if row is not None and row.requires_grad]
            slopes, weights = _slopes(loss, learned, comparison)
        parts = iter([torch.split(slope, sizes) for slope in slopes])
        columns = [next(parts) if row is not None and row.requires_grad else None for row in given]
        return [Share(loss.detach(), [None if column is None else column[place] * scale for column in columns],
                      {key: slope * scale / len(every) for key, slope in weights.items()}, self._seen(batch[:-1]))
                for place, scale, batch in zip(own, scales, batches, strict=True)]

    def _seen(self, rows: Sequence[Tensor | None]) -> list[Tensor | None]:
        """What the second pass is compared with: in the first step of a run alone, since it waits for the device."""
        return [] if self.checked else [row if row is not None and row.is_floating_point() else None for row in rows]

    def _gather(self, batches: Sequence[Any]) -> tuple[list[Any], list[int]]:
        """The rows of all batches and processes, in the order of one large batch; and the places of this process's."""
        count, index, device = self.processes.count, self.processes.index, self.processes.device
        if count == 1:
            return list(batches), list(range(len(batches)))
        parts = self.processes.gather([_moved(batch, "cpu") for batch in batches])
        every = [_moved(parts[process][batch], device) for batch in range(len(batches)) for process in range(count)]
        return every, [batch * count + index for batch in range(len(batches))]


@dataclass(frozen=True)
class _Keeping:
    """Keeps what a comparison is called with, its patients last."""

    calls: list[Rows]

    def __call__(self, comparison: CaseComparison, rows: Rows) -> Tensor:
        self.calls.append((*(None if row is None else row.detach() for row in rows), comparison.patients))
        first = next(row for row in rows if row is not None and row.is_floating_point())
        return first.new_zeros(())


@dataclass(frozen=True)
class _Giving:
    """Gives what the first pass found of each call."""

    shares: Iterator[Share]

    def __call__(self, comparison: CaseComparison, rows: Rows) -> Tensor:
        return next(self.shares).through(comparison, rows)


def _comparisons(network: FusionModel) -> list[CaseComparison]:
    """The comparisons of components that compare the cases of a step."""
    found: dict[int, CaseComparison] = {}
    for _, lane, number, module in components_of(network):
        call = lane.calls[number]
        if call.component.kind == "head" or not call.component.over_step(call.config):
            continue
        own = [part for part in module.modules() if isinstance(part, CaseComparison)]
        if not own:
            raise RunError(f"{call.component.id} is to compare the cases of a step, and its module has no "
                           "CaseComparison")
        found |= {id(part): part for part in own}
    return list(found.values())


def components_of(network: FusionModel) -> Iterator[tuple[PlannedNode, Lane, int, nn.Module]]:
    """Every component of a network: its node, its branch, its place in that, and its module."""
    for node in network.plan.nodes:
        module = network.get_submodule(node.name)
        for place, lane in enumerate(node.lanes):
            branch = module.lane(place) if isinstance(module, Each) else module
            for number in range(len(lane.calls)):
                yield node, lane, number, branch[number] if isinstance(branch, Chain) else branch


def _slopes(loss: Tensor, leaves: Sequence[Tensor], module: nn.Module) -> tuple[list[Tensor], dict[str, Tensor]]:
    """The gradients of a loss with respect to its rows, and to the weights of the module that it reads itself."""
    if not loss.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves], {}
    own = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
    found = torch.autograd.grad(loss, [*leaves, *own.values()], allow_unused=True)
    rows = [torch.zeros_like(leaf) if slope is None else slope for leaf, slope in zip(leaves, found, strict=False)]
    weights = dict(zip(own, found[len(leaves) :], strict=True))
    return rows, {name: slope for name, slope in weights.items() if slope is not None}


def _leaf(rows: Tensor) -> Tensor:
    """A copy of rows in at least single precision, of which a gradient is wanted."""
    return rows.detach().to(torch.promote_types(rows.dtype, torch.float32)).requires_grad_()


def _moved(rows: Rows, device: torch.device | str) -> Rows:
    return tuple(None if row is None else row.to(device) for row in rows)


def _length(rows: Rows) -> int:
    return len(next(row for row in rows if row is not None))


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    """The rows of all batches; None if all are, which a mask is only in all of them."""
    known = [part for part in parts if part is not None]
    if known and len(known) < len(parts):
        raise RunError("a loss over the cases of a step has a mask in some batches and not in others")
    return torch.cat(known) if known else None


def kept_of(objective: Objective, results: Mapping[str, Tensor], batch: Batch) -> Compared:
    """The outputs and targets of a batch for each head that compares the cases of a step: those that count."""
    network = objective.network
    _, present, targets, target_present = arguments(network, batch)
    valid = counted(network, present, target_present)
    rows = {name: places_of(valid[name]) for name in objective.over_step}
    return {name: (results[f"output/{name}"][rows[name]], targets[name][rows[name]]) for name in objective.over_step}


def whole_loss(head: Any, parts: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The sum of a head's losses over all cases together."""
    outputs, targets = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return float(compared(head, outputs, targets).sum())
