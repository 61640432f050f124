"""The statistics of a comparison against examples computed by hand, and under simulated nulls."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fusionkit.comparison.significance import corrected_t, t_distribution, t_quantile
from fusionkit.evaluation.differences import holm, paired_bootstrap


def test_corrected_t_by_hand() -> None:
    # Mean 0.02, variance 0.00025, (1/5 + 1/4) of it 0.0001125; t = 1.8856 at 4 degrees, whose 97.5 % point is 2.7764.
    found = corrected_t([0.02, 0.04, 0.00, 0.03, 0.01], 0.25)
    assert found.value == pytest.approx(0.02)
    half = 2.7764451 * math.sqrt(0.0001125)
    assert (found.low, found.high) == (pytest.approx(0.02 - half), pytest.approx(0.02 + half))
    assert found.p == pytest.approx(0.1324, abs=1e-4)


@pytest.mark.parametrize(("t", "degrees", "expected"), [
    (1.0, 1, 0.75), (math.sqrt(2), 2, 0.5 + math.sqrt(2) / 4), (0.0, 7, 0.5), (2.7764451052, 4, 0.975),
    (-2.5705818366, 5, 0.025), (1.9842169515, 99, 0.975), (4.3026527297, 2, 0.975)])
def test_t_distribution_has_the_values_of_tables(t: float, degrees: int, expected: float) -> None:
    assert t_distribution(t, degrees) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("degrees", "expected"), [(1, 12.7062047), (2, 4.3026527), (9, 2.2621572), (24, 2.0638986)])
def test_t_quantile_has_the_values_of_tables(degrees: int, expected: float) -> None:
    assert t_quantile(0.975, degrees) == pytest.approx(expected, abs=1e-6)


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.03, 0.04 times 3, 2, 1: 0.03, 0.06, 0.04, of which the last may not be less than the one before.
    assert holm([0.04, 0.01, None, 0.03]) == [pytest.approx(0.06), pytest.approx(0.03), None, pytest.approx(0.06)]
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_equal_networks_do_not_differ() -> None:
    for found in (corrected_t([0.0] * 5, 0.25), paired_bootstrap(0.0, np.zeros(100))):
        assert (found.value, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_one_fold_has_no_interval() -> None:
    found = corrected_t([0.1], 0.25)
    assert (found.value, found.low, found.p) == (pytest.approx(0.1), None, None)
    assert corrected_t([], 0.25).value is None


def test_a_constant_difference_has_no_interval() -> None:
    found = corrected_t([0.1, 0.1, 0.1], 0.25)
    assert found.p is None
    assert found.note


def test_corrected_t_keeps_its_level_under_the_correlation_of_folds() -> None:
    rng = np.random.default_rng(3)
    folds, test_share, rounds = 5, 0.25, 2000
    # Differences of folds that share training cases: correlation n_test / (n_test + n_train).
    shared = math.sqrt(test_share / (1 + test_share))
    drawn = shared * rng.normal(size=(rounds, 1)) + math.sqrt(1 - shared**2) * rng.normal(size=(rounds, folds))
    found = np.mean([(corrected_t(row, test_share).p or 0) < 0.05 for row in drawn])
    plain = np.mean([(corrected_t(row, 0.0).p or 0) < 0.05 for row in drawn])
    assert found == pytest.approx(0.05, abs=0.02)
    assert plain > 0.1


def test_paired_bootstrap_keeps_its_level() -> None:
    rng = np.random.default_rng(5)
    cases, rounds, resamples = 80, 400, 300
    rejected = 0
    for _ in range(rounds):
        differences = rng.normal(size=cases)
        counts = rng.multinomial(cases, np.full(cases, 1 / cases), resamples)
        rejected += (paired_bootstrap(float(differences.mean()), counts @ differences / cases).p or 0) < 0.05
    assert rejected / rounds == pytest.approx(0.05, abs=0.03)


def test_paired_bootstrap_sees_a_difference() -> None:
    samples = np.random.default_rng(2).normal(0.3, 0.05, 999)
    found = paired_bootstrap(0.3, samples)
    assert found.p == pytest.approx(2 / 1000)
    assert found.low is not None and found.high is not None
    assert 0.15 < found.low < 0.3 < found.high < 0.45


def test_a_bootstrap_that_is_mostly_undefined_says_so() -> None:
    found = paired_bootstrap(0.1, np.array([np.nan] * 6 + [0.1] * 4))
    assert (found.value, found.p) == (0.1, None)
    assert found.note == "undefined in most resamples"
