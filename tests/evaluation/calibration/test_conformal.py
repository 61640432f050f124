"""Prediction sets: ranks that are exact, coverage that is right with few cases, and sets of every kind."""

from __future__ import annotations

from math import ceil, inf

import numpy as np
import pytest

from fusionkit.evaluation.calibration.class_sets import scores_of
from fusionkit.evaluation.calibration.conformal import class_thresholds, fewest_cases, rank, threshold


@pytest.mark.parametrize(("cases", "alpha", "wanted"), [
    (9, 0.1, 9), (8, 0.1, 9), (10, 0.1, 10), (99, 0.1, 90), (19, 0.05, 19), (9, 0.7, 3), (29, 0.9, 3), (1, 0.5, 1),
    (0, 0.5, 1), (999, 0.001, 999), (998, 0.001, 999),
])
def test_ranks_are_exact(cases: int, alpha: float, wanted: int) -> None:
    assert rank(cases, alpha) == wanted


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.05, 0.07, 0.1, 0.3, 0.5, 0.9])
def test_fewest_cases_are_those_whose_threshold_is_finite(alpha: float) -> None:
    fewest = fewest_cases(alpha)
    assert rank(fewest, alpha) <= fewest
    assert fewest == 0 or rank(fewest - 1, alpha) > fewest - 1
    assert threshold(np.zeros(max(fewest - 1, 0)), alpha) == (inf if fewest else 0)


def test_the_threshold_is_a_score() -> None:
    scores = np.array([0.5, 0.1, 0.9, 0.3, 0.7])
    assert threshold(scores, 0.5) == 0.5
    assert threshold(scores, 0.2) == 0.9
    assert threshold(scores, 0.1) == inf


def test_scores_by_hand() -> None:
    p = np.array([[0.5, 0.2, 0.3]])
    np.testing.assert_allclose(scores_of(p), [[0.5, 0.8, 0.7]])


def drawn(rng: np.random.Generator, cases: int) -> tuple[np.ndarray, np.ndarray]:
    """Three classes of unequal frequency, and probabilities that are far too sure."""
    truth = rng.choice(3, cases, p=[0.6, 0.3, 0.1])
    logits = rng.normal(size=(cases, 3)) + 1.2 * np.eye(3)[truth] * np.array([1, 1, 0.3])
    raised = np.exp(2.5 * logits)
    return raised / raised.sum(1, keepdims=True), truth


@pytest.mark.parametrize("cases", [9, 23, 60])
def test_coverage_is_right_with_few_cases(cases: int) -> None:
    """Over many draws of few held-out cases the mean coverage lies between 1 - alpha and 1 - alpha + 1/(n + 1)."""
    rng, alpha, draws = np.random.default_rng(cases), 0.1, 2000
    inside = np.empty(draws)
    for draw in range(draws):
        probabilities, truth = drawn(rng, cases + 4)
        limits = class_thresholds(scores_of(probabilities[4:]), truth[4:], alpha, by_class=False)
        inside[draw] = (scores_of(probabilities[:4]) <= limits)[np.arange(4), truth[:4]].mean()
    error = inside.std() / draws**0.5
    exact = ceil((cases + 1) * 0.9 - 1e-9) / (cases + 1)
    assert abs(inside.mean() - exact) < 3.5 * error


def test_by_class_every_class_is_held_and_not_only_the_frequent() -> None:
    rng = np.random.default_rng(5)
    calibration, truth = drawn(rng, 6000)
    fresh, fresh_truth = drawn(rng, 20_000)
    coverage = {}
    for by_class in (False, True):
        limits = class_thresholds(scores_of(calibration), truth, 0.1, by_class)
        inside = (scores_of(fresh) <= limits)[np.arange(20_000), fresh_truth]
        coverage[by_class] = [inside[fresh_truth == index].mean() for index in range(3)]
    assert coverage[False][2] < 0.8 < coverage[False][0]
    np.testing.assert_allclose(coverage[True], 0.9, atol=0.035)


def test_a_class_with_too_few_cases_is_in_every_set() -> None:
    probabilities, _ = drawn(np.random.default_rng(6), 40)
    truth = np.array([0] * 35 + [1] * 5)
    limits = class_thresholds(scores_of(probabilities), truth, 0.1, by_class=True)
    assert limits[0] < 1
    assert limits[1:] == (inf, inf)
