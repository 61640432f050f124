"""The columns of a table by their places in the vector of a case, for changes of single cells."""

from __future__ import annotations

import numpy as np

from fusionkit.components.transform import Cell
from fusionkit.data.readers.columns import ColumnsFit, ColumnValues
from fusionkit.data.readers.columns_options import ColumnsOptions

_STAGES = 10
"""A number that takes no more values than this is a stage or a code, between whose values there is nothing."""


def cells_of(options: ColumnsOptions, fitted: ColumnsFit, values: ColumnValues, rows: list[int]) -> tuple[Cell, ...]:
    """The cells of the vectors of `encode`; `rows` are those that are trained on."""
    count = len(fitted.numeric)
    marks = options.fill == "indicator"
    found = []
    for place, column in enumerate(fitted.numeric):
        known = values.numeric[rows, place]
        stages = len(np.unique(known[~np.isnan(known)])) <= _STAGES
        scale = 1.0 if options.standardise else fitted.deviations[place]
        stand_in = (fitted.medians if options.fill == "median" else fitted.means)[place]
        blank = (stand_in - fitted.means[place]) / fitted.deviations[place] if options.standardise else stand_in
        found.append(Cell(column, (place, count + place) if marks else (place,), 0.0 if stages else scale,
                          None if options.fill == "refuse" else (blank, 1.0) if marks else (blank,), marks))
    start = count * (2 if marks else 1)
    for column, names in zip(fitted.categorical, fitted.categories, strict=True):
        places = tuple(range(start, start + (1 if options.encode == "codes" else len(names))))
        found.append(Cell(column, places, 0.0, (0.0,) * len(places)))
        start += len(places)
    return tuple(found)
