"""When and where the cases are from: the columns `date` and `site` of a data file, which only reports read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fusionkit.data.cell_faults import CellFaults
from fusionkit.data.dates import Order
from fusionkit.data.fields import DataFieldReader, shown
from fusionkit.data.numeric_column import read_days
from fusionkit.data.table import Table
from fusionkit.errors import Diagnostic
from fusionkit.syntax.tree import Leaf, Mapping

FEWEST = 5
"""Dates, means and quartiles of fewer cases are not told: they are those of single cases."""
_FIX = "write 'date: COLUMN', or 'date: {COLUMN: {order: dmy}}' where the day is first"


@dataclass(frozen=True, slots=True)
class StudyColumns:
    """The column with the date of each case, the order of day and month in it, and the column with its site."""

    date: str | None = None
    order: Order | None = None
    site: str | None = None

    def days(self, table: Table, ids: Sequence[str]) -> tuple[NDArray[np.float64], list[Diagnostic]]:
        """The days from 1970-01-01, NaN where they are not known, (rows,), and warnings of cells that are no dates."""
        if self.date is None or self.date not in table:
            return np.full(len(table), np.nan), []
        faults = CellFaults(table, self.date, ids)
        days = read_days(faults, self.order)
        return days, [replace(found, severity="warning") for found in faults.told()]

    def told(self, table: Table, ids: Sequence[str], rows: Sequence[int]) -> dict[str, Any]:
        """The months of the first and the last case, and the cases of each site; without a column nothing."""
        found: dict[str, Any] = {}
        if self.date is not None and self.date in table:
            days = self.days(table, ids)[0][list(rows)]
            known = days[~np.isnan(days)]
            found["dates"] = {"column": self.date, "known": len(known), "missing": len(days) - len(known)}
            if len(known) >= FEWEST:
                found["dates"] |= {"first": _month(known.min()), "last": _month(known.max())}
        if self.site is not None and self.site in table:
            cells = table.cells(self.site)
            found["sites"] = dict(Counter(cells[row] or "not known" for row in rows).most_common())
        return found


def _month(day: float) -> str:
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=float(day)):%Y-%m}"


def read_study_columns(form: DataFieldReader) -> StudyColumns:
    """The keys `date` and `site`."""
    site, written, order = form.words("site"), form.tree.get("date"), None
    if not isinstance(written, Mapping):
        return StudyColumns(form.words("date"), None, site)
    columns = list(written.entries.items())
    options = columns[0][1] if len(columns) == 1 else None
    known = isinstance(options, Mapping) and set(options.entries) <= {"order"}
    if known:
        value = cast(Mapping, options).entries.get("order")
        order = value.value if isinstance(value, Leaf) else None
        known = value is None or order in ("dmy", "mdy")
    if not known:
        form.note("bad-value", f"'date' of the data file cannot be {shown(written)}", written.span,
                  why="it names one column, whose option is 'order': dmy or mdy", fix=_FIX)
    return StudyColumns(columns[0][0] if columns else None, cast("Order | None", order), site)
