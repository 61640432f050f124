"""Losses that compare the cases of a whole step, over its batches and processes, in two passes.

The first pass runs every batch without gradient and keeps what is compared; the loss of all of it gives the gradient
with respect to that; the second pass, the ordinary one, has the backward pass of the products. The gradients are those
of one large batch, at the memory of a small one and the time of one more forward pass. Source: Gao et al. 2021, Scaling
Deep Contrastive Learning Batch Size under Memory Limited Setup, arXiv 2101.06983.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.data.batch import Batch
from fusionkit.training.distributed import Processes
from fusionkit.training.objective import Objective, arguments, compared, counted
from fusionkit.training.shares import Share

# Axes: N cases of a step that count.
Shares = dict[str, Share]
Compared = Mapping[str, tuple[Tensor, Tensor]]
"""For each head that compares cases, its outputs and targets of those that count."""


@dataclass(frozen=True)
class FirstPass:
    """What the second pass over one batch needs: its part of every loss, and the random numbers it starts from."""

    shares: Shares
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
    """The losses of a network that compare the cases of a step."""

    def __init__(self, objective: Objective, processes: Processes) -> None:
        self.objective, self.processes = objective, processes

    def needs_two_passes(self, batches: Sequence[Batch]) -> bool:
        """Whether there is such a loss, and more than one batch to compare; the same in every process."""
        return bool(self.objective.over_step) and (len(batches) > 1 or self.processes.count > 1)

    def first_pass(self, batches: Sequence[Batch], place: Callable[[Batch], Batch]) -> list[FirstPass]:
        """Run the batches of a step in training mode without gradient; the network is as before afterwards.

        Statistics that a network keeps are those of the second pass alone.
        """
        kept = {name: value.clone() for name, value in self.objective.network.named_buffers()}
        random, found = [], []
        for batch in batches:
            random.append(RandomState(self.processes.device))
            found.append(self._compared(place(batch)))
        for name, value in self.objective.network.named_buffers():
            value.copy_(kept[name])
        shares: list[Shares] = [{} for _ in batches]
        for name in sorted(self.objective.over_step):
            for own, share in zip(shares, self._head(name, [each[name] for each in found]), strict=True):
                own[name] = share
        return [FirstPass(*each) for each in zip(shares, random, strict=True)]

    @torch.no_grad()
    def _compared(self, batch: Batch) -> Compared:
        given = arguments(self.objective.network, batch)
        with self.processes.accelerator.autocast():
            results = self.objective(*given, outputs=True, shares={})
        return kept_of(self.objective, results, batch)

    def _head(self, name: str, batches: Sequence[tuple[Tensor, Tensor]]) -> list[Share]:
        """The shares of this process's batches in the loss of a head."""
        module: Any = self.objective.network.head(name)
        everywhere = self._gather(batches)
        outputs, targets = (torch.cat(parts) for parts in zip(*everywhere.cases, strict=True))
        with torch.enable_grad(), self.processes.accelerator.autocast():
            leaf = _leaf(outputs)
            losses_N = compared(module, leaf, targets)
            slopes = _slopes(losses_N.sum(), [leaf], module)
        pairs = list(zip(torch.split(losses_N.detach(), everywhere.sizes),
                         torch.split(slopes.rows[0], everywhere.sizes), strict=True))
        weights = {key: value / len(everywhere.sizes) for key, value in slopes.weights.items()}
        return [Share(losses.sum(), [slope], weights) for losses, slope in (pairs[place] for place in everywhere.own)]

    def _gather(self, batches: Sequence[tuple[Tensor, Tensor]]) -> Gathered:
        """The rows of all batches and processes, in the order of one large batch."""
        count, index, device = self.processes.count, self.processes.index, self.processes.device
        if count == 1:
            return Gathered(list(batches), list(range(len(batches))))
        parts = self.processes.gather([tuple(value.cpu() for value in batch) for batch in batches])
        cases = [(parts[process][batch][0].to(device), parts[process][batch][1].to(device))
                 for batch in range(len(batches)) for process in range(count)]
        return Gathered(cases, [batch * count + index for batch in range(len(batches))])


@dataclass(frozen=True)
class Gathered:
    """Outputs and targets of the batches of all processes; `own` are the places of this process's."""

    cases: Sequence[tuple[Tensor, Tensor]]
    own: Sequence[int]

    @property
    def sizes(self) -> list[int]:
        """The cases of each batch."""
        return [len(outputs) for outputs, _ in self.cases]


@dataclass(frozen=True)
class _Slopes:
    rows: Sequence[Tensor]
    weights: Mapping[str, Tensor]


def _slopes(loss: Tensor, leaves: Sequence[Tensor], module: nn.Module) -> _Slopes:
    """The gradients of a loss with respect to its rows, and to the weights of the module that it reads itself."""
    own = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
    if not loss.requires_grad:
        return _Slopes([torch.zeros_like(leaf) for leaf in leaves], {})
    found = torch.autograd.grad(loss, [*leaves, *own.values()], allow_unused=True)
    rows = [torch.zeros_like(leaf) if slope is None else slope for leaf, slope in zip(leaves, found, strict=False)]
    weights = dict(zip(own, found[len(leaves) :], strict=True))
    return _Slopes(rows, {name: slope for name, slope in weights.items() if slope is not None})


def _leaf(rows: Tensor) -> Tensor:
    """A copy of rows in at least single precision, of which a gradient is wanted."""
    return rows.detach().to(torch.promote_types(rows.dtype, torch.float32)).requires_grad_()


def kept_of(objective: Objective, results: Mapping[str, Tensor], batch: Batch) -> Compared:
    """The outputs and targets of a batch for each head that compares the cases of a step: those that count."""
    network = objective.network
    _, present, targets, target_present = arguments(network, batch)
    valid = counted(network, present, target_present)
    return {name: (results[f"output/{name}"][valid[name]], targets[name][valid[name]])
            for name in objective.over_step}


def whole_loss(head: Any, parts: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The sum of a head's losses over all cases together."""
    outputs, targets = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return float(compared(head, outputs, targets).sum())
