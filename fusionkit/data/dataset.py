"""A dataset of cases as tensors, for a DataLoader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from fusionkit.components.transform import Cell
from fusionkit.data import case_files
from fusionkit.data.augmentation import Augmentation
from fusionkit.data.bag_files import Bag, Place
from fusionkit.data.companions import ALONE, Companions
from fusionkit.data.geometry.grid import Grid
from fusionkit.data.input_spec import InputSpec
from fusionkit.data.item_choice import spread
from fusionkit.data.item_positions import Positions
from fusionkit.data.laterality import Sides
from fusionkit.data.readers.bag import BagOptions
from fusionkit.data.readers.reader import ReadError
from fusionkit.data.standard_scale import Landmarks, to_scale
from fusionkit.data.targets import TargetValues
from fusionkit.errors import RunError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import Dataset

    from fusionkit.data.batch import Case

    Cases = Dataset[Case]
else:
    Cases = object  # a DataLoader takes anything with a length and items; exported networks read cases without torch

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class MaskedCounts:
    """How many tokens the cases of an input have by row, and the most that one may have."""

    most: int | None
    counts: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Matching:
    """How an input is brought to a standard scale: the scale of each channel (or one for all items of an array), and
    the landmarks of each file by row: of the files of a bag one after another, of slices those of their volume."""

    scale: tuple[Landmarks, ...]
    landmarks: Mapping[int, tuple[Landmarks, ...]]

    def of_row(self, row: int, values: Array) -> Array:
        """The values of one row on the standard scale. *Shapes*: (c, ...), kept."""
        return self._scaled(values, self.landmarks[row])

    def of_items(self, row: int, values: Array, places: Sequence[int], sliced: bool) -> Array:
        """The items at some places of the bag of one row on the standard scale. *Shapes*: (N, c, ...), kept."""
        own, width = self.landmarks[row], values.shape[1]
        starts = [0 if sliced else place * width for place in places]
        return np.stack([self._scaled(item, own[start:start + width])
                         for item, start in zip(values, starts, strict=True)])

    def _scaled(self, values: Array, own: Sequence[Landmarks]) -> NDArray[np.float32]:
        scales = self.scale if len(self.scale) == len(own) else self.scale[:1] * len(own)
        return np.stack([to_scale(channel, *pair) for channel, *pair in zip(values, own, scales, strict=True)])


@dataclass(frozen=True, slots=True)
class FileInput:
    """An input that is read when a case is accessed; `paths` has one entry per row of the cohort.

    `specs` too, where options are filled in by row; else it is empty. With `masked` the first of `size`, the number of
    tokens, is another for every case. `matching` is for values that are brought to a standard scale. `beside` is, by
    row, what else the arrays depend on; else it is empty.
    """

    spec: InputSpec
    size: tuple[int, ...]
    paths: Sequence[Place | None]
    specs: Sequence[InputSpec] = ()
    masked: MaskedCounts | None = None
    matching: Matching | None = None
    beside: Sequence[Companions] = ()

    def of_row(self, row: int) -> InputSpec:
        """The input as one row reads it."""
        return self.specs[row] if self.specs else self.spec

    def companions(self, row: int) -> Companions:
        """What else the array of a row depends on."""
        return self.beside[row] if self.beside else ALONE

    @property
    def missing(self) -> Array:
        """What stands for a missing input: zeros, or no tokens."""
        return np.zeros((0, *self.size[1:]) if self.masked is not None else self.size, dtype=np.float32)

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether a file still has the size that it was checked for."""
        if self.masked is None:
            return tuple(shape) == self.size
        if self.spec.bag is not None:
            return len(shape) == len(self.size) and tuple(shape[1:]) == self.size[1:] and shape[0] > 0
        return len(shape) == len(self.size) and tuple(shape[1:]) == self.size[1:] and 0 < shape[0] <= (
            self.masked.most or shape[0])


@dataclass(frozen=True, slots=True)
class ColumnInput:
    """An input that is already encoded as a vector for every row of the cohort.

    Shapes: `vectors` (rows, width), `present` (rows,); `known` (rows, width), True = the cell was not blank, where a
    component asks for it. `table` is there where training changes cells.
    """

    vectors: NDArray[np.float32]
    present: NDArray[np.bool_]
    known: NDArray[np.bool_] | None = None
    table: TableCells | None = None


@dataclass(frozen=True, slots=True)
class TableCells:
    """The columns of an input by their places in its vector, and which cells are not blank: (rows, width)."""

    cells: tuple[Cell, ...]
    known: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SequenceInput:
    """An input of another length for every case that is in memory: one array for each row, None where it is missing.

    `masked` has the lengths; an empty array stands for a missing one.
    """

    arrays: Sequence[Array | None]
    masked: MaskedCounts
    missing: Array


@dataclass(frozen=True, slots=True)
class PositionsInput:
    """Where the items of another input are; it gives those of the items that this gives."""

    positions: Positions
    masked: MaskedCounts

    @property
    def missing(self) -> Array:
        """What stands for a missing input: no items."""
        return np.zeros((0, 1), dtype=np.float32)


Source = FileInput | ColumnInput | SequenceInput | PositionsInput
KEEP_BYTES = 1 << 30
"""The memory for arrays of files of each cohort: small cohorts are read only once."""


class Memory:
    """Arrays of files by input and row, cached while there is room; shared by the datasets of one cohort."""

    def __init__(self, room: int = KEEP_BYTES) -> None:
        self.room = self.most = room
        self._kept: dict[tuple[str, int], Array] = {}

    def get(self, name: str, row: int) -> Array | None:
        """The array of an input and row, None if it is not cached."""
        return self._kept.get((name, row))

    def put(self, name: str, row: int, array: Array) -> None:
        """Cache an array if there is room for it."""
        if array.nbytes <= self.room:
            self.room -= array.nbytes
            self._kept[name, row] = array


class ReadInput(NamedTuple):
    """An input of one case: its array, whether the case has it, and which of the items of a bag these are."""

    array: Array
    present: bool = True
    places: Sequence[int] = ()


class ItemChoice(Protocol):
    """Draws items of cases for an epoch."""

    def chosen(self, owner: str, row: int, epoch: int, count: int, most: int) -> Sequence[int]:
        """The places of at most `most` of so many items of a case."""


class CaseDataset(Cases):
    """The preprocessed cases of some rows of a cohort; a missing input is a zero tensor marked as not present.

    Created by `Cohort.dataset`. Files are read when a case is first accessed, and cached in memory while there is room.
    Every case is given as it is: `augmentation` is for the trainer, and so is `whole`, by which cases have all of their
    items and not those that `most_evaluate` leaves: all, or in an `epoch` that is known those that `draws` names.
    `grids` are those of the arrays by input and row, None where the files do not tell; `item_grids`, for the bags that
    are changed at random, those of their items, see `Facts`. `labelled` are the inputs whose values are labels, `sides`
    what changes in a case that is mirrored.

    Reading a case raises `RunError` if its file has changed since it was checked.
    """

    def __init__(self, ids: Sequence[str], rows: Sequence[int], inputs: Mapping[str, Source],
                 targets: Mapping[str, TargetValues], *, cache: Path | None, memory: Memory | None = None,
                 patients: Sequence[str] = ()) -> None:
        self.ids = tuple(ids)
        self.patients = tuple(patients or ids)
        self.rows = tuple(rows)
        self.inputs = dict(inputs)
        self.targets = dict(targets)
        self.cache = cache
        self.memory = memory or Memory()
        self.augmentation: Augmentation | None = None
        self.grids: Mapping[str, Sequence[Grid | None]] = {}
        self.item_grids: Mapping[str, Sequence[Sequence[Grid | None]]] = {}
        self.labelled: frozenset[str] = frozenset()
        self.sides = Sides()
        self.whole = False
        self.draws: ItemChoice | None = None
        self.epoch: int | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: int) -> Case:
        import torch

        row, read = self.rows[position], self.arrays(position)
        masked = tuple(name for name in self.counts if name in read)  # features of frozen nodes stand for the others
        case: Case = {
            "index": row,
            "inputs": {name: torch.from_numpy(each.array) for name, each in read.items()},
            "present": {name: each.present for name, each in read.items()},
            "targets": {name: torch.as_tensor(target.values[row]) for name, target in self.targets.items()},
            "target_present": {name: bool(target.present[row]) for name, target in self.targets.items()},
        }
        if masked:
            case["masked"] = masked
        known = self.known_cells(position)
        if known:
            case["known"] = {name: torch.from_numpy(cells) for name, cells in known.items()}
        if self.grids:
            case["grids"] = {name: affine(of_rows[row]) for name, of_rows in self.grids.items()}
        if self.item_grids:
            case["places"] = {name: torch.tensor(read[name].places, dtype=torch.int64) for name in self.item_grids}
        return case

    def arrays(self, position: int) -> dict[str, ReadInput]:
        """The inputs of one case as arrays, without torch."""
        row = self.rows[position]
        return {name: self.input_of(name, source, row) for name, source in self.inputs.items()}

    def known_cells(self, position: int) -> dict[str, NDArray[np.bool_]]:
        """Which cells of one case are not blank, (c,), of the inputs of which a component asks for it."""
        row = self.rows[position]
        return {name: source.known[row] for name, source in self.inputs.items()
                if isinstance(source, ColumnInput) and source.known is not None}

    def some(self, places: Sequence[int]) -> Self:
        """The cases at some places, in that order; cached values are shared."""
        made = copy(self)
        made.rows = tuple(self.rows[place] for place in places)
        return made

    def with_all_items(self, draws: ItemChoice | None = None) -> Self:
        """The same cases with all of their items, of which `draws` takes some; cached values are shared."""
        made = copy(self)
        made.whole, made.draws = True, draws
        return made

    def of_epoch(self, epoch: int) -> Self:
        """The same cases with the items that are drawn for an epoch, so that no others are read."""
        made = copy(self)
        made.epoch = epoch
        return made

    def lengths(self) -> list[int] | None:
        """How many masked tokens each case has, in order; None if no input has any. No file is read for it."""
        bags = list(self.counts.values())
        return [sum(counts.get(row, 0) for counts in bags) for row in self.rows] if bags else None

    @property
    def counts(self) -> dict[str, Mapping[int, int]]:
        """The numbers of tokens of each input that has masked ones, by row; a row that lacks the input has none."""
        return {name: found.counts for name, source in self.inputs.items() if (found := _counts(source)) is not None}

    @property
    def alike(self) -> dict[str, bool]:
        """The bags whose items are changed at random, and whether all of a case alike, since they are slices."""
        return {name: source.spec.bag.sliced for name, source in self.inputs.items()
                if name in self.item_grids and isinstance(source, FileInput) and source.spec.bag is not None}

    def present(self, name: str) -> list[bool]:
        """Which cases have an input, in order; no file is read for it."""
        source = self.inputs[name]
        if isinstance(source, ColumnInput):
            return [bool(source.present[row]) for row in self.rows]
        if isinstance(source, SequenceInput):
            return [source.arrays[row] is not None for row in self.rows]
        if isinstance(source, PositionsInput):
            return [source.positions.by_row[row] is not None for row in self.rows]
        return [source.paths[row] is not None for row in self.rows]

    def input_of(self, name: str, source: Source, row: int) -> ReadInput:
        """One input of the case in a row of the cohort."""
        if isinstance(source, ColumnInput):
            return ReadInput(source.vectors[row], bool(source.present[row]))
        if isinstance(source, SequenceInput):
            array = source.arrays[row]
            return ReadInput(source.missing, False) if array is None else ReadInput(array)
        if isinstance(source, PositionsInput):
            found = source.positions.by_row[row]
            if found is None:
                return ReadInput(source.missing, False)
            chosen = self._chosen(source.positions.of, source.positions.bag, row, len(found))
            return ReadInput(found[chosen])
        path = source.paths[row]
        if path is None:
            return ReadInput(source.missing, False)
        bag = source.spec.bag
        if bag is not None and (bag.most_evaluate or bag.most) is not None:
            read = self._read(name, source, row, path)  # memory has all items or none
        else:
            kept = self.memory.get(name, row)
            if kept is None:
                kept = self._read(name, source, row, path).array
                self.memory.put(name, row, kept)
            read = ReadInput(kept, places=range(0 if bag is None else len(kept)))
        # What memory holds is shared by the folds, each of which has a scale of its own.
        if source.matching is None:
            return read
        return read._replace(array=source.matching.of_row(row, read.array) if bag is None else
                             source.matching.of_items(row, read.array, read.places, bag.sliced))

    def _chosen(self, name: str, bag: BagOptions, row: int, count: int) -> list[int]:
        """Which of so many items of an input are given."""
        if self.whole and self.draws is not None and self.epoch is not None and bag.most is not None:
            return list(self.draws.chosen(name, row, self.epoch, count, bag.most))
        return list(spread(count, None if self.whole else bag.most_evaluate))

    def _read(self, name: str, source: FileInput, row: int, place: Place) -> ReadInput:
        spec = source.of_row(row)
        if spec.bag is None or isinstance(place, Path):
            assert isinstance(place, Path), "files of a bag without its options; please report"
            array = self._loaded(name, source, row, place, source.companions(row))
            if spec.bag is None:
                return ReadInput(array)
            chosen = self._chosen(name, spec.bag, row, len(array))
            return ReadInput(array[chosen], places=chosen)
        chosen = self._chosen(name, spec.bag, row, len(place.files))
        items = [self._loaded(name, source, row, place.files[item], place.companions(item, source.companions(row)))
                 for item in chosen]
        return ReadInput(np.stack(items), places=chosen)

    def _loaded(self, name: str, source: FileInput, row: int, path: Path, beside: Companions) -> Array:
        """The array of one file, which is one of several items, or the whole input."""
        try:
            array = case_files.load(source.of_row(row), path, self.cache, beside)
        except ReadError as problem:
            raise RunError(f"case {self.ids[row]!r}, input {name!r}, {str(path)!r}: {problem.message}; "
                           "it was readable before the run started") from None
        items = [1] if isinstance(source.paths[row], Bag) else []  # the array is one of several
        if not source.fits((*items, *array.shape)):
            before = f"[null, {', '.join(map(str, source.size[1:]))}]" if source.masked else str(list(source.size))
            raise RunError(f"case {self.ids[row]!r}, input {name!r}, {str(path)!r}: its size is now "
                           f"{list(array.shape)}; it was {before} before the run started")
        # A reader may give an array that is read-only, which a tensor must not share.
        return array if array.flags.writeable else array.copy()


def _counts(source: Source) -> MaskedCounts | None:
    """How many tokens the cases of an input have, None for one without masked tokens."""
    return None if isinstance(source, ColumnInput) else source.masked


def affine(grid: Grid | None) -> Tensor:
    """The affine of a grid, NaN without one: (4, 4)."""
    import torch

    return torch.full((4, 4), torch.nan, dtype=torch.float64) if grid is None else torch.tensor(grid.affine)
