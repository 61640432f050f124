"""What tasks give for figures of their own: curves of groups of cases, and the net benefit of acting on predictions."""
# Axes: U steps, M marks, A thresholds, N cases, R columns of weights.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fusionkit.arrays import Floats, Ints


@dataclass(frozen=True)
class GroupCurve:
    """One group: `share` from each of `times` on with its bounds, all (U,), until the time `end`.

    `censored` are the times at which cases leave without an event, `at_risk` (M,) the cases still there at each mark.
    """

    name: str
    times: Floats
    share: Floats
    low: Floats
    high: Floats
    end: float
    censored: Floats
    at_risk: Ints


@dataclass(frozen=True)
class GroupCurves:
    """The groups of one figure, the times (M,) of the numbers under it, and lines that belong to it."""

    name: str
    groups: tuple[GroupCurve, ...]
    marks: Floats
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetBenefit:
    """The net benefit at `thresholds` (A,): `of` gives it for weights (N, R) as two of (A, R).

    The first is that of acting on those whose probability reaches the threshold, the second of acting on all.
    """

    name: str
    thresholds: Floats
    of: Callable[[Floats], tuple[Floats, Floats]]
