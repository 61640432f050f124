"""What training changes in a batch before the network sees it: augmentation, and modality dropout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch.utils.data import Dataset

from fusionkit.data.batch import Batch, Case
from fusionkit.data.dataset import CaseDataset, ColumnInput
from fusionkit.planning.plan import Plan
from fusionkit.training.augmented import Augmented, ChangedTable
from fusionkit.training.batch_order import Changes
from fusionkit.training.changed_arrays import ChangedItems
from fusionkit.training.item_draws import ItemDraws, recorded
from fusionkit.training.mixup import Mixup
from fusionkit.training.modality_dropout import ModalityDropout
from fusionkit.training.settings import TrainingSettings


def fixed(settings: TrainingSettings, train: Dataset[Case]) -> dict[str, Any]:
    """The settings of a run as its state records them, with what a data file adds and resuming may not change."""
    changed = train.augmentation if isinstance(train, CaseDataset) else None
    items = recorded(train)
    return settings.model_dump(mode="json") | {"augment": changed and changed.to_plain()} | (
        {"items": items} if items else {})


@dataclass(frozen=True)
class _Several:
    """Changes one after the other; an object that processes can be given."""

    changes: tuple[Changes, ...]

    def __call__(self, batch: Batch, epoch: int) -> Batch:
        for change in self.changes:
            batch = change(batch, epoch)
        return batch


def batch_changes(plan: Plan, settings: TrainingSettings, train: Dataset[Case]) -> Changes:
    """A function of a batch and an epoch, counted from 0; what it changes follows from the seed and the cases alone.

    Raises: UserError with `nothing-to-drop` or `mixup-refused`.
    """
    dropout = ModalityDropout(plan, settings)
    if not isinstance(train, CaseDataset):
        return dropout
    draws = ItemDraws(train, settings.seed)
    drawn = (draws,) if draws.most else ()
    if train.augmentation is None:
        return _Several((*drawn, dropout))
    augmented = augmented_for(train, settings.seed)
    mixup = train.augmentation.mixup
    joined = () if mixup is None else (Mixup(mixup, plan, train, settings.seed, augmented),)
    return _Several((*drawn, dropout, augmented, *joined))


def augmented_for(train: CaseDataset, seed: int) -> Augmented:
    """The augmentation of the cases of a dataset."""
    rows = sorted(train.rows, key=lambda row: train.ids[row])
    tables = {name: ChangedTable(source.table.cells, source.vectors, source.table.known,
                          [row for row in rows if source.present[row]])
              for name, source in train.inputs.items() if isinstance(source, ColumnInput) and source.table is not None}
    items = {name: ChangedItems(alike, train.item_grids[name]) for name, alike in train.alike.items()}
    return Augmented(train.augmentation, train.ids, train.grids, seed, labelled=train.labelled, tables=tables,
                     items=items, sides=train.sides)
