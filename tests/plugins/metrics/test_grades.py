"""Metrics of grades: as recorded from libraries, whatever grades are there, and for weights of cases."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from fusionkit_plugins.blocks.grades import expected_grade
from recorded import GOLDEN

from fusionkit.components.outcomes import Outcomes
from fusionkit.evaluation.chosen_metrics import ChosenMetric, metrics_named
from fusionkit.evaluation.metrics import measure
from fusionkit.evaluation.predictions import collect
from fusionkit.evaluation.report import evaluate_predictions
from fusionkit.registry.lookup import discover
from fusionkit.registry.tasks import task_named

REGISTRY = discover()
KEYS = ("ordinal_c", "qwk", "grade_mae", "rps", "grade_mae_macro", "within_one", "ordinal_c_pairs", "auroc_above")
with np.load(GOLDEN / "outcomes" / "ordinal.npz") as file:
    CASE = {key: file[key] for key in file.files}
WANTED = json.loads(str(CASE["metrics"]))
METHOD = task_named("ordinal").method


def chosen(key: str) -> ChosenMetric:
    return metrics_named(key, REGISTRY, "--metric")[0]


def outcomes(shares: Any, grades: Any, count: int = 5) -> Outcomes:
    return collect("ordinal", [str(grade) for grade in range(count)], grades, shares)


def value(key: str, made: Outcomes, weights: Any = None) -> float:
    weights = np.ones((made.cases, 1)) if weights is None else np.asarray(weights, dtype=np.float64)[:, None]
    return float(chosen(key).of_all(made, weights)[0][0])


def test_labels_are_as_recorded() -> None:
    shares = CASE["out_link_probabilities"]
    assert np.array_equal(outcomes(shares, CASE["grade"]).predicted_class(), CASE["out_median"])
    np.testing.assert_allclose(expected_grade(shares), CASE["out_expected"], rtol=0, atol=1e-12)


def test_values_are_as_recorded() -> None:
    made = outcomes(CASE["out_link_probabilities"], CASE["grade"])
    assert value("qwk", made) == pytest.approx(WANTED["qwk_median"], abs=1e-9)
    assert value("grade_mae", made) == pytest.approx(WANTED["mae_median"], abs=1e-9)
    assert value("ordinal_c", made) == pytest.approx(WANTED["ordinal_c"], abs=1e-9)
    assert value("grade_mae_macro", made) == pytest.approx(WANTED["mae_macro_median"], abs=1e-9)
    assert value("within_one", made) == pytest.approx(WANTED["within_one"], abs=1e-9)
    assert value("accuracy", made) == pytest.approx(WANTED["accuracy"], abs=1e-9)
    assert value("ordinal_c_pairs", made) == pytest.approx(WANTED["ordinal_c_mean_of_pairs"], abs=1e-9)
    assert value("rps", made) == pytest.approx(WANTED["rps_normalised"], abs=1e-9)


def test_a_grade_that_no_case_has_changes_no_kappa() -> None:
    """A kappa from a table of the grades that occur would close the gap between 1 and 3."""
    true, told = np.array([0, 1, 3, 3, 1, 0]), np.array([0, 1, 1, 3, 3, 0])
    few = value("qwk", outcomes(np.eye(4)[told], true, 4))
    weights = (np.arange(4)[:, None] - np.arange(4)) ** 2
    table = np.zeros((4, 4))
    np.add.at(table, (true, told), 1)
    expected = table.sum(1)[:, None] * table.sum(0) / len(true)
    assert few == pytest.approx(1 - (weights * table).sum() / (weights * expected).sum(), abs=1e-12)
    assert few == pytest.approx(value("qwk", outcomes(np.eye(6)[told], true, 6)), abs=1e-12)


@pytest.mark.parametrize("key", KEYS)
def test_weights_are_counts_of_cases(key: str) -> None:
    made = outcomes(CASE["out_link_probabilities"], CASE["grade"])
    counts = np.random.default_rng(0).integers(0, 3, made.cases)
    rows = np.repeat(np.arange(made.cases), counts)
    assert value(key, made, counts) == pytest.approx(
        value(key, outcomes(made.predictions[rows], made.targets[rows])), abs=1e-12)


def test_one_grade_has_no_order() -> None:
    found = measure(outcomes(np.eye(5)[[2, 2, 2]], np.array([2, 2, 2])), [chosen(key) for key in KEYS]).overall
    assert found["ordinal_c"].note == "all cases have one grade"
    assert found["qwk"].note == "one grade only, true and predicted"
    assert found["grade_mae"].value == found["rps"].value == 0
    assert found["ordinal_c_pairs"].note == found["auroc_above"].note == "all cases have one grade"


def test_a_report_has_the_figures_of_grades_and_those_of_classes() -> None:
    report = evaluate_predictions("grade", "ordinal", ["G0", "G1", "G2", "G3", "G4"], CASE["grade"],
                                  CASE["out_link_probabilities"], resamples=40)
    assert set(KEYS) <= set(report.metrics) and "auroc" in report.metrics
    assert all(report.metrics[key].low is not None for key in KEYS)
    assert set(KEYS) & set(report.per_class["G1"]) == {"auroc_above"} and "auroc" in report.per_class["G1"]
    assert ("before", "nll") in report.trust.figures


def test_each_question_has_an_auroc_and_the_last_grade_none() -> None:
    shares, grade = CASE["out_link_probabilities"], CASE["grade"]
    found = measure(outcomes(shares, grade), [chosen("auroc_above")])
    for place in range(4):
        score, above = shares[:, place + 1:].sum(axis=1), grade > place
        pairs = np.sign(score[above][:, None] - score[~above]) / 2 + 0.5
        assert found.per_class[str(place)]["auroc_above"].value == pytest.approx(pairs.mean(), abs=1e-12)
    assert found.per_class["4"]["auroc_above"].note == "no case is above '4'"
    assert found.overall["auroc_above"].value == pytest.approx(
        np.mean([found.per_class[str(place)]["auroc_above"].value for place in range(4)]))
    alone = measure(outcomes(np.array([[0.2, 0.8], [0.7, 0.3]]), np.array([1, 0]), 2), [chosen("auroc_above")])
    assert alone.overall["auroc_above"].value == 1


def test_the_median_is_what_is_counted_as_right_not_the_likeliest_grade() -> None:
    made = outcomes(np.array([[0.4, 0.35, 0.25]]), np.array([1]), 3)
    assert made.predicted_class().tolist() == [1] and made.likeliest_class().tolist() == [0]
    report = evaluate_predictions("grade", "ordinal", ["a", "b", "c"], [1], [[0.4, 0.35, 0.25]], resamples=0)
    assert report.metrics["accuracy"].value == 1 and report.curves.confusion[0].counts[1, 1] == 1


def test_what_no_case_has_is_left_out_and_told() -> None:
    found = measure(outcomes(np.eye(4)[[0, 1, 3]], np.array([0, 1, 3]), 4), [chosen(key) for key in KEYS]).overall
    assert found["grade_mae_macro"].note == "mean of 3 of 4, without '2'"
    assert found["ordinal_c_pairs"].note == "without '2', which no case has"
    assert found["auroc_above"].value == 1 and found["auroc_above"].note is None


def test_tables_show_the_median_and_the_expected_grade() -> None:
    shares = np.array([[0.3, 0.3, 0.4], [0.1, 0.2, 0.7]])
    assert METHOD.predicted(shares, ("a", "b", "c")) == ["b", "c"]
    assert METHOD.details(shares, ("a", "b", "c"))["expected"] == pytest.approx([1.1, 1.6])
    assert METHOD.details(shares, ("1", "2", "3"))["expected"] == pytest.approx([2.1, 2.6])
