"""The `columns` reader: encodes numbers and categories of a row as one vector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionkit.data.cell_faults import SHOWN_VALUES, CellFault, CellFaults
from fusionkit.data.labels import named
from fusionkit.data.measurement_limits import limits_replaced
from fusionkit.data.numbers import NumberFormats
from fusionkit.data.numeric_column import read_days, read_numbers, yaml_word
from fusionkit.data.readers.columns_options import ColumnsOptions
from fusionkit.data.readers.reader import Sizes, show_sizes
from fusionkit.data.spelling import likely_same
from fusionkit.data.table import Table
from fusionkit.errors import Diagnostic


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """The cells of one input as written.

    Shapes: `numeric` (rows, columns of numbers and dates), NaN where a cell is blank; `categorical` has one tuple a
    row; `present` (rows,) is False where every cell of the input is blank.
    """

    numeric: NDArray[np.float64]
    categorical: tuple[tuple[str, ...], ...]
    present: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ColumnsFit:
    """Statistics of the training cases of an input of columns; `None` in `categories` stands for one they lack."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    encode: str
    fill: str
    standardise: bool
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    medians: tuple[float, ...]
    categories: tuple[tuple[str | None, ...], ...]
    dates: tuple[str, ...] = ()
    ranges: tuple[tuple[float, float] | None, ...] = ()

    @property
    def entries(self) -> tuple[str, ...]:
        """What each value of the vector is: a column, whether it is blank, the code or one category of a column."""
        blanks = [f"{column} is blank" for column in self.numeric] if self.fill == "indicator" else []
        categories = list(self.categorical) if self.encode == "codes" else [
            f"{column} is {name}" if name else f"{column} (not in training)"
            for column, names in zip(self.categorical, self.categories, strict=True) for name in names]
        return (*self.numeric, *blanks, *categories)


Categories = tuple[tuple[str, ...], ...]


def shape(options: ColumnsOptions) -> Sizes | None:
    """The width: known from the options, except that `onehot` also needs the categories."""
    if options.encode == "onehot" and options.categorical:
        return (None,)
    return (_width(options, len(options.categorical)),)


def size_fix(name: str, options: ColumnsOptions, expected: Sizes, met: Sizes) -> str:
    """What to do if an input has unexpected sizes."""
    return f"write 'vector: {show_sizes(met)}' in the graph, or change the columns of the input"


def columns(options: ColumnsOptions) -> dict[str, tuple[str, ...]]:
    """The columns of the table, by the option that names them."""
    return {"numeric": options.numeric, "date": options.dates, "categorical": options.categorical}


def expanded(options: ColumnsOptions, available: Sequence[str]) -> ColumnsOptions:
    """The options with each pattern such as `gene_*` replaced by the columns that fit it, in the order of their names.

    A column that is named by itself is not taken by a pattern too; a pattern that fits none stays as it is.
    """
    named = {name for name in options.measured + options.categorical if name in available or not _is_pattern(name)}
    taken = set(named)

    def columns_of(names: Sequence[str]) -> tuple[str, ...]:
        found: list[str] = []
        for name in names:
            fitting = [name] if name in named else sorted(
                column for column in available if column and column not in taken and fnmatchcase(column, name))
            taken.update(fitting)
            found += fitting or [name]
        return tuple(found)

    if len(named) == len(options.measured + options.categorical):
        return options
    return options.model_copy(update={"numeric": columns_of(options.numeric),
                                      "categorical": columns_of(options.categorical)})


def _is_pattern(name: str) -> bool:
    return "*" in name or "?" in name


def width(options: ColumnsOptions, categories: Categories) -> int:
    """The size of the vector, given the categories."""
    onehot = options.encode == "onehot"
    return _width(options, sum(map(len, categories)) if onehot else len(options.categorical))


def _width(options: ColumnsOptions, categorical: int) -> int:
    return len(options.measured) * (2 if options.fill == "indicator" else 1) + categorical


def parse(table: Table, name: str, options: ColumnsOptions, ids: Sequence[str],
          formats: NumberFormats | None = None) -> tuple[ColumnValues, list[tuple[str, Diagnostic]]]:
    """The cells of input `name` in every row, and the errors in them, each with its column.

    The errors are `blank-number`, `unlisted-category` and those of `numeric_column`. All columns must be in the table.
    """
    formats = formats or NumberFormats()
    cells = {column: limits_replaced(table.cells(column), formats.of(column), options.limits_of(column))
             for column in options.measured}
    for column in options.categorical:
        renamed = {word: found or "" for word, found in options.values.get(column, {}).items()}
        cells[column] = tuple(named(cell, renamed) for cell in table.cells(column)) if renamed else table.cells(column)
    present = np.array([any(row) for row in zip(*cells.values(), strict=True)], dtype=bool)
    numeric = np.full((len(table), len(options.measured)), np.nan)
    faults = {column: CellFaults(table, column, ids) for column in options.dates}
    days = {column: read_days(faults[column], options.order_of(column)) for column in faults}
    for position, column in enumerate(options.measured):
        if column in options.date:
            numeric[:, position] = options.date[column].days(days[column], days)
        else:
            faults[column] = CellFaults(table, column, ids, cells=cells[column])
            numeric[:, position] = read_numbers(faults[column], formats.of(column), "input")
    if options.fill == "refuse":
        needed = [*options.measured, *(rule.before for rule in options.date.values() if rule.before)]
        for column in dict.fromkeys(needed):
            _note_blanks(faults[column].cells, present, name, faults[column])
    for column, listed in options.categories.items():
        faults[column] = CellFaults(table, column, ids, cells=cells[column])
        _note_unlisted(cells[column], listed, faults[column])
    categorical = tuple(zip(*(cells[column] for column in options.categorical), strict=True)) or ((),) * len(table)
    return ColumnValues(numeric, categorical, present), [
        (column, fault) for column, those in faults.items() for fault in those.told()]


def _note_blanks(cells: Sequence[str], present: NDArray[np.bool_], name: str, faults: CellFaults) -> None:
    fault = CellFault("blank-number", "a number is missing", "are blank",
                      f"input {name!r} is otherwise filled in there",
                      f"fill in the cell, or give input {name!r} 'fill: mean', 'median' or 'indicator'")
    for row, cell in enumerate(cells):
        if not cell and present[row]:
            faults.add(row, fault)


def _note_unlisted(cells: Sequence[str], listed: Sequence[str], faults: CellFaults) -> None:
    strange = [cell for cell in dict.fromkeys(cells) if cell and cell not in listed]
    meant = {cell: likely_same(cell, listed) for cell in strange}
    renamed = ", ".join(f"{yaml_word(cell)}: {yaml_word(meant[cell] or '...')}" for cell in strange[:SHOWN_VALUES])
    fault = CellFault(
        "unlisted-category", "{cell} is not one of its 'categories'", "are not among its 'categories'",
        f"they are {', '.join(listed[:SHOWN_VALUES])}{', ...' if len(listed) > SHOWN_VALUES else ''}",
        f"add what is missing to the list, or say what it means: 'values: {{{faults.column}: {{{renamed}}}}}'")
    for row, cell in enumerate(cells):
        if cell in meant:
            faults.add(row, fault)


def categories(values: ColumnValues, rows: Sequence[int], options: ColumnsOptions | None = None) -> Categories:
    """The categories that occur in the given rows, by column, in alphabetical order; or those that `options` list."""
    count = len(values.categorical[0]) if values.categorical else 0
    listed = [options.categories.get(column) for column in options.categorical] if options else [None] * count
    return tuple(own or tuple(sorted({values.categorical[row][column] for row in rows} - {""}))
                 for column, own in enumerate(listed))


def unknown_categories(table: Table, options: ColumnsOptions, values: ColumnValues, layout: Categories,
                       ids: Sequence[str]) -> list[tuple[str, Diagnostic]]:
    """Warnings of `unknown-category`, each with its column: a category that no training case has."""
    found: list[tuple[str, Diagnostic]] = []
    for position, column in enumerate(options.categorical):
        known = set(layout[position]) | {""}
        faults = CellFaults(table, column, ids)
        for row, cells in enumerate(values.categorical):
            if cells[position] not in known:
                meant = likely_same(cells[position], known - {""})
                faults.add(row, CellFault(
                    "unknown-category", "no training case has {cell}", "have a category that is in no training case",
                    "it is read as unknown, like a blank cell", meant and f"did you mean {meant!r}? "
                    "'values' of the input renames cells", "warning"))
        found.extend((column, told) for told in faults.told())
    return found


def as_codes(values: ColumnValues, options: ColumnsOptions) -> Iterator[tuple[
        str, NDArray[np.int64], NDArray[np.float64] | None]]:
    """Each column with an integer code of each value, -1 where blank, and its numbers if it has any.

    Shapes: (rows,) each.
    """
    for position, column in enumerate(options.measured):
        numbers = values.numeric[:, position]
        codes = np.unique(numbers, return_inverse=True)[1].astype(np.int64)
        yield column, np.where(np.isnan(numbers), -1, codes), numbers
    for position, column in enumerate(options.categorical):
        cells = [row[position] for row in values.categorical]
        places = {cell: code for code, cell in enumerate(sorted(set(cells) - {""}))}
        yield column, np.array([places.get(cell, -1) for cell in cells], dtype=np.int64), None


def constant_columns(table: Table, name: str, options: ColumnsOptions, values: ColumnValues,
                     rows: Sequence[int]) -> list[tuple[str, Diagnostic]]:
    """Errors of `one-value`, each with its column: a column that is constant over all these training cases."""
    found: list[tuple[str, Diagnostic]] = []
    filled = [row for row in rows if values.present[row]]
    if len(filled) < 2:
        return found
    kinds = {"numeric": options.measured, "categorical": options.categorical}
    for kind, names in kinds.items():
        for position, column in enumerate(names):
            if kind == "numeric":
                numbers = values.numeric[filled, position]
                met = set(map(str, np.unique(numbers[~np.isnan(numbers)]).tolist())) or {""}
            else:
                met = {values.categorical[row][position] for row in filled}
            if len(met) == 1:
                only = met.pop().removesuffix(".0")
                found.append((column, Diagnostic(
                    "one-value", f"column {column!r} is {only if only else 'blank'} in all {len(filled)} training "
                    "cases", table.header(column), why="a column that never varies carries no information",
                    fix=f"remove it from {'date' if column in options.date else kind!r} of input {name!r}")))
    return found


def fit(values: ColumnValues, options: ColumnsOptions, rows: Sequence[int], layout: Categories) -> ColumnsFit:
    """Means, deviations, medians and categories of the training rows.

    `layout` fixes the positions of the categories, so that every fold of one cohort has the same width.
    """
    known_RN = values.numeric[list(rows)]
    means, deviations, medians = [], [], []
    ranges: list[tuple[float, float] | None] = []
    for column in range(known_RN.shape[1]):
        filled = known_RN[:, column][~np.isnan(known_RN[:, column])]
        mean, deviation = (float(filled.mean()), float(filled.std())) if len(filled) else (0.0, 0.0)
        means.append(mean)
        # A constant column is only centred; dividing by its deviation would blow up any other value.
        deviations.append(deviation if deviation > 1e-12 * max(1.0, abs(mean)) else 1.0)
        ranges.append((float(filled.min()), float(filled.max())) if len(filled) else None)
        medians.append(float(np.median(filled)) if len(filled) else 0.0)
    seen = categories(values, rows)
    kept = tuple(tuple(name if name in seen[column] else None for name in names)
                 for column, names in enumerate(layout))
    return ColumnsFit(options.measured, options.categorical, options.encode, options.fill, options.standardise,
                      tuple(means), tuple(deviations), tuple(medians), kept,
                      tuple(f"{column}: {rule}" for column, rule in options.date.items()),
                      tuple(ranges))


def encode(values: ColumnValues, options: ColumnsOptions, fitted: ColumnsFit) -> NDArray[np.float32]:
    """Every row as a vector: numbers, then (with `indicator`) which were blank, then categories.

    Shapes: (rows, width). A missing row is all zeros.
    """
    blank_RN = np.isnan(values.numeric)
    stand_in = fitted.medians if options.fill == "median" else fitted.means
    numbers_RN = np.where(blank_RN, np.asarray(stand_in), values.numeric)
    if options.standardise:
        numbers_RN = (numbers_RN - np.asarray(fitted.means)) / np.asarray(fitted.deviations)
    blocks: list[NDArray[Any]] = [numbers_RN]
    if options.fill == "indicator":
        blocks.append(blank_RN)
    blocks.extend(_category_blocks(values, options, fitted))
    encoded: NDArray[np.float32] = np.concatenate(blocks, axis=1).astype(np.float32)
    encoded[~values.present] = 0.0
    return encoded


def known_cells(values: ColumnValues, options: ColumnsOptions, fitted: ColumnsFit) -> NDArray[np.bool_]:
    """For each number of `encode`, whether its cell was not blank; what says which cells were blank is known.

    Shapes: (rows, width).
    """
    blank_RN = np.isnan(values.numeric)
    blocks: list[NDArray[np.bool_]] = [~blank_RN]
    if options.fill == "indicator":
        blocks.append(np.ones_like(blank_RN))
    for column, names in enumerate(fitted.categories):
        known_R = np.array([bool(row[column]) for row in values.categorical], dtype=bool)
        blocks.append(np.repeat(known_R[:, None], 1 if options.encode == "codes" else len(names), axis=1))
    return np.concatenate(blocks, axis=1) & values.present[:, None]


def _category_blocks(values: ColumnValues, options: ColumnsOptions, fitted: ColumnsFit) -> list[NDArray[Any]]:
    blocks = []
    for column, names in enumerate(fitted.categories):
        codes: Mapping[str | None, int] = {name: code for code, name in enumerate(names, 1) if name is not None}
        code_R = np.array([codes.get(row[column], 0) for row in values.categorical], dtype=np.int64)
        if options.encode == "codes":
            blocks.append(code_R[:, None])
        else:
            blocks.append(code_R[:, None] == np.arange(1, len(names) + 1))
    return blocks
