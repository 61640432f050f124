"""Intervals of time for discrete hazards: edges chosen by the events of training cases, and the labels of cases.

Source: quantiles of Kaplan-Meier's curve: Kvamme and Borgan 2021, Continuous and discrete-time survival prediction with
neural networks, doi:10.1007/s10985-021-09532-6. Contains no component.
"""
# Axes: N cases, K intervals.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from fusionkit_plugins.blocks.kaplan_meier import kaplan_meier
from torch import Tensor

from fusionkit.api import Floats

EVENTS_EACH = 5
"""There are no more intervals than one for so many events."""


def quantile_edges(time: Floats, event: Floats, intervals: int, horizons: Sequence[float]) -> list[float]:
    """The ends of at most `intervals` intervals until the last horizon, between which survival falls equally often.

    Ends are times of events, and the horizons, which come in addition. There is an interval for each `EVENTS_EACH`
    events at most, as far as the horizons allow. *Shapes*: (N,) each.
    """
    last = horizons[-1]
    wanted = min(intervals, int(event.sum()) // EVENTS_EACH - len(horizons) + 1)
    curve = kaplan_meier(time, event, np.ones((len(time), 1)))
    left = float(curve(np.array([last]))[0, 0])
    inner = (curve.times < last) & (np.diff(curve.after[:, 0], prepend=1.0) < 0)
    ends, after = curve.times[inner], curve.after[inner, 0]
    found = set(horizons)
    for place in range(1, wanted):
        reached = after <= 1 - place / wanted * (1 - left) + 1e-12
        if reached.any():
            found.add(float(ends[reached.argmax()]))
    return sorted(found)


def labels(time: Tensor, event: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """Which intervals each case has survived, and in which it has the event, if in any: (N,), (N,), (K,) to two (N, K).

    An event at an edge is in the interval that ends there; a case that is censored there has survived it. Edges that
    are infinite end no interval.
    """
    happened, times, used = event[:, None] > 0, time[:, None], edges.isfinite()
    survived = torch.where(happened, edges < times, edges <= times) & used
    begins = torch.cat([edges.new_zeros(1), edges[:-1]])
    return survived, happened & (begins < times) & (times <= edges) & used
