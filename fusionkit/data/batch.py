"""Several cases as one batch of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

import torch
from torch import Tensor

from fusionkit.layers.known_masks import both, computed, sent


class Case(TypedDict):
    """One case of a `CaseDataset`; `index` is its row in the cohort.

    `masked` are its inputs that have a number of tokens of their own: (n, c), n = 0 where the input is missing;
    `counts` has this number for those that are not read, where outputs of frozen nodes take their place. `known`
    has, for inputs of columns of which a component asks for it, which cells are not blank: (c,). `grids` has the affine
    of each volume whose files tell where it is, see `fusionkit.data.geometry.grid`: float64 (4, 4), NaN where this case
    lacks one. `places` has, for bags that training changes at random, which of its items these are: int64 (n,).
    """

    index: int
    inputs: dict[str, Tensor]
    present: dict[str, bool]
    targets: dict[str, Tensor]
    target_present: dict[str, bool]
    masked: NotRequired[tuple[str, ...]]
    counts: NotRequired[dict[str, int]]
    known: NotRequired[dict[str, Tensor]]
    grids: NotRequired[dict[str, Tensor]]
    places: NotRequired[dict[str, Tensor]]


@dataclass(frozen=True, slots=True)
class Mixed:
    """The cases that those of a batch are joined with: their `targets` as in `Batch`, and the `share` (B,) of the cases
    of the batch themselves, 1 for one that is joined with none.
    """

    targets: dict[str, Tensor]
    share: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Cases stacked along a first axis B.

    Shapes: `inputs` float32 (B, ...), ids int64; `present` and `target_present` bool (B,); `targets` int64 (B,) for
    multiclass and float32 (B, C) otherwise; `index` int64 (B,), the rows in the cohort. Inputs of masked tokens are
    padded with zeros to the longest case of the batch, (B, N, c), and have `valid` bool (B, N), True = a token. Inputs
    of columns of which a component asks for it have `known` bool (B, c), True = the cell was not blank. Volumes whose
    files tell where they are have `grids` float64 (B, 4, 4), NaN for a case without one; they stay on the CPU.
    `mixed` is there where training joins cases. Bags that training changes at random have `places` int64 (B, N): which
    of the items of its case each one is, -1 for padding; they stay on the CPU too.
    """

    inputs: dict[str, Tensor]
    present: dict[str, Tensor]
    targets: dict[str, Tensor]
    target_present: dict[str, Tensor]
    index: Tensor
    valid: dict[str, Tensor] = field(default_factory=dict)
    known: dict[str, Tensor] = field(default_factory=dict)
    grids: dict[str, Tensor] = field(default_factory=dict)
    mixed: Mixed | None = None
    places: dict[str, Tensor] = field(default_factory=dict)

    @property
    def masks(self) -> dict[str, Tensor]:
        """The mask of every input: of tokens (B, N), of cells (B, c), or of cases (B,) where there is neither."""
        return self.present | {name: both(mask, computed(_column, self.present[name]))
                               for name, mask in (*self.valid.items(), *self.known.items())}

    def __len__(self) -> int:
        return int(self.index.shape[0])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The batch on a device; its masks and its index are still known on the CPU, see `layers.known_masks`."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking),
                         lambda mask: sent(mask, device, non_blocking))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory; a DataLoader calls it by this name."""
        return self._map(Tensor.pin_memory, Tensor.pin_memory)

    def tensors(self) -> Iterator[Tensor]:
        """All that moves with the batch to a device."""
        mixed = [] if self.mixed is None else [*self.mixed.targets.values(), self.mixed.share]
        for part in (self.inputs, self.present, self.targets, self.target_present, self.valid, self.known):
            yield from part.values()
        yield from (self.index, *mixed)

    def _map(self, change: Callable[[Tensor], Tensor], change_mask: Callable[[Tensor], Tensor]) -> Batch:
        def each(part: dict[str, Tensor], how: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
            return {name: how(tensor) for name, tensor in part.items()}

        mixed = self.mixed and Mixed({name: change(target) for name, target in self.mixed.targets.items()},
                                     change(self.mixed.share))
        return Batch(each(self.inputs, change), each(self.present, change_mask), each(self.targets, change),
                     each(self.target_present, change_mask), change_mask(self.index), each(self.valid, change_mask),
                     each(self.known, change_mask), self.grids, mixed, self.places)


def collate(cases: Sequence[Case]) -> Batch:
    """A batch of some cases of one dataset."""
    first = cases[0]
    masked = first.get("masked", ())
    padded = {name: pad([case["inputs"][name] for case in cases]) for name in masked}
    # Outputs of nodes have the mask of the inputs that they come from.
    valid = {name: real for name, (_, real) in padded.items() if name in first["present"]}
    valid |= {name: _real([case["counts"][name] for case in cases]) for name in first.get("counts", ())}
    return Batch(
        {name: padded[name][0] if name in padded else torch.stack([case["inputs"][name] for case in cases])
         for name in first["inputs"]},
        {name: torch.tensor([case["present"][name] for case in cases]) for name in first["present"]},
        {name: torch.stack([case["targets"][name] for case in cases]) for name in first["targets"]},
        {name: torch.tensor([case["target_present"][name] for case in cases]) for name in first["target_present"]},
        torch.tensor([case["index"] for case in cases]),
        valid,
        {name: torch.stack([case["known"][name] for case in cases]) for name in first.get("known", ())},
        {name: torch.stack([case["grids"][name] for case in cases]) for name in first.get("grids", ())},
        places={name: pad_places([case["places"][name] for case in cases]) for name in first.get("places", ())},
    )


def _column(mask_B: Tensor) -> Tensor:
    return mask_B.unsqueeze(1)


def pad(bags: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Tokens (n, c), or items (n, ...), of each case as (B, N, ...), and the mask (B, N); N is at least 1."""
    valid = _real([len(bag) for bag in bags])
    tokens = bags[0].new_zeros(*valid.shape, *bags[0].shape[1:])
    for row, bag in enumerate(bags):
        tokens[row, : len(bag)] = bag
    return tokens, valid


def pad_places(of_cases: Sequence[Tensor]) -> Tensor:
    """The places of the items of each case, (n,), as (B, N), with -1 for padding."""
    padded, real = pad(of_cases)
    return padded.masked_fill(~real, -1)


def _real(counts: Sequence[int]) -> Tensor:
    """The mask (B, N) of so many tokens; N is at least 1."""
    return torch.arange(max(1, *counts)) < torch.tensor(counts).unsqueeze(1)
