"""Applies the transforms of a data file to training batches: drawn for each case from seed, epoch and id.

Axes: B cases, or items of them, c channels, then (h, w) or (d, h, w).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionkit.components.failures import called
from fusionkit.components.transform import Cell, Draws, Motion, TableRow, Transform, TransformMethod
from fusionkit.data.augmentation import Augmentation
from fusionkit.data.batch import Batch
from fusionkit.data.geometry.grid import Grid
from fusionkit.data.laterality import Sides
from fusionkit.data.motions import Joined, Placed, extent_of, joined, moved, placed, placed_by
from fusionkit.errors import RunError
from fusionkit.layers.known_masks import listed, sent, told
from fusionkit.registry.named import Chosen
from fusionkit.training.batch_order import seed_of
from fusionkit.training.changed_arrays import Arrays, ChangedArray, ChangedItems

_WORD = "augment"
_UNIT = 65536 * math.sqrt(4 / 12)
_STEP, _HALVES, _PIECE = -7046029254386353131, 0x0000FFFF0000FFFF, 1 << 16


@dataclass(frozen=True)
class Applied:
    """One transform as a run applies it, and the words of its seed: seed of the run, group or input, name."""

    chosen: Chosen[Transform]
    method: TransformMethod
    seed: int
    owner: str

    def draws(self, epoch: int, id: str) -> Draws | None:
        """The random numbers of a case in an epoch, after the first, which decides; None if it is left alone."""
        random = Draws(self.seed_at(epoch, id))
        return random if random.between(0, 1) < self.chosen.config.chance else None  # type: ignore[attr-defined]

    def seed_at(self, epoch: int, id: str) -> int:
        """The seed of a case in an epoch."""
        return seed_of(self.seed, _WORD, epoch, id, self.owner, self.chosen.declared.name)

    def field(self, epoch: int, id: str) -> int:
        """The key of a case's noise."""
        return seed_of(self.seed, _WORD, epoch, id, self.owner, f"{self.chosen.declared.name} field")

    def call(self, hook: str, *given: Any) -> Any:
        """What a hook of the transform gives. Raises: RunError if it fails."""
        return called(self.chosen.declared.id, self.method, hook, *given)


@dataclass(frozen=True)
class ChangedTable:
    """A table whose cells are changed: its columns, the vectors and known cells of all rows, and the training rows.

    *Shapes*: `vectors` and `known` (rows, width). `rows` are in the order of their ids.
    """

    cells: Sequence[Cell]
    vectors: NDArray[np.float32]
    known: NDArray[np.bool_]
    rows: Sequence[int]

    def row(self, row: int) -> TableRow:
        """The cells of one case."""
        return TableRow(self.vectors[row].astype(np.float64), self.known[row].copy(), self.cells)

    def other(self, row: int, number: float) -> TableRow:
        """Those of another training case, for a number from 0 to 1; of the case itself if there is none."""
        others = len(self.rows) - (row in self.places)
        place = int(number * others)
        return self.row(self.rows[place + (place >= self.places.get(row, others))] if others else row)

    @cached_property
    def places(self) -> Mapping[int, int]:
        """The place of each training row."""
        return {row: place for place, row in enumerate(self.rows)}


class Augmented:
    """Changes the training batches of one dataset; its changes are a function of seed, epoch and the id of a case.

    `ids` are those of all rows; `grids` has where the array of each row is, by input; one that it lacks has voxels of
    1 mm. Inputs that move alike move about the middle of the first of them whose files tell where it is. `labelled`
    are inputs whose values are labels; `tables` have what inputs of columns are changed by, and `items` how bags are.
    """

    def __init__(self, augmentation: Augmentation | None, ids: Sequence[str],
                 grids: Mapping[str, Sequence[Grid | None]], seed: int, *,
                 labelled: Collection[str] = (), tables: Mapping[str, ChangedTable] | None = None,
                 items: Mapping[str, ChangedItems] | None = None, sides: Sides | None = None) -> None:
        self.ids, self.grids, self.labelled, self.tables = ids, grids, labelled, tables or {}
        self.items, self.sides = items or {}, sides or Sides()
        self.cells: dict[str, list[Applied]] = {}
        self.groups: dict[tuple[str, ...], list[Applied]] = {}
        self.values: dict[str, list[Applied]] = {}
        for name, several in (augmentation.inputs if augmentation else {}).items():
            assert augmentation is not None
            group = augmentation.group(name)
            if group not in self.groups:
                self.groups[group] = _made(augmentation.moving(group), seed, "+".join(group))
            self.values[name] = _made([each for each in several if each.declared.acts == "intensity"], seed, name)
            self.cells[name] = _made([each for each in several if each.declared.acts == "cells"], seed, name)

    def __call__(self, batch: Batch, epoch: int) -> Batch:
        """The batch with its present inputs changed; epochs count from 0."""
        if not self.values:
            return batch
        inputs = dict(batch.inputs)
        moving = {name: group for group, transforms in self.groups.items() if transforms for name in group}
        for name in dict.fromkeys((*moving, *(name for name, transforms in self.values.items() if transforms))):
            if name in inputs:
                inputs[name] = self._input(batch, name, moving.get(name), epoch)
        batch = replace(batch, inputs=inputs)
        if self.sides.cells or self.sides.classes:
            batch = swapped(batch, self._mirrored(batch, epoch), self.sides)
        return self._with_cells(batch, epoch)

    def _input(self, batch: Batch, name: str, group: Sequence[str] | None, epoch: int) -> Tensor:
        """The changed values of an input, which moves with a group if it does."""
        def change(values: Tensor, arrays: Arrays) -> Tensor:
            there = values if group is None else self._moved(name, values, arrays, group, epoch)
            return self._changed(there, arrays, self.values.get(name, ()), epoch)

        rows = _rows_of(batch, name)
        if name in self.items:
            return self.items[name].changed(batch, name, rows, self.ids, change=change)
        return change(batch.inputs[name], [None if row is None else ChangedArray(row, self.ids[row], self.ids[row])
                                           for row in rows])

    def _mirrored(self, batch: Batch, epoch: int) -> Tensor:
        """Which cases are mirrored left for right: (B,)."""
        found = [False] * len(batch)
        for group, transforms in self.groups.items():
            mirrors = [each for each in transforms if each.method.mirrors]
            there = [_rows_of(batch, name) for name in group if name in batch.inputs]
            for place, rows in enumerate(zip(*there, strict=True)):
                ids = [self.ids[row] for row in rows if row is not None][:1]
                turns = sum(each.draws(epoch, id) is not None for each in mirrors for id in ids)
                found[place] ^= turns % 2 == 1
        return told(found, batch.index.device)

    def _with_cells(self, batch: Batch, epoch: int) -> Batch:
        """The batch with changed cells of tables."""
        inputs, known = dict(batch.inputs), dict(batch.known)
        for name, transforms in self.cells.items():
            if name in inputs and transforms:
                inputs[name], seen = self._written(name, inputs[name], _rows_of(batch, name), transforms, epoch)
                known |= {name: seen} if name in known else {}
        return replace(batch, inputs=inputs, known=known)

    def _written(self, name: str, values: Tensor, rows: Sequence[int | None], transforms: Sequence[Applied],
                 epoch: int) -> tuple[Tensor, Tensor]:
        """The vectors of a table with changed cells, and which of them are not blank: (B, width) each."""
        table, result = self.tables[name], values.cpu().clone()
        known = torch.zeros(values.shape, dtype=torch.bool)
        for place, row in enumerate(rows):
            if row is None:
                continue
            found = replace(table.row(row), values=result[place].numpy().astype(np.float64))
            for each in transforms:
                random = each.draws(epoch, self.ids[row])
                if random is not None:
                    found = each.call("change", random, found, partial(table.other, row))
            result[place] = torch.from_numpy(found.values.astype(np.float32))
            known[place] = torch.from_numpy(found.known)
        return result.to(values.device, non_blocking=True), sent(known, values.device, non_blocking=True)

    def _moved(self, name: str, values: Tensor, arrays: Arrays, group: Sequence[str], epoch: int) -> Tensor:
        motions, places, drawn = [], [], dict[str, Joined]()
        for array in arrays:
            place, extent = self._placed(name, array, values.shape[2:], group)
            if array is not None and array.drawn not in drawn:
                drawn[array.drawn] = self.motion(self.groups[tuple(group)], epoch, array.drawn, extent)
            motions.append(joined(()) if array is None else drawn[array.drawn])
            places.append(place)
        return moved(values, motions, places, values.flatten(2).amin(2), by_label=name in self.labelled)

    def motion(self, transforms: Sequence[Applied], epoch: int, id: str, extent: Sequence[float]) -> Joined:
        """The motion of one case, or of an item; `id` is the word that its draws follow from."""
        found: list[Motion] = []
        for each in transforms:
            random = each.draws(epoch, id)
            found += [each.call("move", random, extent)] if random is not None else []
        return joined(found)

    def _placed(self, name: str, array: ChangedArray | None, sizes: Sequence[int], group: Sequence[str]
                ) -> tuple[Placed, list[float]]:
        """Where the voxels of an array are, and the extent that transforms see."""
        whole = [1, *sizes] if len(sizes) == 2 else list(sizes)
        known = {} if array is None else {each: self._grid(each, array) for each in group}
        lead = next((grid for grid in known.values() if grid is not None), None)
        if lead is None:
            return placed(whole, [1.0] * 3), [0.0 if size == 1 else float(size) for size in whole]
        own = known[name]
        if own is None and list(lead.shape) != whole:
            return placed(whole, [1.0] * 3), extent_of(lead)
        # One whose file does not tell lies where the first one does: their sizes are equal.
        return placed_by(own or lead, lead), extent_of(lead)

    def _grid(self, name: str, array: ChangedArray) -> Grid | None:
        if name in self.items:
            return self.items[name].grid(array)
        return self.grids[name][array.row] if name in self.grids else None

    def _changed(self, values: Tensor, arrays: Arrays, transforms: Sequence[Applied], epoch: int) -> Tensor:
        """Values changed by the transforms in their order."""
        if not transforms:
            return values
        low, high = values.flatten(1).amin(1), values.flatten(1).amax(1)
        result = values
        for each in transforms:
            result = _apply(each, result, arrays, epoch)
        if result is values:
            return values
        # What was scaled to 0..1 by a window or as the colours of a picture stays there.
        unit = (low >= 0) & (high <= 1)
        if unit.device.type == "cpu" and bool(unit.all()):
            return result.clamp(0, 1)  # several times faster than by limits of each case
        shape = (-1, *[1] * (values.dim() - 1))
        unit = unit.reshape(shape)
        infinite = torch.full_like(low, torch.inf).reshape(shape)
        return result.clamp(torch.where(unit, 0.0, -infinite), torch.where(unit, 1.0, infinite))


def swapped(batch: Batch, mirrored: Tensor, sides: Sides) -> Batch:
    """The batch with the words of both sides exchanged in the mirrored cases."""
    inputs, targets = dict(batch.inputs), dict(batch.targets)
    for cell in sides.cells:
        values = inputs[cell.input]
        made = values.clone()
        if cell.codes is None:
            made[:, list(cell.places)] = values[:, list(reversed(cell.places))]
        else:
            made[:, cell.places[0]] = _exchanged(values[:, cell.places[0]], cell.codes)
        inputs[cell.input] = torch.where(mirrored[:, None], made, values)
    for name, pair in sides.classes.items():
        targets[name] = torch.where(mirrored, _exchanged(targets[name], pair), targets[name])
    return replace(batch, inputs=inputs, targets=targets)


def _exchanged(values: Tensor, pair: tuple[int, int]) -> Tensor:
    first, second = pair
    return torch.where(values == first, second, torch.where(values == second, first, values)).to(values.dtype)


def _rows_of(batch: Batch, name: str) -> list[int | None]:
    """The row of each case of a batch, None where the input is missing."""
    there = listed(batch.present[name]) if name in batch.present else [True] * len(batch)
    return [row if is_there else None for row, is_there in zip(listed(batch.index), there, strict=True)]


def _made(several: Sequence[Chosen[Transform]], seed: int, owner: str) -> list[Applied]:
    return [Applied(chosen, chosen.declared.module(chosen.config), seed, owner) for chosen in several]


def _apply(transform: Applied, values: Tensor, arrays: Arrays, epoch: int) -> Tensor:
    """The values with those arrays changed that the transform draws."""
    rows, drawn, keys = [], [], []
    for row, array in enumerate(arrays):
        random = None if array is None else transform.draws(epoch, array.drawn)
        if array is not None and random is not None:
            rows.append(row)
            drawn.append(transform.call("draw", random))
            keys.append(transform.field(epoch, array.field))
    if not rows:
        return values
    numbers = {name: sent(torch.tensor([each[name] for each in drawn], dtype=torch.float32), values.device, True)
               for name in drawn[0]}
    places = told(rows, values.device)
    chosen = values if len(rows) == len(values) else values[places]
    made = transform.call("apply", chosen, numbers, lambda: noise(chosen, keys))
    if not isinstance(made, Tensor) or made.shape != chosen.shape or made.dtype != values.dtype:
        raise RunError(f"{transform.chosen.declared.id} gives {_shape(made)} for {_shape(chosen)}")
    if len(rows) == len(values):
        return made
    result = values.clone()
    result[places] = made
    return result


def _shape(value: Any) -> str:
    return f"{value.dtype} of {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def noise(like: Tensor, keys: Sequence[int]) -> Tensor:
    """Random numbers of mean 0 and standard deviation 1, the same bits on every device: (B, ...) as `like`.

    SplitMix64 (Steele et al. 2014, doi:10.1145/2714064.2660195) of key and position gives four words of 16 bits, whose
    sum is nearly normal.
    """
    count = like[0].numel()
    made = torch.empty((len(keys), count), device=like.device)
    several = told(list(keys), like.device, torch.int64)[:, None]
    # On the CPU in pieces that stay in its cache.
    piece = min(count, max(1, _PIECE // len(keys))) if like.device.type == "cpu" else count
    first = torch.arange(piece, dtype=torch.int64, device=like.device).mul_(_STEP)
    for start in range(0, count, piece):
        part = made[:, start : start + piece]
        # A tensor, since a product of numbers of Python has no limit.
        ahead = several + torch.full((), start, dtype=torch.int64, device=like.device) * _STEP
        part.copy_(_words(first[: part.shape[1]] + ahead)).sub_(131070).div_(_UNIT)
    return made.reshape(like.shape)


def _words(state: Tensor) -> Tensor:
    """The sum of the four words of 16 bits that SplitMix64 makes of each state, which it writes over."""
    other = torch.empty_like(state)
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685), (31, 1)):
        # A shift of unsigned numbers, which torch has not.
        torch.bitwise_right_shift(state, shift, out=other).bitwise_and_((1 << (64 - shift)) - 1)
        state.bitwise_xor_(other)
        if factor != 1:
            state.mul_(factor)
    # Two sums in the halves of a number, then one in its upper half.
    torch.bitwise_right_shift(state, 16, out=other).bitwise_and_(_HALVES)
    return state.bitwise_and_(_HALVES).add_(other).mul_((1 << 32) + 1).bitwise_right_shift_(32)
