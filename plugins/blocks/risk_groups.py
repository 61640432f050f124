"""Groups of cases by predicted risk, cut where the training cases of the run are, and tests between them.

Contains no component. Log-rank: Mantel 1966, with the hypergeometric variance of Peto and Peto 1972.
"""
# Axes: N cases, R columns of weights, K groups, U distinct times.

from __future__ import annotations

from typing import Literal

import numpy as np
from fusionkit_plugins.blocks.survival import NOT_KEPT
from pydantic import Field

from fusionkit.api import Bools, Config, Floats, Ints, Outcomes, TrainingOutcomes

GROUPS = "groups"
NAMES: dict[int, tuple[str, ...]] = {2: ("low", "high"), 3: ("low", "medium", "high")}
NO_GROUPS = f"{NOT_KEPT}, so that there are no risk groups"


class GroupsConfig(Config):
    """The option of metrics that compare groups of cases by risk."""

    groups: Literal[2, 3] = Field(2, description="How many groups: 2, cut at the median risk of the training cases; 3, "
                                  "at their tertiles.")


def cut_points(risk: Floats) -> dict[str, list[float]]:
    """Median and tertiles of the risks of training cases, (N,), by the number of groups."""
    return {str(count): np.quantile(risk, np.arange(1, count) / count).tolist() for count in NAMES}


def risk_groups(training: TrainingOutcomes | None, survival: Floats, count: int) -> Ints | None:
    """The group of each case, from 0 for the lowest risk, by 1 - S at the last horizon: (N, H) to (N,).

    None where the run keeps no cut points.
    """
    records = [record[GROUPS] for record in (training.records if training else ()) if GROUPS in record]
    if training is None or not records:
        return None
    cuts = training.mean([np.array(record["cut_points"][str(count)]) for record in records], len(survival))
    found: Ints = (1 - survival[:, -1:] > cuts).sum(axis=1)
    return found


def groups_of(outcomes: Outcomes, count: int) -> Ints | None:
    """The group of each evaluated case."""
    return risk_groups(outcomes.training, outcomes.predictions, count)


def first_of_patients(outcomes: Outcomes) -> Bools:
    """The first case of each patient: tests between groups assume that cases do not depend on each other."""
    first = np.ones(outcomes.cases, dtype=np.bool_)
    if outcomes.patients is not None:
        first[:] = False
        first[np.unique(outcomes.patients, return_index=True)[1]] = True
    return first


def log_rank(time: Floats, event: Bools, group: Ints, count: int, weights: Floats) -> Floats:
    """Chi-squared of the log-rank test with `count` - 1 degrees of freedom: (N,) three times, and (N, R), to (R,).

    NaN where a group has no case, or no event has both a case of its group and one of another at risk.
    """
    observed, expected, variance = _log_rank_parts(time, event, group, count, weights)
    gap = (observed - expected)[:-1].T
    matrix = np.moveaxis(variance[:-1, :-1], 2, 0)
    there = np.stack([(weights * (group == own)[:, None]).sum(axis=0) > 0 for own in range(count)]).all(axis=0)
    scale = np.einsum("rkk->rk", matrix).prod(axis=1)
    good = there & (np.linalg.det(matrix) > 1e-10 * np.maximum(scale, 1e-300)) & (scale > 0)
    matrix = np.where(good[:, None, None], matrix, np.eye(count - 1))
    found = np.einsum("rk,rk->r", gap, np.linalg.solve(matrix, gap[:, :, None])[:, :, 0])
    return np.where(good, found, np.nan)


def _log_rank_parts(time: Floats, event: Bools, group: Ints, count: int, weights: Floats
                    ) -> tuple[Floats, Floats, Floats]:
    """Observed and expected events of each group, (K, R), and their covariance (K, K, R)."""
    order = np.argsort(time, kind="stable")
    starts = np.flatnonzero(np.diff(time[order], prepend=-np.inf))
    if not len(starts):
        nothing = np.zeros((count, weights.shape[1]))
        return nothing, nothing, np.zeros((count, count, weights.shape[1]))
    ranked, happened = weights[order], np.asarray(event[order], dtype=np.float64)[:, None]
    own = [ranked * (group[order] == number)[:, None] for number in range(count)]
    at_risk = np.stack([np.add.reduceat(part, starts)[::-1].cumsum(axis=0)[::-1] for part in own])
    events = np.stack([np.add.reduceat(part * happened, starts) for part in own])
    every, died = at_risk.sum(axis=0), events.sum(axis=0)
    share = np.divide(at_risk, every, out=np.zeros_like(at_risk), where=every > 0)
    factor = np.divide(died * (every - died), every - 1, out=np.zeros_like(every), where=every > 1)
    covariance = np.stack([np.stack([(factor * share[row] * ((row == column) - share[column])).sum(axis=0)
                                     for column in range(count)]) for row in range(count)])
    return events.sum(axis=1), (died * share).sum(axis=1), covariance
