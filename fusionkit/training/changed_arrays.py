"""What training changes of a batch at random: the array of each case, or of each item of a bag.

Axes: B cases, N items of a case, M items of all cases, then c channels and (h, w) or (d, h, w).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from fusionkit.data.batch import Batch
from fusionkit.data.geometry.grid import Grid
from fusionkit.layers.known_masks import told


@dataclass(frozen=True, slots=True)
class ChangedArray:
    """One array that is changed: that of a row, or of an item of its bag by its place there.

    What is drawn for it follows from the word `drawn`, and its noise from `field`: arrays with the same ones are
    changed alike.
    """

    row: int
    drawn: str
    field: str
    item: int | None = None


Arrays = Sequence[ChangedArray | None]
"""The arrays of a tensor along its first axis; None is one that is missing."""


@dataclass(frozen=True)
class ChangedItems:
    """How the items of a bag are changed: slices of one volume `alike`, files each by itself.

    `grids` has by row where each item is, or one for all slices, and nothing where the files do not tell. An item is
    known by its place among all of its case, so that those of which it is drawn change nothing.
    """

    alike: bool
    grids: Sequence[Sequence[Grid | None]]

    def grid(self, array: ChangedArray) -> Grid | None:
        """Where an item is."""
        known = self.grids[array.row]
        return None if not known else known[0 if self.alike or array.item is None else array.item]

    def array(self, row: int, id: str, item: int) -> ChangedArray:
        """An item of the case `id`."""
        own = f"{id}/{item}"
        return ChangedArray(row, id if self.alike else own, own, item)

    def changed(self, batch: Batch, name: str, rows: Sequence[int | None], ids: Sequence[str], *,
                change: Callable[[Tensor, Arrays], Tensor]) -> Tensor:
        """The items of all cases, (B, N, ...), changed as arrays of their own, (M, ...); padding stays zeros."""
        values, places = batch.inputs[name], batch.places[name].tolist()
        there = [(case, slot) for case, row in enumerate(rows) if row is not None
                 for slot, item in enumerate(places[case]) if item >= 0]
        if not there:
            return values
        arrays = [self.array(row, ids[row], places[case][slot]) for case, slot in there
                  if (row := rows[case]) is not None]
        cases, slots = told(there, values.device).unbind(1)
        items = values[cases, slots]
        made = change(items, arrays)
        if made is items:
            return values
        result = values.clone()
        result[cases, slots] = made
        return result
