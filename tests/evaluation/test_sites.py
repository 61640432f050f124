"""The random effects mean over sites, and the interval of a new site."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fusionkit.evaluation.sites import new_site
from fusionkit.evaluation.student import t_quantile

VALUES = np.array([0.71, 0.83, 0.64, 0.9, 0.78, 0.69, 0.81])


def logit(values: np.ndarray) -> np.ndarray:
    return np.log(values / (1 - values))


def test_sites_of_equal_precision_are_averaged_on_the_log_odds() -> None:
    spread, error = logit(VALUES).var(ddof=1), 0.31
    found = new_site(VALUES, error * VALUES * (1 - VALUES))
    # With equal variances v: tau2 = s2 - v, and the standard error of the mean is sqrt(s2 / k).
    half = t_quantile(0.975, 5) * math.sqrt(spread - error**2 + spread / 7)
    assert found.tau == pytest.approx(math.sqrt(spread - error**2))
    assert logit(np.array([found.low, found.mean, found.high])) == pytest.approx(
        logit(VALUES).mean() + half * np.array([-1, 0, 1]))


def test_sites_that_differ_by_chance_alone_have_no_variance_between_them() -> None:
    errors = np.full(7, 0.2)
    found = new_site(VALUES, errors)
    variances = (errors / (VALUES * (1 - VALUES))) ** 2
    mean = float(np.average(logit(VALUES), weights=1 / variances))
    assert found.tau == 0 and logit(np.array([found.mean])) == pytest.approx(mean)
    assert logit(np.array([found.high]))[0] - mean == pytest.approx(
        t_quantile(0.975, 5) / math.sqrt((1 / variances).sum()))
