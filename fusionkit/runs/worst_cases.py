"""The cases that a network predicts worst, for an analysis of failures: `worst-cases.csv`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fusionkit.arrays import Floats
from fusionkit.files import csv_text, write_text
from fusionkit.inference.head_result import HeadResult

WORST = "worst-cases.csv"
MOST = 20
COLUMNS = ("head", "id", "rank", "measure", "value")
_LEAST = 1e-7
"""Probabilities are clipped by it, as they are for the calibration."""


def write_worst(folder: Path, results: Mapping[str, HeadResult], ids: Sequence[str]) -> None:
    """The 20 cases of each head with the largest loss, worst first."""
    rows: list[tuple[object, ...]] = []
    for name, result in results.items():
        found = losses(result)
        if found is not None:
            measure, values = found
            order = np.argsort(-np.where(np.isnan(values), -np.inf, values), kind="stable")[:MOST]
            rows += [(name, ids[row], rank, measure, f"{values[row]:.6g}")
                     for rank, row in enumerate(order.tolist(), start=1) if not np.isnan(values[row])]
    write_text(folder / WORST, csv_text([COLUMNS, *rows]))


def losses(result: HeadResult) -> tuple[str, Floats] | None:
    """What is measured, and its value for each case, (N,), NaN without a target.

    Of classes -ln p(true class), of labels the sum over the known ones, of numbers the absolute error, the largest of
    several in units of their standard deviations. Tasks with columns of their own say what it is, or nothing.
    """
    task = result.head.declared_task
    use = result.valid & result.known
    found = np.full(len(result.values), np.nan)
    values, targets = result.values[use], result.targets[use]
    if task.keys:
        told = task.method.case_errors(values, targets, result.head.names)
        if told is None:
            return None
        found[use] = told[1]
        return told[0], found
    if task.results == "classes":
        own = values[np.arange(len(values)), targets.astype(np.int64).reshape(-1)]
        found[use] = -np.log(np.maximum(own, _LEAST))
        return "negative log-likelihood", found
    if task.results == "labels":
        right = np.where(targets == 1, values, 1 - values)
        found[use] = np.where(targets >= 0, -np.log(np.maximum(right, _LEAST)), 0.0).sum(axis=1)
        return "negative log-likelihood", found
    apart = np.abs(values - targets.reshape(values.shape))
    if apart.shape[1] > 1:
        spread = np.nanstd(targets, axis=0) if len(targets) else np.ones(apart.shape[1])
        apart = apart / np.where(spread > 0, spread, 1.0)
    # A case of which no value is known has no error.
    found[use] = np.where(np.isnan(apart).all(axis=1), np.nan, np.nan_to_num(apart, nan=-np.inf).max(axis=1))
    return ("absolute error" if apart.shape[1] == 1 else "largest absolute error in sd"), found
