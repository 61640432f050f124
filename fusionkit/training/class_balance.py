"""The targets of the training cases: what heads are told of them before training, and balanced sampling."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from fusionkit.data.batch import Case
from fusionkit.data.dataset import CaseDataset
from fusionkit.errors import Diagnostic, UserError
from fusionkit.network.model import FusionModel
from fusionkit.training.batch_order import Batches, Order, by_length, smallest_share
from fusionkit.training.fitting import fit_buffers
from fusionkit.training.settings import TrainingSettings

# Axes: N cases, K classes.

class Targets:
    """The targets of every case of a dataset, without reading files if the dataset knows them.

    A dataset other than `CaseDataset` is read through once.
    """

    def __init__(self, dataset: Dataset[Case], heads: list[str]) -> None:
        self.values: dict[str, NDArray[Any]] = {}
        self.present: dict[str, NDArray[np.bool_]] = {}
        if isinstance(dataset, CaseDataset):
            rows = list(dataset.rows)
            for name in heads:
                self.values[name] = dataset.targets[name].values[rows]
                self.present[name] = dataset.targets[name].present[rows]
            return
        cases = [dataset[index] for index in range(len(dataset))]  # type: ignore[arg-type]  # a sized dataset
        for name in heads:
            self.values[name] = np.stack([case["targets"][name].numpy() for case in cases])
            self.present[name] = np.array([case["target_present"][name] for case in cases], dtype=bool)


def set_class_frequencies(network: FusionModel, targets: Targets, weights_N: NDArray[np.float64]) -> None:
    """Give every head what its task counts in training, such as classes, with each case counted `weights_N` times."""
    for head in network.plan.heads:
        kept = targets.present[head.name]
        values, weights = targets.values[head.name][kept], weights_N[kept]
        counts = head.declared_task.method.counts(values, weights, head.names)
        if counts:
            module, node = network.head(head.name), network.plan.node(head.name).node
            brought = {name: part.detach().clone() for name, part in module.named_parameters()
                       if node.freeze or node.weights}
            module.balance(torch.tensor(list(counts.values()), dtype=torch.float32))
            # First values for what is learnt are not for a head that is frozen, or has weights from a file.
            module.load_state_dict(brought, strict=False)


def prepare_heads(network: FusionModel, targets: Targets) -> None:
    """Show the targets of the training cases to every head with a method `prepare`; frozen ones, and those with weights
    from a file, keep what they bring.

    Raises: RunError if a head fails, or gives its buffers another shape.
    """
    for head in network.plan.heads:
        module: Any = network.head(head.name)
        node = network.plan.node(head.name).node
        if not callable(getattr(module, "prepare", None)) or node.freeze or node.weights:
            continue
        known = targets.values[head.name][targets.present[head.name]]
        if len(known):
            with torch.no_grad():
                fit_buffers(f"the head {head.name!r}", module, "prepare", torch.as_tensor(known))


@dataclass(frozen=True)
class Drawing:
    """Cases grouped by class, from which an epoch draws equally many of each class.

    `groups` are the positions of the cases of each non-empty class, `others` those of the cases without a target,
    which are drawn once each.
    """

    groups: tuple[NDArray[np.int64], ...]
    others: NDArray[np.int64]

    def weights(self) -> NDArray[np.float64]:
        """How often an epoch draws each case on average. Shapes: (N,), its sum is N."""
        labelled = sum(map(len, self.groups))
        weights_N = np.ones(labelled + len(self.others))
        for group in self.groups:
            weights_N[group] = labelled / (len(self.groups) * len(group))
        return weights_N

    def order(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """The cases of one epoch, as many as the dataset has; a case repeats only after all others of its class."""
        labelled = sum(map(len, self.groups))
        quotas = np.full(len(self.groups), labelled // len(self.groups))
        quotas[generator.permutation(len(quotas))[: labelled % len(quotas)]] += 1
        drawn = [self.others]
        for group, quota in zip(self.groups, quotas, strict=True):
            rounds = -(-int(quota) // len(group))
            drawn.append(np.concatenate([generator.permutation(group) for _ in range(rounds)])[:quota])
        return generator.permutation(np.concatenate(drawn))


def balanced(network: FusionModel, targets: Targets) -> Drawing:
    """Balanced drawing by the classes of the first multiclass head.

    Raises: UserError with `cannot-balance` if there is no such head, or no case has its target.
    """
    head = next((head for head in network.plan.heads if head.declared_task.cells == "class"), None)
    if head is None:
        raise UserError(Diagnostic("cannot-balance", "no head of this network is multiclass", why="'balance: "
                                   "classes' draws cases by the class of one head", fix="set 'balance: none'"))
    values, present = targets.values[head.name], targets.present[head.name]
    groups = [np.flatnonzero(present & (values == code)) for code in range(len(head.names))]
    if not present.any():
        raise UserError(Diagnostic("cannot-balance", f"no training case has a class for head {head.name!r}",
                                   fix="set 'balance: none'"))
    return Drawing(tuple(group for group in groups if len(group)), np.flatnonzero(~present))


def _shuffled(count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    return generator.permutation(count)


def training_batches(network: FusionModel, train: Dataset[Case], settings: TrainingSettings, share: tuple[int, int]
                     ) -> Batches:
    """The training batches of one process, its number and count in `share`; the heads get their class frequencies.

    Raises: RunError if a head fails on the targets that it is shown.
    """
    count = len(cast(Sized, train))
    targets = Targets(train, [head.name for head in network.plan.heads])
    prepare_heads(network, targets)
    if settings.balance == "none":
        set_class_frequencies(network, targets, np.ones(count))
        order: Order = partial(_shuffled, count)
    else:
        drawing = balanced(network, targets)
        set_class_frequencies(network, targets, drawing.weights())
        order = drawing.order
    batches = Batches(order, count, settings.batch_size, seed=settings.seed, share=share,
                      smallest=smallest_share(network))
    if settings.batches == "by_length":
        batches.order = by_length(order, _lengths(network, train), batches.sizes)
    if settings.complete_first:
        batches.late, batches.sorted_epochs = _incomplete(network, train), settings.complete_first
    return batches


def _incomplete(network: FusionModel, train: Dataset[Case]) -> NDArray[np.bool_]:
    """Which cases lack an input that the network reads. *Shape*: (N,).

    Raises: UserError with `nothing-to-sort` if all or none do.
    """
    assert isinstance(train, CaseDataset), "what inputs a case has is known of a cohort; please report"
    names = [value.name for value in network.plan.inputs]
    late = np.zeros(len(train), dtype=bool)
    for name in names:
        late |= ~np.array(train.present(name), dtype=bool)
    if late.all() or not late.any():
        raise UserError(Diagnostic("nothing-to-sort", "'complete_first' has nothing to sort",
                                   network.plan.graph.inputs[0].span,
                                   why=f"{'no' if late.all() else 'every'} training case has all of {', '.join(names)}",
                                   fix="set 'complete_first: 0'"))
    return late


def _lengths(network: FusionModel, train: Dataset[Case]) -> NDArray[np.int64]:
    """How many masked tokens each case has.

    Raises: UserError with `no-lengths` if the network has none.
    """
    found = train.lengths() if isinstance(train, CaseDataset) else None
    if found is None:
        raise UserError(Diagnostic("no-lengths", "'batches: by_length' has no lengths to go by",
                                   network.plan.graph.inputs[0].span,
                                   why=f"no input of {network.plan.name!r} has another number of tokens for every case",
                                   fix="set 'batches: random'"))
    return np.array(found, dtype=np.int64)
