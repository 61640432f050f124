"""D-calibration: whether survival at the times of events is spread evenly over 0 to 1, as the p value of a test.

Source: Haider et al. 2020, Effective Ways to Build and Evaluate Individual Survival Distributions, JMLR 21(85).
"""
# Axes: N cases, R columns of weights.

from __future__ import annotations

import numpy as np
from fusionkit_plugins.blocks.chi_squared import chi_squared_p
from fusionkit_plugins.blocks.survival import curves_of, survivals

from fusionkit.api import Config, Floats, Ints, Metric, Outcomes

_BINS, _FEWEST = 10, 50


class DCalibration:
    """Chi-squared of ten bins of S(t) with 9 degrees of freedom; a censored case is spread over the bins below its own.

    A large value shows no fault, which is not that there is none. Events after the last time of a curve that ends count
    as censored there.
    """

    def __init__(self, config: Config) -> None:
        pass

    def of_all(self, outcomes: Outcomes, weights: Floats) -> Floats:
        """All cases: (N, R) to (R,)."""
        found = np.full(weights.shape[1], np.nan)
        (order, bins), count = _bins(outcomes), weights.sum(axis=0)
        for column in np.flatnonzero(count >= _FEWEST):
            found[column] = _test(bins, weights[order, column])[1]
        return found

    def note_of_all(self, outcomes: Outcomes) -> str | None:
        """The statistic, or that there are too few cases."""
        if outcomes.cases < _FEWEST:
            return f"{outcomes.cases} cases; it needs {_FEWEST}"
        statistic, _ = _test(_bins(outcomes)[1], np.ones(outcomes.cases))
        return f"p value; chi-squared {statistic:.4g} with {_BINS - 1} degrees of freedom"


def _test(bins: Floats, weights: Floats) -> tuple[float, float]:
    counts = (bins * weights[:, None]).sum(axis=0)
    expected = counts.sum() / _BINS
    statistic = float(((counts - expected) ** 2).sum() / expected)
    return statistic, chi_squared_p(statistic, _BINS - 1)


def _bins(outcomes: Outcomes) -> tuple[Ints, Floats]:
    """The share of each case in each bin, (N, 10), in an order (N,) that is not that in which cases are given."""
    cases, curves = survivals(outcomes), curves_of(outcomes)
    own = curves.own(cases.time)
    event = cases.event & (cases.time <= curves.last)
    edges = np.arange(_BINS) / _BINS
    place = np.minimum((own * _BINS).astype(np.int64), _BINS - 1)
    inside = place[:, None] == np.arange(_BINS)
    above = np.maximum(own, 1e-300)[:, None]
    spread = np.where(inside, (own[:, None] - edges) / above, np.where(edges < own[:, None], 1 / _BINS / above, 0.0))
    at_zero = (own == 0)[:, None]
    shares = np.where(event[:, None] | at_zero, inside, spread).astype(np.float64)
    order = np.lexsort((event, own))
    return order, shares[order]


component = Metric(
    "d_calibration", Config, DCalibration, category="calibration", label="D-calibration", tasks=("survival",),
    better="higher", monitor=False, place=259, resamples=0,
)
