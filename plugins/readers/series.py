"""A sampled series of each case from a CSV file: a row for each step, a column for each channel, blank if unknown."""
# Axes: t steps of a case, c channels.

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from fusionkit_plugins.blocks.event_times import UnknownTimeError, hours_of
from fusionkit_plugins.blocks.table_rows import rows_of
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from fusionkit.api import Reader
from fusionkit.reading import Advice, CohortCases, CohortOptions, ReadError, SequenceFault, Sequences


class SeriesOptions(CohortOptions):
    """Options of the reader `series`."""

    filled: ClassVar[tuple[str, ...]] = ()

    path: str = Field(min_length=1, examples=["{id}"], description="Path of the CSV or Parquet file of a case, "
                      "relative to the data file; {column} is replaced by the cell of that column.")
    missing_ok: bool = Field(False, description="If true, the input is missing for cases whose file does not exist.")
    channels: tuple[str, ...] = Field(min_length=1, examples=[["hr", "sbp"]],
                                      description="The columns of the file with the values, in this order; a blank "
                                                  "cell was not measured.")
    time: str | None = Field(None, description="The column with the time of a step, by which steps are sorted; without "
                                               "it a step's time is its number, from 0.")
    time_unit: Literal["h", "min", "s", "d"] | None = Field(
        None, description="The unit of times that are numbers; without it they are written as 2026-11-29T14:30.")
    keep: PositiveInt | None = Field(None, description="The most steps of a case, the newest; without it all.")
    standardise: bool = Field(True, description="Whether each channel is brought to mean 0 and standard deviation 1 of "
                                                "the training cases, clipped at 8.")


def gather(cases: CohortCases, options: SeriesOptions) -> Sequences:
    """The steps of every case; times are hours since the first step of the case."""
    arrays: list[NDArray[np.float64] | None] = []
    faults, cut = [], []
    for row, path in enumerate(cases.files):
        array = None
        if path is not None:
            try:
                array = _read(path, options)
            except ReadError as problem:
                faults.append(SequenceFault(problem, row))
        if array is not None and options.keep is not None and len(array) > options.keep:
            cut.append(row)
            array = array[-options.keep :]
        arrays.append(array if array is not None and len(array) else None)
    advice = (Advice("steps-cut", f"{len(cut)} cases have more than {options.keep} steps, of which the newest are kept",
                     tuple(cut), fix="write a larger 'keep' if the others matter"),) if cut else ()
    return Sequences(tuple(arrays), len(options.channels), faults=tuple(faults), advice=advice, names=options.channels,
                     scaled=options.standardise)


def _read(path: Path, options: SeriesOptions) -> NDArray[np.float64]:
    """Raises: ReadError."""
    columns = (*options.channels, *([options.time] if options.time else []))
    steps = []
    for number, cells in rows_of(path, columns):
        values = [_number(cell, path, number) if cell else math.nan for cell in cells[: len(options.channels)]]
        time = float(len(steps))
        if options.time is not None:
            try:
                time, _ = hours_of(cells[-1], options.time_unit)
            except UnknownTimeError as problem:
                raise ReadError("unknown-time", f"{path.name!r}, row {number}: {cells[-1]!r} is no time", str(problem),
                                "correct the cell, or write 'time_unit'") from None
        steps.append((*values, time))
    made = np.array(steps, np.float64).reshape(len(steps), len(options.channels) + 1)
    made = made[made[:, -1].argsort(kind="stable")]
    values, times = made[:, :-1], made[:, -1]
    return np.concatenate([np.nan_to_num(values), ~np.isnan(values), (times - times[:1])[:, None]], 1)


def _number(cell: str, path: Path, row: int) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ReadError("not-a-number", f"{path.name!r}, row {row}: {cell!r} is no number",
                        fix="correct the cell, or leave it blank where nothing was measured")
    return number


def sample(folder: Path) -> Path:
    """A study of two cases with four and two steps, some cells of which are blank."""
    (folder / "a.csv").write_text("t,hr,sbp\n0,80,120\n1,,118\n2,90,\n3,85,121\n")
    (folder / "b.csv").write_text("t,hr,sbp\n5,70,100\n4,72,\n")
    (folder / "cases.csv").write_text("id\na\nb\n")
    (folder / "data.yaml").write_text(
        "fusionkit-data: 1\ncases: cases.csv\nid: id\ninputs: {vitals: {read: series, path: '{id}.csv', "
        "channels: [hr, sbp], time: t, time_unit: h}}\n")
    return folder / "data.yaml"


component = Reader("series", SeriesOptions, gather, category="series", whole=True, gives="series", sample=sample)
