"""Mixup: a training case is joined with another one, by one share for all inputs and the losses.

Source: Zhang et al. 2018, mixup, arXiv 1710.09412.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fusionkit.components.transform import Draws
from fusionkit.data.augmentation import MixupOptions
from fusionkit.data.batch import Batch, Mixed, collate
from fusionkit.data.dataset import CaseDataset
from fusionkit.errors import Diagnostic, UserError
from fusionkit.layers.known_masks import both, listed
from fusionkit.planning.plan import Plan
from fusionkit.training.batch_order import seed_of


class Mixup:
    """Joins the cases of batches with other training cases that have the same inputs and targets.

    `changed` changes these others at random, as it changes the cases of an epoch.
    Raises: UserError with `mixup-refused` if a head compares cases, whose targets have no shares.
    """

    def __init__(self, options: MixupOptions, plan: Plan, train: CaseDataset, seed: int,
                 changed: Callable[[Batch, int], Batch]) -> None:
        # One that names an option for it compares cases whatever it says there.
        comparing = [head.name for head in plan.heads if head.component.cases != "batch"]
        if comparing:
            raise UserError(Diagnostic(
                "mixup-refused", f"the loss of {comparing[0]!r} compares whole cases, and mixup makes parts of them",
                fix="remove 'mixup' from 'augment' of the data file, or the head"))
        self.options, self.train, self.seed, self.changed = options, train, seed, changed
        self.places = {row: place for place, row in enumerate(train.rows)}
        self.alike: dict[tuple[bool, ...], list[str]] = defaultdict(list)
        self.kind: dict[int, tuple[bool, ...]] = {}
        self.rows = {train.ids[row]: row for row in train.rows}
        there = [train.present(name) for name in train.inputs]
        for place, row in enumerate(train.rows):
            targets = (bool(target.present[row]) for target in train.targets.values())
            self.kind[row] = (*(each[place] for each in there), *targets)
            self.alike[self.kind[row]].append(train.ids[row])
        for ids in self.alike.values():
            ids.sort()

    def __call__(self, batch: Batch, epoch: int) -> Batch:
        """The batch with joined inputs, and the targets of the others with the shares of the cases themselves."""
        rows = listed(batch.index)
        found = [partner_of(self.options, self.seed, epoch, self.train.ids[row], self.alike[self.kind[row]])
                 for row in rows]
        if not any(found):
            return batch
        others = [row if each is None else self.rows[each[0]] for row, each in zip(rows, found, strict=True)]
        share = torch.tensor([1.0 if each is None else each[1] for each in found])
        joined = self.changed(collate([self.train[self.places[row]] for row in others]), epoch)
        joined = joined.to(batch.index.device, non_blocking=True)
        share = share.to(batch.index.device, non_blocking=True)
        inputs = {name: mixed(values, joined.inputs[name], share) for name, values in batch.inputs.items()}
        known = {name: both(cells, joined.known[name]) for name, cells in batch.known.items()}
        return replace(batch, inputs=inputs, known=known, mixed=Mixed(joined.targets, share))


def mixed(values: Tensor, others: Tensor, share: Tensor) -> Tensor:
    """`share` of each case and the rest of the other one: (B, ...); a case with a share of 1 is as it was."""
    part = share.reshape(-1, *[1] * (values.dim() - 1))
    return torch.where(part < 1, values * part + others * (1 - part), values)


def partner_of(options: MixupOptions, seed: int, epoch: int, id: str, ids: Sequence[str]) -> tuple[str, float] | None:
    """The id of the other case and the share of the case itself, at least one half; None if it is left alone.

    `ids` are those of all cases with the same inputs and targets, sorted.
    """
    random = Draws(seed_of(seed, "augment", epoch, id, "batch", "mixup"))
    if random.between(0, 1) >= options.chance or len(ids) < 2:
        return None
    share = _beta(random, options.alpha)
    others = [other for other in ids if other != id]
    return others[int(random.between(0, 1) * len(others))], max(share, 1 - share)


def _beta(random: Draws, alpha: float) -> float:
    """A number of the beta distribution with both parameters `alpha`, by Johnk's method."""
    while True:
        first, second = (math.pow(number, 1 / alpha) for number in random.numbers(2).tolist())
        if 0 < first + second <= 1:
            return first / (first + second)
