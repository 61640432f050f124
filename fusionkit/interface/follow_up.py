"""The column with the time until which each case could have been followed, for the lower bound of survival."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.data.cell_faults import CellFaults
from fusionkit.data.loading import Cohort
from fusionkit.data.numeric_column import read_numbers
from fusionkit.errors import DataError, Diagnostic, did_you_mean
from fusionkit.inference.predict import HeadResult

_FLAG = "--follow-up"


def follow_up_of(column: str, cohort: Cohort, found: Mapping[str, HeadResult], rows: Sequence[int]) -> Floats:
    """The times of some rows, whose results are `found`: (N,).

    Raises: DataError with `follow-up` for a column that is not there or is the time of the events itself, blank cells,
    a network without such a head, and cases that were followed longer, or were censored before: then censoring is not
    administrative; with the faults of cells that are not numbers.
    """
    table = cohort.table
    if column not in table:
        raise _wrong(f"{table.file} has no column {column!r}", None, did_you_mean(column, table.columns))
    heads = [result for result in found.values() if result.head.declared_task.method.bound]
    if not heads:
        raise _wrong("no head of this network tells a bound on a time", "it is for survival", "leave the option out")
    faults = CellFaults(table, column, cohort.ids)
    numbers = read_numbers(faults, cohort.description.numbers.of(column), "target")
    if len(faults):
        raise DataError(faults.told())
    times: Floats = numbers[list(rows)]
    for result in heads:
        known = result.valid & result.known
        time, event = result.targets[known].T
        limit = times[known]
        slack = 1e-6 * np.maximum(np.abs(time), 1)
        happened = event > 0
        if happened.any() and (np.abs(limit - time) <= slack)[happened].all():
            raise _wrong(f"column {column!r} is the time of every event itself",
                         "the bound needs the time until which each case could have been followed had it had no event",
                         f"name another column, or leave {_FLAG} out: cases are then weighed for censoring")
        for wrong, what in ((np.isnan(limit), "have no such time"), (time > limit + slack, "were followed longer"),
                            ((event == 0) & (time < limit - slack), "were censored before that time")):
            if wrong.any():
                names = [cohort.ids[rows[place]] for place in np.flatnonzero(known)[wrong].tolist()]
                shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
                raise _wrong(f"{len(names)} cases {what}: {shown}",
                             "the bound needs the time until which each case could have been followed, and no case "
                             "that was lost before",
                             f"correct the column, or leave {_FLAG} out: cases are then weighed for censoring")
    return times


def _wrong(message: str, why: str | None, fix: str | None) -> DataError:
    return DataError(Diagnostic("follow-up", f"{_FLAG}: {message}", why=why, fix=fix))
