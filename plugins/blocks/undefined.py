"""Why a metric has no value: the kind of case that there is none of, or values that do not differ."""
# Axes: none.

from __future__ import annotations

import numpy as np

from fusionkit.api import ClassColumn, Floats, ValueColumn

# Below this share of their size, differences between numbers are rounding.
_CONSTANT = 1e-12


def no_case_of(column: ClassColumn) -> str | None:
    """That no case is of the class."""
    return None if column.truth.any() else f"no case is {column.name!r}"


def no_other_case(column: ClassColumn) -> str | None:
    """That every case is of the class."""
    return f"every case is {column.name!r}" if column.truth.all() else None


def no_spread(column: ValueColumn) -> str | None:
    """That the targets do not differ."""
    if not constant(column.truth):
        return None
    return "one case only" if len(column.truth) == 1 else "all targets are equal"


def constant(values: Floats) -> bool:
    """Whether the values differ by rounding errors at most."""
    return bool(np.ptp(values) <= _CONSTANT * np.abs(values).max(initial=0.0)) if values.size else True
