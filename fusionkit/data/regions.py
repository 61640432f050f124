"""The parts of volumes that `roi` asks for, by case: where masks are, boxes from the table, cases without one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from fusionkit.data import case_files
from fusionkit.data.cell_faults import CellFault, CellFaults
from fusionkit.data.companions import ALONE, Companions
from fusionkit.data.geometry.region import PatientBox
from fusionkit.data.geometry.roi_options import RoiOptions
from fusionkit.data.geometry.steps import NO_PART
from fusionkit.data.numeric_column import read_numbers
from fusionkit.data.partial_cohort import PartialCohort
from fusionkit.errors import Diagnostic

Place = tuple[str, int]
"""An input and a row."""


def find_parts(loading: PartialCohort, others: Iterable[str]) -> tuple[PartialCohort, set[Place]]:
    """The masks or the box of every case of the inputs with some, and the places whose mask or cell is wrong.

    `others` are inputs that are read for their grids alone. The errors are those of paths, and of cells that are no
    numbers.
    """
    wrong: set[Place] = set()
    for name in (*loading.paths, *others):
        spec, faulty = loading.description.inputs[name], frozenset[int]()
        if spec.lie_apart:
            continue  # each item has its own, by `item_masks`
        found = [ALONE] * len(loading.table)
        if spec.region is not None:
            masks, faulty = case_files.locate(spec.region, loading.table, loading.ids, loading.findings)
            found = [Companions(mask=mask) for mask in masks]
        elif spec.options.roi is not None:
            found, faulty = _boxes(loading, spec.options.roi)
        if spec.foreground is not None:
            masks, more = case_files.locate(spec.foreground, loading.table, loading.ids, loading.findings)
            found = [replace(each, foreground=mask) for each, mask in zip(found, masks, strict=True)]
            faulty |= more
        wrong |= {(name, row) for row in faulty}
        if any(each != ALONE for each in found):
            loading = replace(loading, beside={**loading.beside, name: found})
    return loading, wrong


def _boxes(loading: PartialCohort, roi: RoiOptions) -> tuple[list[Companions], frozenset[int]]:
    """The boxes that the table gives; a case with a blank cell has none."""
    columns = [*roi.columns, *([roi.extent] if isinstance(roi.extent, str) else [])]
    numbers, wrong = [], set()
    for column in columns:
        faults = CellFaults(loading.table, column, loading.ids)
        numbers.append(read_numbers(faults, loading.description.numbers.of(column), "target"))
        if column == roi.extent:
            for row in np.flatnonzero(numbers[-1] <= 0):
                faults.add(int(row), CellFault("box-outside", "{cell} is not above 0", "are not above 0",
                                               "it is the edge of a box in mm", "correct the cell"))
                wrong.add(int(row))
        loading.findings.extend((column, fault) for fault in faults.told())
        wrong |= {row for row, cell in enumerate(faults.cells) if cell and np.isnan(numbers[-1][row])}
    fixed = [] if isinstance(roi.extent, str) else [float(roi.extent or 0)]
    found = [ALONE if any(map(np.isnan, row)) else Companions(box=PatientBox.told([*row, *fixed], roi.space))
             for row in zip(*(column.tolist() for column in numbers), strict=True)]
    return found, frozenset(wrong)


def without_part(loading: PartialCohort, checked: Mapping[Place, case_files.Checked]) -> set[Place]:
    """The places that lack the input since their mask is empty and `roi` says so.

    Reports `absent-input` where the graph needs it.
    """
    empty = {place for place, found in checked.items() if found.facts.remark(NO_PART) is not None}
    for name, row in sorted(empty):
        if name in loading.inputs and not loading.inputs[name].optional:
            columns = loading.description.inputs[name].columns
            loading.findings.add(Diagnostic(
                "absent-input", f"case {loading.ids[row]!r} has no {name!r}",
                loading.table.span(row, columns[-1] if columns else None), "its mask is empty, and 'empty: absent' of "
                "'roi' takes that for a missing input", f"write 'optional: true' on input {name!r} of the graph, or "
                "'empty: whole' under 'roi'"), name)
    return empty
