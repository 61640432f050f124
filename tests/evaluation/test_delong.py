"""DeLong's variance, and decision curves: as recorded from libraries."""

from __future__ import annotations

import json

import numpy as np
import pytest
from recorded import GOLDEN

from fusionkit.evaluation.decision_curves import DecisionCurve
from fusionkit.evaluation.delong import areas, auroc_difference, auroc_interval
from fusionkit.evaluation.net_benefit import at_prevalence, class_benefit, net_benefits
from fusionkit.evaluation.predictions import collect

NAMES = ["binary", "binary_ties"]
RECORDED = {name: json.loads((GOLDEN / "outcomes" / f"{name}.json").read_text()) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_delong_is_as_recorded(name: str) -> None:
    test, wanted = RECORDED[name]["test"], RECORDED[name]["delong"]
    truth, scores = np.array(test["y"]) == 1, np.array([test["p"], test["p_other"]])
    found = areas(scores, truth)
    assert found.auroc == pytest.approx(np.array(wanted["auc"]), abs=1e-9)
    assert found.covariance == pytest.approx(np.array(wanted["covariance"]), abs=1e-9)
    for score, bounds in zip(scores, wanted["interval_logit"], strict=True):
        interval = auroc_interval(score, truth)
        assert (interval.low, interval.high) == pytest.approx(tuple(bounds), abs=1e-9)
    difference = auroc_difference(*scores, truth)
    assert difference.value == pytest.approx(wanted["difference"], abs=1e-9)
    assert (difference.low, difference.high) == pytest.approx(tuple(wanted["difference_interval"]), abs=1e-9)
    assert difference.p == pytest.approx(wanted["p"], abs=1e-9)


def test_equal_networks_do_not_differ_and_perfect_ones_have_no_interval() -> None:
    truth, score = np.array([False, False, True, True]), np.array([0.1, 0.6, 0.5, 0.9])
    same = auroc_difference(score, score, truth)
    assert (same.value, same.p, same.note) == (0.0, 1.0, "equal for every pair")
    perfect = auroc_interval(np.array([0.1, 0.2, 0.8, 0.9]), truth)
    assert np.isnan(perfect.low) and perfect.note == "no DeLong interval: all pairs are in one order"
    few = auroc_interval(score, np.array([False, False, False, True]))
    assert np.isnan(few.low) and "fewer than 2 cases of a kind" in str(few.note)
    assert "fewer than 2" in str(auroc_difference(score, score, np.array([False, False, False, True])).note)


def test_patients_with_several_cases_have_the_variance_of_obuchowski() -> None:
    test = RECORDED["binary"]["test"]
    truth, scores = np.array(test["y"]) == 1, np.array([test["p"], test["p_other"]])
    single = areas(scores, truth)
    alone = areas(scores, truth, list(range(len(truth))))
    assert alone.covariance == pytest.approx(single.covariance, rel=1e-12), "DeLong's for single cases"
    # A copy of a case says nothing new.
    twice = areas(np.tile(scores, 2), np.tile(truth, 2), [*range(len(truth))] * 2)
    assert twice.covariance == pytest.approx(single.covariance, rel=1e-12)
    assert areas(np.tile(scores, 2), np.tile(truth, 2)).covariance[0, 0] < 0.6 * single.covariance[0, 0]
    small = np.array([0.1, 0.2, 0.3, 0.9]), np.array([False, True, False, True])
    few = auroc_interval(*small, list("abba"))
    assert few.note is None and few.low < 0.75 < few.high
    assert auroc_interval(*small, list("abcb")).note == (
        "no Obuchowski interval: fewer than 2 patients with cases of a kind")


def test_the_clustered_variance_is_that_of_drawn_cohorts() -> None:
    rng = np.random.default_rng(7)
    found, variances, naive = [], [], []
    owners = np.repeat(np.arange(40), 3)
    for _ in range(400):
        own = rng.normal(size=40)
        truth = rng.random(120) < 1 / (1 + np.exp(-2 * rng.normal(size=40)[owners]))
        score = 1.2 * truth + own[owners] + 0.5 * rng.normal(size=120)
        made = areas(score[None], truth, owners)
        found.append(made.auroc[0])
        variances.append(made.covariance[0, 0])
        naive.append(areas(score[None], truth).covariance[0, 0])
    assert np.mean(variances) == pytest.approx(np.var(found), rel=0.15)
    assert abs(np.mean(naive) / np.var(found) - 1) > 0.3


@pytest.mark.parametrize("name", NAMES)
def test_decision_curves_are_as_recorded(name: str) -> None:
    case = RECORDED[name]
    test, wanted = case["test"], case["decision_curve"]
    score, truth, thresholds = np.array(test["p"]), np.array(test["y"]), np.array(wanted["thresholds"])
    outcomes = collect("multiclass", ["no", "yes"], truth, np.stack([1 - score, score], 1))
    benefit = class_benefit(outcomes.column(1), thresholds)
    found = DecisionCurve(benefit, outcomes, seed=0, resamples=80).numbers
    for key, own in (("net_benefit", found.acting), ("treat_all", found.on_all),
                     ("net_interventions_avoided", found.avoided), ("standardised", found.standardised)):
        assert own == pytest.approx(np.array(wanted[key]), abs=1e-9), key
    assert at_prevalence(score, truth == 1, thresholds, 0.1) == pytest.approx(
        np.array(wanted["net_benefit_prevalence_0.1"]), abs=1e-9)
    weights = np.array(case["weights_seed0"])[:, None]
    drawn = net_benefits(score, truth == 1, weights, np.array([0.2]))[0]
    assert drawn[0, 0] == pytest.approx(case["resample_seed0"]["net_benefit_0_2"], abs=1e-9)
    assert ((found.low <= found.acting + 0.05) & (found.high >= found.acting - 0.05)).all()
    wide = (found.high - found.low) / 2 / 1.96
    assert wide[:10] == pytest.approx(np.array(wanted["se"])[:10], rel=0.4)
    assert (found.gain_low <= found.gain_high).all()
    assert DecisionCurve(benefit, outcomes, seed=0, resamples=0).to_json()["low"][0] is None
