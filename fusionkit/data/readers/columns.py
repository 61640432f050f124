"""The `columns` reader: encodes numbers and categories of a row as one vector."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fusionkit.data.readers.reader import Sizes, show_sizes
from fusionkit.data.table import Table
from fusionkit.errors import Diagnostic, did_you_mean

_LARGEST = float(np.finfo(np.float32).max)


class ColumnsOptions(BaseModel):
    """Options of the reader `columns`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    numeric: tuple[str, ...] = Field((), description="Columns of numbers, in the order of the vector.")
    categorical: tuple[str, ...] = Field((), description="Columns of categories; they follow the numbers.")
    encode: Literal["codes", "onehot"] = Field(
        "codes", description="`codes` gives one value per column: 0 for a blank or unknown category, 1 and up for the "
        "categories of the training cases in alphabetical order; `onehot` gives one 0/1 value for each category.",
    )
    fill: Literal["refuse", "mean", "median", "indicator"] = Field(
        "refuse", description="Filling of blank numbers: `refuse` is an error, `mean` and `median` are of the training "
        "cases, `indicator` is the mean plus a 0/1 value for each numeric column that says whether it was blank.",
    )
    standardise: bool = Field(
        True, description="Whether numbers are standardised by mean and standard deviation of the training cases."
    )

    @model_validator(mode="after")
    def _something(self) -> ColumnsOptions:
        names = self.numeric + self.categorical
        if not names:
            raise ValueError("neither 'numeric' nor 'categorical' names a column; write 'numeric: [COLUMN, ...]'")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the column {twice[0]!r} is listed twice; keep one of the two")
        return self


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """The cells of one input as written.

    Shapes: `numeric` (rows, numeric columns), NaN where a cell is blank; `categorical` has one tuple a row;
    `present` (rows,) is False where every cell of the input is blank.
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
    return {"numeric": options.numeric, "categorical": options.categorical}


def width(options: ColumnsOptions, categories: Categories) -> int:
    """The size of the vector, given the categories."""
    onehot = options.encode == "onehot"
    return _width(options, sum(map(len, categories)) if onehot else len(options.categorical))


def _width(options: ColumnsOptions, categorical: int) -> int:
    return len(options.numeric) * (2 if options.fill == "indicator" else 1) + categorical


def parse(table: Table, name: str, options: ColumnsOptions, ids: Sequence[str]) -> tuple[
        ColumnValues, list[tuple[str, Diagnostic]]]:
    """The cells of input `name` in every row, and the errors in them, each with its column.

    The errors are `not-a-number`, `not-finite` and `blank-number`. All columns must be in the table.
    """
    found: list[tuple[str, Diagnostic]] = []
    cells = {column: table.cells(column) for column in options.numeric + options.categorical}
    rows = range(len(table))
    present = np.array([any(cells[column][row] for column in cells) for row in rows], dtype=bool)
    numeric = np.full((len(table), len(options.numeric)), np.nan)
    for position, column in enumerate(options.numeric):
        for row, cell in enumerate(cells[column]):
            number, fault = read_number(cell)
            if not cell and present[row] and options.fill == "refuse":
                fault = ("blank-number", "a number is missing", f"input {name!r} is otherwise filled in for this case",
                         f"fill in the cell, or give input {name!r} 'fill: mean', 'median' or 'indicator'")
            if fault:
                code, message, why, fix = fault
                found.append((column, Diagnostic(code, f"case {ids[row]!r}, column {column!r}: {message}",
                                                 table.span(row, column), why, fix)))
            elif cell:
                numeric[row, position] = number
    categorical = tuple(tuple(cells[column][row] for column in options.categorical) for row in rows)
    return ColumnValues(numeric, categorical, present), found


def read_number(cell: str) -> tuple[float, tuple[str, str, str | None, str] | None]:
    """The number in a cell, NaN if blank; and the code, message, why and fix of an error."""
    if not cell:
        return math.nan, None
    try:
        if "_" in cell or not cell.isascii():
            raise ValueError
        number = float(cell)
    except ValueError:
        return math.nan, ("not-a-number", f"{cell!r} is not a number", None, _number_fix(cell))
    if math.isfinite(number) and abs(number) <= _LARGEST:
        return number, None
    if math.isnan(number):
        return number, ("not-finite", f"{cell!r} is not a finite number", None,
                        f"leave the cell blank, or add 'blank: [{cell}]' to the data file")
    return number, ("not-finite", f"{cell!r} is not a finite number", f"numbers go up to {_LARGEST:.1e}",
                    "correct the value, or leave the cell blank")


def _number_fix(cell: str) -> str:
    if cell.count(",") == 1 and cell.replace(",", "", 1).lstrip("+-").isdigit():
        return f"write a decimal point: {cell.replace(',', '.')}"
    digits = cell.lstrip("+-<>=~ ")[:1].isdigit()
    if digits:
        return "write the bare number, without unit, comparison sign or thousands separator"
    return f"write a number, move the column to 'categorical', or, if it means no value, add 'blank: [{cell}]'"


def categories(values: ColumnValues, rows: Sequence[int]) -> Categories:
    """The categories that occur in the given rows, by column, in alphabetical order."""
    count = len(values.categorical[0]) if values.categorical else 0
    return tuple(tuple(sorted({values.categorical[row][column] for row in rows} - {""})) for column in range(count))


def unknown_categories(table: Table, options: ColumnsOptions, values: ColumnValues, layout: Categories,
                       ids: Sequence[str]) -> list[tuple[str, Diagnostic]]:
    """Warnings of `unknown-category`, each with its column: a category that no training case has."""
    found = []
    for position, column in enumerate(options.categorical):
        known = set(layout[position]) | {""}
        for row, cells in enumerate(values.categorical):
            if cells[position] not in known:
                found.append((column, Diagnostic(
                    "unknown-category", f"case {ids[row]!r}, column {column!r}: no training case has "
                    f"{cells[position]!r}", table.span(row, column), why="it is read as unknown, like a blank cell",
                    fix=did_you_mean(cells[position], known - {""}), severity="warning")))
    return found


def constant_columns(table: Table, name: str, options: ColumnsOptions, values: ColumnValues,
                     rows: Sequence[int]) -> list[tuple[str, Diagnostic]]:
    """Errors of `one-value`, each with its column: a column that is constant over all these training cases."""
    found: list[tuple[str, Diagnostic]] = []
    filled = [row for row in rows if values.present[row]]
    if len(filled) < 2:
        return found
    for kind, names in columns(options).items():
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
                    fix=f"remove it from {kind!r} of input {name!r}")))
    return found


def fit(values: ColumnValues, options: ColumnsOptions, rows: Sequence[int], layout: Categories) -> ColumnsFit:
    """Means, deviations, medians and categories of the training rows.

    `layout` fixes the positions of the categories, so that every fold of one cohort has the same width.
    """
    known_RN = values.numeric[list(rows)]
    means, deviations, medians = [], [], []
    for column in range(known_RN.shape[1]):
        filled = known_RN[:, column][~np.isnan(known_RN[:, column])]
        mean, deviation = (float(filled.mean()), float(filled.std())) if len(filled) else (0.0, 0.0)
        means.append(mean)
        # A constant column is only centred; dividing by its deviation would blow up any other value.
        deviations.append(deviation if deviation > 1e-12 * max(1.0, abs(mean)) else 1.0)
        medians.append(float(np.median(filled)) if len(filled) else 0.0)
    seen = categories(values, rows)
    kept = tuple(tuple(name if name in seen[column] else None for name in names)
                 for column, names in enumerate(layout))
    return ColumnsFit(options.numeric, options.categorical, options.encode, options.fill, options.standardise,
                      tuple(means), tuple(deviations), tuple(medians), kept)


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
