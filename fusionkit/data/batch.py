"""Several cases as one batch of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor


class Case(TypedDict):
    """One case of a `CaseDataset`; `index` is its row in the cohort."""

    index: int
    inputs: dict[str, Tensor]
    present: dict[str, bool]
    targets: dict[str, Tensor]
    target_present: dict[str, bool]


@dataclass(frozen=True, slots=True)
class Batch:
    """Cases stacked along a first axis B.

    Shapes: `inputs` float32 (B, ...); `present` and `target_present` bool (B,); `targets` int64 (B,) for
    multiclass and float32 (B, C) otherwise; `index` int64 (B,), the rows in the cohort.
    """

    inputs: dict[str, Tensor]
    present: dict[str, Tensor]
    targets: dict[str, Tensor]
    target_present: dict[str, Tensor]
    index: Tensor

    def __len__(self) -> int:
        return int(self.index.shape[0])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The batch on a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory; a DataLoader calls it by this name."""
        return self._map(lambda tensor: tensor.pin_memory())

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        parts = (self.inputs, self.present, self.targets, self.target_present)
        changed = [{name: change(tensor) for name, tensor in part.items()} for part in parts]
        return Batch(changed[0], changed[1], changed[2], changed[3], change(self.index))


def collate(cases: Sequence[Case]) -> Batch:
    """A batch of some cases of one dataset."""
    first = cases[0]
    return Batch(
        {name: torch.stack([case["inputs"][name] for case in cases]) for name in first["inputs"]},
        {name: torch.tensor([case["present"][name] for case in cases]) for name in first["present"]},
        {name: torch.stack([case["targets"][name] for case in cases]) for name in first["targets"]},
        {name: torch.tensor([case["target_present"][name] for case in cases]) for name in first["target_present"]},
        torch.tensor([case["index"] for case in cases]),
    )
