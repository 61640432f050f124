"""The network and its losses as one module, so that wrappers see every parameter used in a step."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.data.batch import Batch, Mixed
from fusionkit.layers.known_masks import both, count_of, is_whole, places_of
from fusionkit.layers.masking import row_mask
from fusionkit.layers.projection import at_least_single
from fusionkit.network.model import FusionModel
from fusionkit.training.shares import Share

# Axes: B batch.
Tensors = Mapping[str, Tensor]


class Objective(nn.Module):
    """Sums of the losses of a batch, for each head over its valid rows.

    A row is valid for a head if it has a target and the head has a result for it. `forward` returns the sums by head
    name and the auxiliary losses by theirs, all scalars; with `outputs` also every head's raw output as
    `output/name`, (B, ...). Losses run inside `forward` so that distributed wrappers see the head's parameters used.
    A head whose loss compares the cases of a step gets all its valid rows of the step at once: those of the batch, or,
    with `shares`, what a first pass over all batches found. A head that `shares` leaves out has no loss then.
    For the heads named in `scored`, which have classes, it also returns `score/name`: the sum of the probabilities of
    the true class over the valid rows, without gradient; for the values of nodes in `watched` these as
    `features/name`.
    """

    def __init__(self, network: FusionModel, scored: Collection[str] = (), watched: Collection[str] = ()) -> None:
        super().__init__()
        self.network = network
        self._watched = tuple(watched)
        self._scored = frozenset(scored)
        self._heads: tuple[tuple[str, Any], ...] = tuple(
            (head.name, network.head(head.name)) for head in network.plan.heads)
        self.over_step = frozenset(head.name for head in network.plan.heads if head.component.over_step(head.config))

    def forward(self, inputs: Tensors, present: Tensors, targets: Tensors, target_present: Tensors,
                *, outputs: bool = False, shares: Mapping[str, Share] | None = None, mixed: Mixed | None = None
                ) -> dict[str, Tensor]:
        """Loss sums by head, auxiliary losses, and outputs if requested.

        The losses of cases that are `mixed` with others are sums over both targets, by their shares.
        """
        given = self._given(inputs, present)
        valid = counted(self.network, present, target_present)
        results = {}
        for name, module in self._heads:
            if name not in self.over_step:
                other = None if mixed is None else (mixed.targets[name], mixed.share)
                results[name] = loss_sum(module, given[name], targets[name], valid[name], other)
            elif shares is None:
                rows = places_of(valid[name])
                results[name] = compared(module, given[name][rows], targets[name][rows]).sum()
            elif name in shares:
                results[name] = shares[name].through(module, [given[name][places_of(valid[name])]])
        names = {name for name, _ in self._heads}
        results |= {f"features/{name}": given.pop(name) for name in self._watched}
        results |= {name: at_least_single(value) for name, value in given.items() if name not in names}
        results |= {f"score/{name}": _score(module, given[name], targets[name], valid[name])
                    for name, module in self._heads if name in self._scored}
        if outputs:
            results |= {f"output/{name}": given[name] for name in names}
        return results

    def _given(self, inputs: Tensors, present: Tensors) -> dict[str, Tensor]:
        """What the network gives, and the values of nodes that are watched."""
        if not self._watched:
            given: dict[str, Tensor] = self.network(inputs, present)
            return given
        return self.network.results_at([*self.network.outputs, *self._watched], inputs, present)


def loss_sum(module: Any, output: Tensor, target: Tensor, valid_B: Tensor,
             other: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """The sum of a head's losses over the valid rows; `other` has second targets, and the shares (B,) of the first.

    The other rows are replaced before the loss, not after: the gradient of a discarded NaN is NaN.
    """
    def kept(values: Tensor) -> Tensor:
        return values if whole else values.where(row_mask(valid_B, values), 0)

    whole = is_whole(valid_B)
    judged = kept(output)
    losses_B: Tensor = module.loss(judged, kept(target))
    if other is not None:
        second, share_B = other
        others_B: Tensor = module.loss(judged, kept(second))
        losses_B = losses_B * share_B + others_B * (1 - share_B)
    return kept(at_least_single(losses_B)).sum()


def compared(module: Any, output: Tensor, target: Tensor) -> Tensor:
    """The losses of a head that compares cases, of N cases that count: (N,), none of none."""
    if not len(output):
        return at_least_single(output).flatten()
    losses_N: Tensor = module.loss(output, target)
    return at_least_single(losses_N)


@torch.no_grad()
def _score(module: Any, output: Tensor, target_B: Tensor, valid_B: Tensor) -> Tensor:
    """The sum of the probabilities of the true class over the valid rows."""
    decoded_BK: Tensor = module.decode(output.detach()).float()
    true_B = decoded_BK.gather(1, target_B.where(valid_B, 0).unsqueeze(1)).squeeze(1)
    return true_B.where(valid_B, 0).sum()


def counted(network: FusionModel, present: Tensors, target_present: Tensors) -> dict[str, Tensor]:
    """For each head the valid rows, which have a target and a result. Shapes: (B,) boolean."""
    valid = network.validity(present)
    masks: dict[str, Tensor] = {}
    for name, mask in valid.items():
        masks[name] = target_present[name] if mask is None else both(target_present[name], mask)
    return masks


def presence(network: FusionModel, batch: Batch) -> dict[str, Tensor]:
    """The masks that the network takes: those of its optional inputs, and of its masked tokens."""
    masks = batch.masks
    return {value.name: masks[value.name] for value in network.plan.inputs
            if value.present is not None or value.name in batch.valid}


def counts(network: FusionModel, batch: Batch) -> dict[str, int]:
    """The number of valid rows of a batch for each head."""
    masks = counted(network, presence(network, batch), batch.target_present)
    return {name: count_of(mask) for name, mask in masks.items()}


def arguments(network: FusionModel, batch: Batch) -> tuple[Tensors, Tensors, Tensors, Tensors]:
    """A batch as the arguments of `Objective.forward`; node outputs in the batch are passed among the inputs."""
    names = [value.name for value in (*network.plan.inputs, *(v for node in network.plan.nodes for v in node.values))]
    inputs = {name: batch.inputs[name] for name in names if name in batch.inputs}
    return inputs, presence(network, batch), batch.targets, batch.target_present


def auxiliary(network: FusionModel) -> list[str]:
    """The names of the auxiliary losses."""
    return [value.name for node in network.plan.nodes for value in node.values if value.shape.layout == "scalar"]


def lay_out(tensor: Tensor) -> Tensor:
    """An image or a volume with channels innermost in memory; anything else unchanged."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return tensor.contiguous(memory_format=formats[tensor.dim()]) if tensor.dim() in formats else tensor


def lay_out_weights(network: nn.Module) -> None:
    """Put the weights of 2D and 3D convolutions in memory with channels innermost."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            module.weight.data = lay_out(module.weight.data)
