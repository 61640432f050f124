"""Counts of true, predicted and agreeing classes for columns of case weights. Contains no component."""
# Axes: N cases, K classes, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.undefined import no_case_of, no_other_case

from fusionkit.api import ClassColumn, Floats, Outcomes


def agreement(outcomes: Outcomes, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Weights of agreeing cases (R,), of each true class (K, R) and of each predicted one (K, R)."""
    classes = np.arange(len(outcomes.classes))[:, None]
    predicted = outcomes.predicted_class()
    agreed = (predicted == outcomes.targets).astype(np.float64)
    return (agreed @ weights, (outcomes.targets == classes).astype(np.float64) @ weights,
            (predicted == classes).astype(np.float64) @ weights)


def one_kind_only(column: ClassColumn) -> str | None:
    """The kind of case that there is none of, true or predicted."""
    why = no_case_of(column) or no_other_case(column)
    if why or (column.predicted.any() and not column.predicted.all()):
        return why
    return f"nothing but {column.name!r} is predicted" if column.predicted.any() else \
        f"no case is predicted to be {column.name!r}"


def one_class_only(outcomes: Outcomes) -> str | None:
    """That one class alone is there, or predicted."""
    if len(np.unique(outcomes.targets)) < 2:
        return "one class alone is there"
    return "one class alone is predicted" if len(np.unique(outcomes.predicted_class())) < 2 else None
