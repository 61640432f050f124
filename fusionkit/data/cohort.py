"""A cohort: the checked cases of a data file, their split, their statistics and their tensors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fusionkit.data import grouped_folds, split
from fusionkit.data.bag_files import Place
from fusionkit.data.companions import Companions
from fusionkit.data.dataset import (
    CaseDataset,
    ColumnInput,
    FileInput,
    MaskedCounts,
    Matching,
    Memory,
    PositionsInput,
    SequenceInput,
    Source,
    TableCells,
)
from fusionkit.data.description import DataDescription
from fusionkit.data.division import Division
from fusionkit.data.geometry.grid import Grid
from fusionkit.data.item_positions import Positions
from fusionkit.data.label_maps import labelled
from fusionkit.data.laterality import sides_of
from fusionkit.data.preprocessing import InputReading, Preprocessing, reading_of
from fusionkit.data.readers import columns as vectors
from fusionkit.data.readers.cells import cells_of
from fusionkit.data.readers.cohort_reader import Sequences
from fusionkit.data.readers.facts import Facts
from fusionkit.data.sequences import fit_of, prepared
from fusionkit.data.signature import HeadTarget
from fusionkit.data.standard_scale import Landmarks, fit_scale
from fusionkit.data.table import Table
from fusionkit.data.targets import TargetValues
from fusionkit.errors import DataError, Diagnostic


@dataclass(frozen=True, slots=True)
class Cohort:
    """The checked cases of a data file; rows count from 0 in the order of the table.

    `sizes` are the sizes of every input without the batch axis, with each `auto` resolved; `warnings` are findings
    that do not stop a run. `masked` are the inputs with another number of tokens for every case; their sizes
    are those of the longest. `gathered` are those that a reader gave for all cases, `positions` those of the items of
    another. `known` are the inputs of columns of which a component asks which cells are not blank. `beside` has, for
    inputs whose arrays depend on more than a file and options, what that is, by row.
    """

    description: DataDescription
    table: Table
    ids: tuple[str, ...]
    patients: tuple[str, ...]
    heads: Mapping[str, HeadTarget]
    sizes: dict[str, tuple[int, ...]]
    warnings: tuple[Diagnostic, ...]
    division: Division
    columns: Mapping[str, vectors.ColumnValues]
    layouts: Mapping[str, vectors.Categories]
    paths: Mapping[str, Sequence[Place | None]]
    targets: Mapping[str, TargetValues]
    masked: Mapping[str, MaskedCounts] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    beside: Mapping[str, Sequence[Companions]] = field(default_factory=dict)
    facts: Mapping[tuple[str, int], Facts] = field(default_factory=dict, compare=False, repr=False)
    gathered: Mapping[str, Sequences] = field(default_factory=dict, compare=False, repr=False)
    positions: Mapping[str, Positions] = field(default_factory=dict, compare=False, repr=False)
    memory: Memory = field(default_factory=Memory, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def rows(self) -> tuple[int, ...]:
        """All rows."""
        return tuple(range(len(self)))

    @property
    def split_kind(self) -> Literal["none", "column", "folds", "fraction"]:
        """How the cohort is split."""
        divided = self.division.parts or self.fold_count
        return self.description.split.kind if self.description.split and divided else "none"

    @property
    def fold_count(self) -> int:
        """The number of folds, 0 without folds."""
        return self.division.fold_count

    def split_rows(self, part: Literal["train", "validation", "test"]) -> tuple[int, ...]:
        """The rows of a part, empty without a split; with folds, those of fold 0 (no validation)."""
        return self.division.rows(part)

    def fold(self, number: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The training rows and the test rows of one fold."""
        return self.division.fold(number)

    def left_out(self, number: int) -> str:
        """What a fold leaves out, to follow its number in a sentence; empty where it leaves out no value of a column.
        """
        names, spec = self.division.names, self.description.split
        return f": {spec.leave_out} {names[number]!r} is left out" if names and spec else ""

    def hold_out(self, rows: Sequence[int], fraction: float, seed: int = 0) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Some rows, divided into those kept and those held out; groups stay together, classes are balanced."""
        groups, strata = self._kept_together(rows, 2, [name for name, head in self.heads.items()
                                                       if head.declared_task.stratified])
        parts = grouped_folds.fraction_of(groups, strata, {"test": fraction}, seed)
        pairs = list(zip(rows, parts, strict=True))
        return tuple(r for r, part in pairs if part == "train"), tuple(r for r, part in pairs if part == "test")

    def held_out_folds(self, rows: Sequence[int], count: int, seed: int = 0) -> tuple[int, ...]:
        """For each row, which of `count` networks holds it out; each network holds out a different part of the rows.

        Groups stay whole, classes or quarters of a measurement even. -1 for the rows of a class that stands in one
        group alone, since a network without it could not learn the class.
        Raises: DataError with `too-few-cases`.
        """
        groups, strata = self._kept_together(rows, count, self.heads)
        if len(set(groups)) < count:
            raise DataError(Diagnostic(
                "too-few-cases", f"{count} networks cannot each hold out different cases: there are "
                f"{len(set(groups))} to divide", self.description.span("cases"),
                fix="set 'hold_out: 0', or train on more cases"))
        folds = grouped_folds.fold_of(groups, strata, count, seed)
        where = defaultdict(set)
        for group, stratum in zip(groups, strata or (), strict=bool(strata)):
            where[stratum].add(group)
        return tuple(-1 if strata and len(where[strata[place]]) == 1 else int(fold)
                     for place, fold in enumerate(folds))

    def group_count(self, rows: Sequence[int]) -> int:
        """The number of groups of rows that a split keeps together, such as patients."""
        return len(set(self._kept_together(rows, 0, ())[0]))

    def _kept_together(self, rows: Sequence[int], parts: int, heads: Collection[str]
                       ) -> tuple[list[str], list[str] | None]:
        """The group and the stratum of each row: the split's, else by the first of these heads that has targets."""
        _, groups = split.groups_of(self.description, self.table, self.ids)
        chosen = self.description.split.stratify if self.description.split else None
        learnt = [name for name in heads if self.targets[name].present.any()]
        names = [chosen] if chosen else learnt[:1]
        strata = split.strata_of(self.table, self.description.targets[names[0]], self.description.numbers, groups,
                                 parts) if names else None
        return [groups[row] for row in rows], [strata[row] for row in rows] if strata else None

    def present(self, name: str) -> NDArray[np.bool_]:
        """Which rows have an input.

        Shapes: (rows,).
        """
        if name in self.columns:
            return self.columns[name].present
        if name in self.gathered:
            return np.array([array is not None for array in self.gathered[name].arrays], dtype=bool)
        if name in self.positions:
            return np.array([there is not None for there in self.positions[name].by_row], dtype=bool)
        return np.array([path is not None for path in self.paths[name]], dtype=bool)

    def named_patients(self, rows: Sequence[int]) -> list[str] | None:
        """The patient of each of the rows, None where the data name no patients."""
        return None if self.description.patient is None else [self.patients[row] for row in rows]

    def class_counts(self, head: str, rows: Sequence[int]) -> dict[str, int]:
        """How many of the rows have each class or label, in the order of the head, or as its task counts."""
        target, found = self.heads[head], self.targets[head]
        known = found.values[[row for row in rows if found.present[row]]]
        counts = target.declared_task.method.counts(known, np.ones(len(known)), target.classes)
        return {name: int(count) for name, count in counts.items()}

    def fit(self, rows: Sequence[int]) -> Preprocessing:
        """Statistics of the given rows, which must be training rows only."""
        fitted = {name: vectors.fit(values, self.description.inputs[name].options, rows, self.layouts[name])
                  for name, values in self.columns.items()}
        counts = {name: found for name in self.heads if (found := self.class_counts(name, rows))}
        scales = {name: self._scale(name, rows) for name in self.sizes if self._is_matched(name)}
        sequences = {name: fit_of(self.description.inputs[name].source.gives, found, rows)
                     for name, found in self.gathered.items()}
        readings = {name: self._reading(name, rows) for name in self.sizes}
        return Preprocessing(fitted, counts, readings, scales, sequences)

    def _is_matched(self, name: str) -> bool:
        """Whether an input is brought to a standard scale, which is fitted to the training cases."""
        return getattr(self.description.inputs[name].options, "normalise", None) == "nyul"

    def _scale(self, name: str, rows: Sequence[int]) -> tuple[Landmarks, ...]:
        """The standard scale of each channel, or of all items of an array; every file of a bag counts once."""
        found = [self.facts[name, row].landmarks for row in rows if (name, row) in self.facts]
        if self.description.inputs[name].bag is not None:
            width = self.sizes[name][1]
            found = [case[start:start + width] for case in found for start in range(0, len(case), width)]
        elif name in self.masked:
            return (fit_scale([each for case in found for each in case]),)
        return tuple(fit_scale(channel) for channel in zip(*found, strict=True)) or (fit_scale([]),)

    def _reading(self, name: str, rows: Sequence[int]) -> InputReading:
        """How an input is read, and the metadata of the files of the given rows."""
        facts = {self.ids[row]: self.facts[name, row] for row in rows if (name, row) in self.facts}
        return reading_of(self.description.inputs[name], self.sizes[name], facts)

    def dataset(self, rows: Sequence[int], preprocessing: Preprocessing, cache: Path | None = None) -> CaseDataset:
        """The cases of some rows; arrays of files are cached in the folder `cache` after reading."""
        inputs: dict[str, Source] = {}
        for name in self.sizes:
            spec = self.description.inputs[name]
            if name in self.columns:
                values = self.columns[name]
                encoded = vectors.encode(values, spec.options, preprocessing.fitted(name))
                known = vectors.known_cells(values, spec.options, preprocessing.fitted(name))
                changed = self.description.augmentation is not None and name in self.description.augmentation.inputs
                cells = cells_of(spec.options, preprocessing.fitted(name), values, list(rows)) if changed else ()
                inputs[name] = ColumnInput(encoded, values.present, known if name in self.known else None,
                                           TableCells(cells, known) if changed else None)
            elif name in self.gathered:
                inputs[name] = self._sequences(name, preprocessing)
            elif name in self.positions:
                inputs[name] = PositionsInput(self.positions[name], self.masked[name])
            else:
                specs = [spec.of_row(partial(self.table.cell, row)) for row in self.rows] if spec.filled else ()
                matching = Matching(preprocessing.scale(name), {
                    row: facts.landmarks for (owner, row), facts in self.facts.items() if owner == name},
                ) if self._is_matched(name) else None
                inputs[name] = FileInput(spec, self.sizes[name], self.paths[name], specs, self.masked.get(name),
                                         matching, self.beside.get(name, ()))
        made = CaseDataset(self.ids, rows, inputs, self.targets, cache=cache, memory=self.memory,
                           patients=self.patients)
        made.augmentation = self.description.augmentation
        if made.augmentation is not None:
            made.sides = sides_of(self.description, self.layouts, self.heads)
            made.item_grids = {name: [facts.item_grids for facts in self._facts_of(name)]
                               for name in made.augmentation.inputs
                               if name in inputs and self.description.inputs[name].bag is not None}
        made.labelled = labelled(self.description.inputs, self.facts)
        made.grids = {name: grids for name, grids in self.grids.items() if name in self.sizes and any(grids)}
        return made

    def _sequences(self, name: str, preprocessing: Preprocessing) -> SequenceInput:
        """An input of all cases, its values standardised."""
        fit = preprocessing.sequence(name)
        arrays = [None if array is None else prepared(array, fit) for array in self.gathered[name].arrays]
        widths = {"events": 3, "series": 2 * fit.kinds + 1, "tokens": fit.kinds}
        missing = np.zeros((0, widths[fit.layout]), dtype=np.float32) if fit.layout in widths else np.zeros(
            0, dtype=np.int64)
        return SequenceInput(arrays, self.masked[name], missing)

    def inputs_without_extent(self, rows: Sequence[int]) -> list[str]:
        """The inputs of which files of some of the rows do not tell the size of a voxel."""
        return [name for name, places in self.paths.items() for facts in [self._facts_of(name)]
                if any(places[row] is not None and not all(facts[row].item_grids or [facts[row].outcome_grid])
                       for row in rows)]

    def _facts_of(self, name: str) -> list[Facts]:
        """The metadata of an input of files by row, empty for one without a file."""
        none = Facts()
        return [self.facts.get((name, row), none) for row in self.rows]

    @property
    def grids(self) -> dict[str, list[Grid | None]]:
        """The grid of the array of every file, by input and row; None where it is not known."""
        return {name: [facts.outcome_grid for facts in self._facts_of(name)] for name in self.paths}
