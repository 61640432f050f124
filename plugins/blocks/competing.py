"""Several events of which the first counts: cumulative incidences, observed and by hazards of each cause.

Source: Aalen and Johansen 1978, An Empirical Transition Matrix for Non-Homogeneous Markov Chains; by hazards of each
cause: Prentice et al. 1978, The Analysis of Failure Times in the Presence of Competing Risks, doi:10.2307/2530374. The
incidence of a cause is the sum of S(t-) dH_c(t), where S is the product of 1 - sum of dH over all causes; it is not 1
minus Kaplan-Meier with the other causes censored, which is too high. Contains no component.
"""
# Axes: N cases, C causes, G times.

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from fusionkit.api import Bools, Floats, SurvivalColumn


@dataclass(frozen=True, slots=True)
class CauseColumn(SurvivalColumn):
    """One cause at one horizon: `event` is this cause, `happened` any, `survival` is 1 minus its incidence."""

    happened: Bools = field(kw_only=True)


def split_name(name: str) -> tuple[str, float]:
    """Cause and horizon of a column, such as relapse@12."""
    cause, _, horizon = name.rpartition("@")
    return cause, float(horizon)


def causes_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """The causes of some columns, in their order."""
    return tuple(dict.fromkeys(split_name(name)[0] for name in names))


def incidence_observed(time: Floats, cause: Floats, count: int, at: Floats) -> Floats:
    """The share of cases with each cause first, until some times, by Aalen and Johansen: (N,), (N,), (G,) to (C, G).

    `cause` is 0 for a censored case, else a number up to `count`.
    """
    times = np.unique(time[cause > 0])
    at_risk = (time[:, None] >= times).sum(axis=0)
    leaving = np.stack([((time[:, None] == times) & (cause[:, None] == number)).sum(axis=0)
                        for number in range(1, count + 1)]) / np.maximum(at_risk, 1)
    before = np.concatenate([[1.0], np.cumprod(1 - leaving.sum(axis=0))[:-1]]) if len(times) else times
    found = np.concatenate([np.zeros((count, 1)), np.cumsum(before * leaving, axis=1)], axis=1)
    values: Floats = found[:, np.searchsorted(times, at, side="right")]
    return values


def weighted_incidence(column: CauseColumn, weights: Floats) -> Floats:
    """The share of cases with the cause of a column first, until its horizon, by Aalen and Johansen: (N, R) to (R,)."""
    times = np.unique(column.time[column.happened & (column.time <= column.horizon)])
    if not len(times):
        return np.zeros(weights.shape[1])
    # Sums over the cases of each time, then over all later ones: nothing of (T, N, R) is ever held.
    place = np.searchsorted(times, column.time, side="right")
    followed = np.zeros((len(times) + 1, weights.shape[1]))
    np.add.at(followed, place, weights)
    at_risk = np.cumsum(followed[::-1], axis=0)[::-1][1:]
    hazards = []
    for kind in (column.happened, column.event):
        left = np.zeros((len(times), weights.shape[1]))
        rows = np.flatnonzero(kind & (column.time <= column.horizon))
        np.add.at(left, np.searchsorted(times, column.time[rows]), weights[rows])
        hazards.append(np.divide(left, at_risk, out=np.zeros_like(left), where=at_risk > 0))
    survived = np.cumprod(1 - hazards[0], axis=0)
    before = np.concatenate([np.ones((1, weights.shape[1])), survived[:-1]])
    found: Floats = (before * hazards[1]).sum(axis=0)
    return found


def incidence_by_hazards(cumulative: Tensor) -> Tensor:
    """The incidence of each cause by its cumulative hazard at rising times: (N, C, G) to (N, C, G).

    Nobody is left where the hazards of a time sum to 1 or more.
    """
    steps = torch.cat([cumulative[..., :1], cumulative.diff(dim=2)], 2).clamp(min=0)
    every = steps.sum(1, keepdim=True)
    leaving = every.clamp(max=1)
    left = (1 - leaving).cumprod(2)
    before = torch.cat([torch.ones_like(left[..., :1]), left[..., :-1]], 2)
    share = steps / torch.where(every > 0, every, 1)
    return (before * leaving * share).cumsum(2)
