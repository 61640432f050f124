"""Of cases with many items, training takes some: drawn for each case from seed, epoch and id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from fusionkit.data.batch import Batch, Case, pad, pad_places
from fusionkit.data.dataset import CaseDataset, FileInput, PositionsInput
from fusionkit.data.item_choice import drawn
from fusionkit.data.readers.bag import BagOptions
from fusionkit.layers.known_masks import computed, listed, sent
from fusionkit.training.batch_order import seed_of


class ItemDraws:
    """Takes at most `most` items of each case, without replacement and in their order; positions go along.

    `most` is by input. A case that is given with the items of its epoch keeps them.
    """

    def __init__(self, cases: CaseDataset, seed: int) -> None:
        self.ids, self.seed = cases.ids, seed
        self.owners: dict[str, str] = {}
        self.most: dict[str, int] = {}
        for name, source in cases.inputs.items():
            bag: BagOptions | None = None
            if isinstance(source, FileInput):
                bag, owner = source.spec.bag, name
            elif isinstance(source, PositionsInput):
                bag, owner = source.positions.bag, source.positions.of
            if bag is not None and bag.most is not None:
                self.owners[name], self.most[name] = owner, bag.most

    def __call__(self, batch: Batch, epoch: int) -> Batch:
        """The batch with the items of one epoch, counted from 0."""
        inputs, valid, places = dict(batch.inputs), dict(batch.valid), dict(batch.places)
        for name, owner in self.owners.items():
            if name not in inputs:
                continue
            counts = listed(computed(_counted, valid[name]))
            taken = [self.chosen(owner, row, epoch, count, self.most[name]) if count else []
                     for row, count in zip(listed(batch.index), counts, strict=True)]
            inputs[name], real = pad([tokens[list(chosen)] for tokens, chosen in zip(inputs[name], taken, strict=True)])
            if name in places:
                places[name] = pad_places([of[list(chosen)] for of, chosen in zip(places[name], taken, strict=True)])
            valid[name] = sent(real, inputs[name].device, non_blocking=True)
        return replace(batch, inputs=inputs, valid=valid, places=places)

    def chosen(self, owner: str, row: int, epoch: int, count: int, most: int) -> Sequence[int]:
        """The places of the items of a case that an epoch takes."""
        # The words of the seed are those of augmentation, of which this is one.
        random = np.random.default_rng(seed_of(self.seed, "augment", epoch, self.ids[row], owner, "items"))
        return list(drawn(random, count, most))


def _counted(valid_BN: Tensor) -> Tensor:
    return valid_BN.sum(1)


def of_all_items(cases: Dataset[Case], seed: int) -> Dataset[Case]:
    """A dataset as training reads it: cases have all of their items, or where the epoch is known those drawn for it."""
    return cases.with_all_items(ItemDraws(cases, seed)) if isinstance(cases, CaseDataset) else cases


def recorded(cases: Any, seed: int = 0) -> dict[str, int]:
    """How many items of each input training draws, for the record of a run."""
    return ItemDraws(cases, seed).most if isinstance(cases, CaseDataset) else {}
