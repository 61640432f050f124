"""Cox's partial likelihood by case, with ties, and Breslow's baseline. Contains no component.

Source: Cox 1972, Regression Models and Life-Tables; Efron 1977, The Efficiency of Cox's Likelihood Function for
Censored Data, doi:10.1080/01621459.1977.10480613; Breslow 1974, Covariance Analysis of Censored Survival Data,
doi:10.2307/2529620. With the risk set R_t of the cases with a time of t or later (one that is censored at t is in it)
and the d_t events at t, the loss of an event is the mean over k = 0 .. d_t - 1 of

    log( sum of exp(lp) over R_t - (k / d_t) sum of exp(lp) over the events at t ) - lp        (Efron)

and for Breslow the same with k = 0. A case that is censored has a loss of 0 and takes part in the risk sets.
"""
# Axes: N cases, E distinct times of events.

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

Ties = Literal["efron", "breslow"]
TiesOption = Annotated[Ties, Field(description="How events at one time are treated: efron, each after a share of the "
                                               "others; breslow, each beside all of them.")]
"""The option `ties` of heads."""
BaselinePoints = Annotated[PositiveInt, Field(
    description="Times of events that are kept for the baseline: all if there are no more, else evenly chosen ones and "
                "the last.")]
"""The option `baseline_points` of heads."""


def cox_losses(log_hazard: Tensor, time: Tensor, event: Tensor, ties: Ties = "efron", strata: Tensor | None = None
               ) -> Tensor:
    """The loss of each case, which sum to the negative log partial likelihood: all (N,) to (N,), in double precision.

    With `strata`, numbers (N,), each is compared with cases of its own alone. A case of time 0 without an event is in
    no risk set.
    """
    if strata is None:
        return _losses(log_hazard, time, event, ties)
    losses = torch.zeros_like(log_hazard, dtype=torch.float64)
    for stratum in strata.unique():
        own = torch.nonzero(strata == stratum).squeeze(1)
        losses = losses.index_put((own,), _losses(log_hazard[own], time[own], event[own], ties))
    return losses


def _losses(log_hazard: Tensor, time: Tensor, event: Tensor, ties: Ties) -> Tensor:
    order = _order(log_hazard, time, event)
    lp, times, happened = log_hazard.double()[order], time.double()[order], event.double()[order]
    group = _groups(times)
    count = int(group[-1]) + 1 if len(group) else 0
    below, events = _at_risk(lp, group)[group], _summed(happened, group, count)
    terms = below
    if ties == "efron":
        # Events come first among the cases of one time, so that their rank is their distance from its start.
        start = torch.searchsorted(group, group, right=False)
        share = (torch.arange(len(group), device=group.device) - start) / events[group].clamp(min=1)
        tied = _summed(torch.where(happened > 0, (lp - below).exp(), 0), group, count)
        terms = below + torch.log1p(-torch.where(happened > 0, share, 0) * tied[group])
    mean = _summed(torch.where(happened > 0, terms, 0), group, count) / events.clamp(min=1)
    losses = torch.where(happened > 0, mean[group] - lp, 0)
    return torch.zeros_like(losses).index_put((order,), losses)


def _order(log_hazard: Tensor, time: Tensor, event: Tensor) -> Tensor:
    """By time, events first, then by log hazard: sums do not depend on the order in which cases are given."""
    order = torch.argsort(log_hazard.detach(), stable=True)
    order = order[torch.argsort(event[order], descending=True, stable=True)]
    return order[torch.argsort(time[order], stable=True)]


def _groups(times: Tensor) -> Tensor:
    """The number of each distinct time, of sorted times."""
    steps = torch.zeros(len(times), dtype=torch.long, device=times.device)
    if len(times):
        steps[1:] = (times[1:] != times[:-1]).long()
    return steps.cumsum(0)


def _at_risk(lp: Tensor, group: Tensor) -> Tensor:
    """The log of the sum of exp(lp) over the risk set of each distinct time, of sorted cases: (N,) to (T,).

    Each sum is kept in range by its own largest term: a shift by the largest of all would leave 0 of the others.
    """
    if not len(group):
        return lp
    return lp.flip(0).logcumsumexp(0).flip(0)[torch.searchsorted(group, torch.unique(group))]


def _summed(values: Tensor, group: Tensor, count: int) -> Tensor:
    return values.new_zeros(count).index_add(0, group, values)


def breslow_baseline(log_hazard: Tensor, time: Tensor, event: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct times of events, and the cumulative baseline hazard from each on: (N,) to two of (E,), double.

    The survival of a case is exp(-H(t) exp(log hazard)), with H(t) = 0 before the first event.
    """
    order = _order(log_hazard, time, event)
    lp, times, happened = log_hazard.double()[order], time.double()[order], event.double()[order]
    group = _groups(times)
    count = int(group[-1]) + 1 if len(group) else 0
    events = _summed(happened, group, count)
    distinct = times.new_zeros(count).index_copy(0, group, times)
    there = events > 0
    steps = (events[there].log() - _at_risk(lp, group)[there]).exp()
    return distinct[there], steps.cumsum(0)


def thinned(times: Tensor, hazard: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """At most so many points of a baseline: all of them, or evenly chosen ones and the last."""
    if len(times) <= points:
        return times, hazard
    step = math.ceil(len(times) / points)
    kept = torch.arange(len(times), device=times.device)[step - 1::step]
    kept = torch.unique(torch.cat([kept, kept.new_tensor([len(times) - 1])]))
    return times[kept], hazard[kept]
