import math

import numpy as np
import pytest
import torch

from fusionkit.evaluation.chosen_metrics import default_metrics
from fusionkit.evaluation.metrics import measure
from fusionkit.evaluation.predictions import collect

from . import oracles
from .cohorts import classified, labelled, names, valued

close = {"abs": 1e-12}
# In the order of tables.
CLASSIFICATION = ("auroc", "accuracy", "balanced_accuracy", "f1", "sensitivity", "specificity", "ppv", "npv", "brier",
                  "ece")
REGRESSION = ("mae", "rmse", "median_ae", "r2", "pearson", "spearman", "ccc", "bias", "limit_low", "limit_high",
              "proportional_bias", "line_slope", "line_intercept")


def known():
    return [metric for metric in default_metrics() if metric.key in CLASSIFICATION]


def multiclass(targets, probabilities, classes):
    return measure(collect("multiclass", classes, targets, probabilities), known())


def multilabel(targets, probabilities, labels):
    return measure(collect("multilabel", labels, targets, probabilities), known())


def regression(targets, predictions, outputs=()):
    return measure(collect("regression", outputs, targets, predictions))


def values(scores):
    return {name: score.value for name, score in scores.items()}


def of_two(truth, score):
    """The ten metrics by scikit-learn; calibration error by hand."""
    predicted = score > 0.5
    edges = np.minimum((score * 15).astype(int), 14)
    gaps = [abs((score - truth)[edges == index].sum()) for index in range(15)]
    return {
        "auroc": oracles.reference.roc_auc_score(truth, score),
        "accuracy": oracles.reference.accuracy_score(truth, predicted),
        "balanced_accuracy": oracles.reference.balanced_accuracy_score(truth, predicted),
        "f1": oracles.reference.f1_score(truth, predicted),
        "sensitivity": oracles.reference.recall_score(truth, predicted),
        "specificity": oracles.reference.recall_score(truth, predicted, pos_label=0),
        "ppv": oracles.reference.precision_score(truth, predicted),
        "npv": oracles.reference.precision_score(truth, predicted, pos_label=0),
        "brier": oracles.reference.brier_score_loss(truth, score),
        "ece": sum(gaps) / len(score),
    }


def by_torchmetrics(truth, score):
    """What torchmetrics has of the ten, from tensors in double precision; it divides counts in single precision."""
    truth, score = torch.from_numpy(truth.astype(np.int64)), torch.from_numpy(np.ascontiguousarray(score))
    predicted = (score > 0.5).long()
    return {
        "auroc": oracles.functional.binary_auroc(score, truth),
        "accuracy": oracles.functional.binary_accuracy(predicted, truth),
        "balanced_accuracy": oracles.functional.multiclass_accuracy(predicted, truth, num_classes=2, average="macro"),
        "f1": oracles.functional.binary_f1_score(predicted, truth),
        "sensitivity": oracles.functional.binary_recall(predicted, truth),
        "specificity": oracles.functional.binary_specificity(predicted, truth),
        "ppv": oracles.functional.binary_precision(predicted, truth),
        "npv": oracles.functional.binary_negative_predictive_value(predicted, truth),
        "ece": oracles.functional.binary_calibration_error(score, truth, n_bins=15, norm="l1"),
    }


@pytest.mark.parametrize("rounded", [False, True])
def test_two_classes_agree_with_torchmetrics(rounded):
    targets, probabilities = classified(3, 173, 2, rounded=rounded)
    found = values(multiclass(targets, probabilities, names(2)).overall)
    del found["brier"]  # which it lacks
    expected = by_torchmetrics(targets, probabilities[:, 1])
    assert found == pytest.approx({name: float(value) for name, value in expected.items()}, abs=1e-6)


def test_two_classes_by_hand():
    # Of four sick, three are found; of six healthy, four are cleared.
    sick = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    score = np.array([0.9, 0.9, 0.6, 0.4, 0.6, 0.7, 0.1, 0.1, 0.1, 0.1])
    found = values(multiclass(sick, np.stack([1 - score, score], axis=1), ["healthy", "sick"]).overall)
    expected = {
        # 24 pairs: 0.9 wins 6 twice, 0.6 wins 4 and ties 1, 0.4 wins 4.
        "auroc": (12 + 4.5 + 4) / 24,
        "accuracy": 7 / 10,
        "balanced_accuracy": (3 / 4 + 4 / 6) / 2,
        "f1": 6 / 9,
        "sensitivity": 3 / 4,
        "specificity": 4 / 6,
        "ppv": 3 / 5,
        "npv": 4 / 5,
        "brier": (0.01 + 0.01 + 0.16 + 0.36 + 0.36 + 0.49 + 4 * 0.01) / 10,
        # Bins hold 0.1 (four, none sick), 0.4 (one, sick), 0.6 (two, one sick), 0.7 (one, healthy), 0.9 (two, both).
        "ece": (4 * 0.1 + 0.6 + 2 * 0.1 + 0.7 + 2 * 0.1) / 10,
    }
    assert list(found) == list(CLASSIFICATION)
    assert found == pytest.approx(expected, **close)


@pytest.mark.parametrize("rounded", [False, True])
def test_two_classes_agree_with_scikit_learn(rounded):
    targets, probabilities = classified(3, 211, 2, rounded=rounded)
    found, expected = values(multiclass(targets, probabilities, names(2)).overall), of_two(targets, probabilities[:, 1])
    if rounded:
        # Its hand-made bins differ on the edges themselves.
        del found["ece"], expected["ece"]
    assert found == pytest.approx(expected, **close)


def test_many_classes_agree_with_scikit_learn():
    targets, probabilities = classified(5, 307, 5)
    measured, predicted = multiclass(targets, probabilities, names(5)), probabilities.argmax(axis=1)
    overall = values(measured.overall)
    macro = {"average": "macro"}
    assert overall["auroc"] == pytest.approx(
        oracles.reference.roc_auc_score(targets, probabilities, multi_class="ovr", **macro), **close
    )
    assert overall["accuracy"] == pytest.approx(oracles.reference.accuracy_score(targets, predicted), **close)
    assert overall["balanced_accuracy"] == pytest.approx(
        oracles.reference.balanced_accuracy_score(targets, predicted), **close
    )
    assert overall["f1"] == pytest.approx(oracles.reference.f1_score(targets, predicted, **macro), **close)
    assert overall["sensitivity"] == pytest.approx(oracles.reference.recall_score(targets, predicted, **macro), **close)
    assert overall["ppv"] == pytest.approx(oracles.reference.precision_score(targets, predicted, **macro), **close)
    # scikit-learn's own multi-class Brier score needs a newer release than its other metrics.
    distances = [np.sum((row - np.eye(5)[target]) ** 2) for row, target in zip(probabilities, targets, strict=True)]
    assert overall["brier"] == pytest.approx(np.mean(distances), **close)
    top, right = probabilities.max(axis=1), predicted == targets
    assert overall["ece"] == pytest.approx(of_two(right, top)["ece"], **close)
    for index, name in enumerate(names(5)):
        alone = values(measured.per_class[name])
        truth, chosen = targets == index, predicted == index
        assert alone["auroc"] == pytest.approx(oracles.reference.roc_auc_score(truth, probabilities[:, index]), **close)
        assert alone["specificity"] == pytest.approx(oracles.reference.recall_score(~truth, ~chosen), **close)
        assert alone["npv"] == pytest.approx(oracles.reference.precision_score(~truth, ~chosen), **close)
        assert alone["brier"] == pytest.approx(
            oracles.reference.brier_score_loss(truth, probabilities[:, index]), **close
        )
    assert overall["specificity"] == pytest.approx(
        np.mean([measured.per_class[name]["specificity"].value for name in names(5)]), **close
    )


def test_labels_agree_with_scikit_learn_on_the_cases_where_each_is_known():
    targets, probabilities = labelled(7, 251, 3, unknown=0.2)
    measured = multilabel(targets, probabilities, names(3))
    for index, name in enumerate(names(3)):
        known = ~np.isnan(targets[:, index])
        expected = of_two(targets[known, index].astype(int), probabilities[known, index])
        assert values(measured.per_class[name]) == pytest.approx(expected, **close)
    for metric, value in values(measured.overall).items():
        assert value == pytest.approx(np.mean([scores[metric].value for scores in measured.per_class.values()]))


def test_regression_agrees_with_scikit_learn():
    targets, predictions = valued(11, 173, 2)
    measured = regression(targets, predictions, ["left", "right"])
    for index, name in enumerate(["left", "right"]):
        true, predicted = targets[:, index], predictions[:, index]
        found = values(measured.per_class[name])
        assert {key: found[key] for key in ("mae", "rmse", "r2", "pearson")} == pytest.approx(
            {
                "mae": oracles.reference.mean_absolute_error(true, predicted),
                "rmse": oracles.reference.root_mean_squared_error(true, predicted),
                "r2": oracles.reference.r2_score(true, predicted),
                "pearson": np.corrcoef(true, predicted)[0, 1],
            }
        )
    assert measured.overall["r2"].value == pytest.approx(oracles.reference.r2_score(targets, predictions))
    assert list(measured.overall) == list(REGRESSION)


def test_one_output_has_no_values_of_its_own():
    targets, predictions = valued(11, 31)
    flat, column = regression(targets[:, 0], predictions[:, 0]), regression(targets, predictions)
    assert flat == column
    assert flat.per_class == {}


def test_small_variation_around_a_large_value_keeps_its_digits():
    targets, predictions = valued(13, 101)
    near, far = regression(targets, predictions).overall, regression(targets + 1e7, predictions + 1e7).overall
    far, near = values(far), values(near)
    # A line through far values meets the axis elsewhere.
    assert far.pop("line_intercept") != near.pop("line_intercept")
    assert far == pytest.approx(near, rel=1e-6)


def undefined(scores):
    return {name: score.note for name, score in scores.items() if math.isnan(score.value)}


def test_a_class_without_cases_is_undefined_and_said_so():
    found = multiclass([0, 0], [[0.9, 0.1], [0.2, 0.8]], ["healthy", "sick"]).overall
    absent = "no case is 'sick'"
    assert undefined(found) == {"auroc": absent, "balanced_accuracy": absent, "sensitivity": absent}
    assert found["f1"].value == found["ppv"].value == 0
    assert found["specificity"].value == 0.5


def test_without_negatives_there_is_no_specificity():
    found = multiclass([1, 1], [[0.1, 0.9], [0.2, 0.8]], ["healthy", "sick"]).overall
    everyone = "every case is 'sick'"
    assert undefined(found) == {
        "auroc": everyone,
        "balanced_accuracy": everyone,
        "specificity": everyone,
        "npv": "nothing but 'sick' is predicted",
    }


def test_a_class_that_is_neither_there_nor_predicted_has_no_f1():
    found = multiclass([0], [[0.9, 0.1]], ["healthy", "sick"]).overall
    assert found["f1"].note == "no case is 'sick', and none is predicted so"
    assert found["ppv"].note == "'sick' is never predicted"
    assert found["accuracy"].value == 1


def test_a_mean_over_classes_names_those_it_leaves_out():
    targets, probabilities = [0, 1, 0, 1], [[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.8, 0.1, 0.1], [0.5, 0.4, 0.1]]
    overall = multiclass(targets, probabilities, ["a", "b", "c"]).overall
    assert overall["balanced_accuracy"].value == pytest.approx(0.75)
    assert overall["balanced_accuracy"].note == "mean of 2 of 3, without 'c' (no case is 'c')"
    assert overall["ppv"].note == "mean of 2 of 3, without 'c' ('c' is never predicted)"
    assert overall["specificity"].note is None


@pytest.mark.parametrize("cases", [0, 1])
def test_hardly_any_cases_raise_nothing(cases):
    measured = [
        multiclass(np.ones(cases), np.full((cases, 2), 0.5), names(2)),
        multiclass(np.ones(cases), np.full((cases, 3), 1 / 3), names(3)),
        multiclass(np.zeros(cases), np.ones((cases, 1)), names(1)),
        multilabel(np.ones((cases, 2)), np.ones((cases, 2)), names(2)),
        regression(np.ones(cases), np.ones(cases)),
        regression(np.ones((cases, 2)), np.ones((cases, 2))),
    ]
    for found in measured:
        assert all(score.note for score in found.overall.values() if math.isnan(score.value))
    if not cases:
        assert all(set(undefined(found.overall).values()) == {"no case has a target"} for found in measured)


def test_constant_values_have_errors_but_no_correlation():
    targets = np.array([1.0, 2.0, 4.0])
    flat = regression(targets, np.full(3, 0.1 + 0.2)).overall
    assert undefined(flat) == dict.fromkeys(["pearson", "spearman", "line_slope", "line_intercept"],
                                            "all predictions are equal")
    assert flat["r2"].value < 0
    assert undefined(regression(np.full(3, 5.0), targets).overall) == dict.fromkeys(
        ["r2", "pearson", "spearman"], "all targets are equal"
    )
    assert undefined(regression([5.0], [4.0]).overall) == dict.fromkeys(
        ["r2", "pearson", "spearman", "limit_low", "limit_high", "proportional_bias", "line_slope", "line_intercept"],
        "one case only")


def test_a_probability_of_one_shares_the_last_bin():
    # Together their gap is |1.95 - 1| / 2; in bins of their own it would be (1 + 0.05) / 2.
    found = multiclass([0, 1], [[0.0, 1.0], [0.05, 0.95]], names(2)).overall
    assert found["ece"].value == pytest.approx(0.475)
