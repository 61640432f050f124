"""The lower bound on the time of an event: by hand, and how often it holds where cases are censored."""

from __future__ import annotations

import numpy as np
import pytest
from fusionkit_plugins.blocks import survival_bound

from fusionkit.evaluation.calibration import Choices, apply_head, fit_head
from fusionkit.evaluation.calibration.conformal import weighted_threshold
from fusionkit.evaluation.report import evaluate_predictions, trust_table

HORIZONS = np.array([2.0, 5.0])


def test_scores_and_bounds_by_hand() -> None:
    survival = np.array([[0.81, 0.2], [0.6, 0.3], [0.9, 0.8], [0.5, 0.5]])
    targets = np.array([[1.0, 1], [5, 0], [3, 0], [4, 1]])
    score, weight = survival_bound.scores(HORIZONS, survival, targets, None)
    # Half of the way to 2 the survival of the first is the root of 0.81; the second is followed to 5, the third lost.
    assert score[[0, 1, 3]] == pytest.approx([0.9, 0, 0.5])
    assert weight == pytest.approx([1, 3 / 2, 0, 3 / 2]), "one of three at risk is censored at 3"
    assert survival_bound.scores(HORIZONS, survival, targets, np.array([6.0, 5, 3, 4.5]))[1].tolist() == [1, 1, 0, 0]
    bounds = survival_bound.bound(HORIZONS, survival, 0.81)
    assert bounds == pytest.approx([2, 2 * np.log(0.81) / np.log(0.6),
                                    2 + 3 * np.log(0.81 / 0.9) / np.log(0.8 / 0.9), 2 * np.log(0.81) / np.log(0.5)])
    assert survival_bound.bound(HORIZONS, survival, 0.0).tolist() == [5, 5, 5, 5]
    assert survival_bound.bound(HORIZONS, survival, np.inf).tolist() == [0, 0, 0, 0]
    assert survival_bound.bound(HORIZONS, np.array([[1.0, 0.0], [0.0, 0.0]]), 0.5)[1] < 0.1


def test_a_threshold_of_weighted_scores() -> None:
    scores = np.array([0.1, 0.5, 0.3, 0.9, 0.7])
    assert weighted_threshold(scores, np.full(5, 2.0), 0.5) == (0.5, 5)
    assert weighted_threshold(scores, np.full(5, 2.0), 0.1) == (np.inf, 5)
    # In units of their mean the weights are 0.5, 0.5, 0.5, 2, 1.5, and up to 0.7 they reach 0.5 x 6.
    assert weighted_threshold(scores, np.array([1.0, 1, 1, 4, 3]), 0.5) == (0.7, int(100 / 28))
    assert weighted_threshold(scores, np.zeros(5), 0.5) == (np.inf, 0)


@pytest.mark.parametrize("known", [True, False])
def test_bounds_hold_as_often_as_asked_where_half_of_the_cases_are_censored(known: bool) -> None:
    rng, until = np.random.default_rng(2), 3.0
    names, horizons = ("1", "3"), np.array([1.0, until])
    feature = rng.normal(size=9000)
    time = rng.exponential(1.5 * np.exp(-feature))
    ends = rng.choice([0.7, 2.9, 4.0], 9000) if known else rng.exponential(1.6, 9000)
    targets = np.stack([np.minimum(time, ends), time <= ends], axis=1).astype(float)
    assert 0.4 < targets[:, 1].mean() < 0.75
    predicted = np.exp(-np.outer(np.exp(1.4 * feature), horizons))  # too extreme, and too fast
    fitted_on, new = slice(0, 4000), slice(4000, None)
    fitted = fit_head("survival", names, predicted[fitted_on], targets[fitted_on], Choices(alpha=0.2),
                      follow_up=ends[fitted_on] if known else None)
    lower = apply_head(fitted, predicted[new], Choices(alpha=0.2)).lower
    assert lower is not None
    held = np.mean(np.minimum(time[new], until) >= lower - 1e-9)
    assert held == pytest.approx(0.8, abs=0.025) and (lower < until).any() and np.ptp(lower) > 1
    assert ("independent" in fitted.notes[0]) != known
    # Without the weights events would count too much, since late ones are censored.
    naive = np.quantile(survival_bound.survival_at(horizons, predicted, np.minimum(targets[:, 0], until))[
        targets[:, 1] == 1], 0.8)
    assert np.mean(np.minimum(time, until) >= survival_bound.bound(horizons, predicted, float(naive))) > 0.83
    report = evaluate_predictions("death", "survival", names, targets[new], predicted[new], resamples=60,
                                  metrics=(), calibrated=apply_head(fitted, predicted[new], Choices(alpha=0.2)))
    coverage = report.trust.figures["sets", "coverage"]
    assert coverage.value == pytest.approx(held, abs=0.02) and coverage.low < coverage.value < coverage.high
    assert "lower bounds: coverage (target: 0.8)" in [row[1] for row in trust_table([report])]


def test_competing_risks_have_a_bound_on_the_first_event_of_any_cause() -> None:
    rng, names = np.random.default_rng(5), ("relapse@1", "relapse@3", "death@1", "death@3")
    rate = np.exp(rng.normal(size=(6000, 1))) * np.array([0.3, 0.2])
    time, number = rng.exponential(1 / rate.sum(axis=1)), 1 + (rng.random(6000) > 0.6)
    ends = rng.exponential(2.5, 6000)
    targets = np.stack([np.minimum(time, ends), np.where(time <= ends, number, 0)], axis=1)
    gone = 1 - np.exp(-rate.sum(axis=1)[:, None] * np.array([1.0, 3.0]))
    incidence = np.concatenate([0.6 * gone, 0.4 * gone], axis=1)
    fitted = fit_head("competing_risks", names, incidence[:3000], targets[:3000], Choices(alpha=0.2))
    alone = fit_head("survival", ("1", "3"), 1 - gone[:3000], np.minimum(targets[:3000], [np.inf, 1]),
                     Choices(alpha=0.2))
    assert fitted.thresholds[0] == pytest.approx(alone.thresholds[0]) and fitted.bound == "lower"
    assert fitted.notes[0].startswith("lower bound on the time of the first event of any cause, at most 3, if")
    found = apply_head(fitted, incidence[3000:], Choices(alpha=0.2))
    assert found.lower is not None and found.lower == pytest.approx(
        apply_head(alone, 1 - gone[3000:], Choices(alpha=0.2)).lower)
    held = np.mean(np.minimum(time[3000:], 3) >= found.lower - 1e-9)
    assert held == pytest.approx(0.8, abs=0.025)
    report = evaluate_predictions("first", "competing_risks", names, targets[3000:], incidence[3000:], resamples=0,
                                  metrics=(), calibrated=found)
    assert report.trust.figures["sets", "coverage"].value == pytest.approx(held, abs=0.02)


def test_too_few_cases_have_no_bound() -> None:
    fitted = fit_head("survival", ("2", "5"), np.full((8, 2), 0.5), np.tile([1.0, 1.0], (8, 1)), Choices())
    assert "every bound is 0" in fitted.notes[1] and fitted.thresholds == ((None,),)
    lower = apply_head(fitted, np.full((3, 2), 0.5), Choices()).lower
    assert lower is not None and lower.tolist() == [0, 0, 0]
