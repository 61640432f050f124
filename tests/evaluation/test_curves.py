import numpy as np
import pytest

from fusionkit.evaluation.curves import trace
from fusionkit.evaluation.metrics import measure
from fusionkit.evaluation.predictions import collect

from . import oracles
from .cohorts import classified, labelled, names, valued


@pytest.mark.parametrize("rounded", [False, True])
def test_roc_curves_enclose_their_auroc(rounded):
    targets, probabilities = classified(61, 127, 3, rounded=rounded)
    outcomes = collect("multiclass", names(3), targets, probabilities)
    measured, curves = measure(outcomes), trace(outcomes)
    for curve in curves.roc:
        assert (curve.false_positive_rate[0], curve.true_positive_rate[0]) == (0, 0)
        assert (curve.false_positive_rate[-1], curve.true_positive_rate[-1]) == (1, 1)
        area = oracles.reference.auc(curve.false_positive_rate, curve.true_positive_rate)
        assert area == pytest.approx(measured.per_class[curve.name]["auroc"].value, abs=1e-12)


def test_two_classes_have_one_curve_and_a_lost_class_has_none():
    targets, probabilities = classified(67, 31, 2)
    assert [curve.name for curve in trace(collect("multiclass", names(2), targets, probabilities)).roc] == [
        "class 1"
    ]
    lost = trace(collect("multiclass", names(2), targets * 0, probabilities)).roc
    assert lost[0].true_positive_rate.size == 0


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("classes", [2, 4])
def test_bins_add_up_to_the_calibration_error(classes, rounded):
    outcomes = collect("multiclass", names(classes), *classified(71, 203, classes, rounded=rounded))
    (bins,) = trace(outcomes).reliability
    assert bins.count.sum() == 203
    held = bins.count > 0
    gap = np.abs(bins.predicted - bins.observed)[held] @ bins.count[held] / 203
    assert gap == pytest.approx(measure(outcomes).overall["ece"].value, abs=1e-12)
    assert sum(row["cases"] for row in bins.to_json()["bins"]) == 203


def test_confusion_has_true_classes_in_rows():
    targets, probabilities = classified(73, 151, 4)
    (matrix,) = trace(collect("multiclass", names(4), targets, probabilities)).confusion
    assert (matrix.counts == oracles.reference.confusion_matrix(targets, probabilities.argmax(axis=1))).all()


def test_each_label_has_its_own_bins_and_matrix_over_its_known_cases():
    targets, probabilities = labelled(79, 101, 3, unknown=0.3)
    curves = trace(collect("multilabel", names(3), targets, probabilities))
    known = (~np.isnan(targets)).sum(axis=0).tolist()
    assert [bins.count.sum() for bins in curves.reliability] == known
    assert [matrix.counts.sum() for matrix in curves.confusion] == known
    assert [matrix.name for matrix in curves.confusion] == names(3)


def test_values_are_paired_output_by_output():
    targets, predictions = valued(83, 29, 2)
    targets[3, 1] = np.nan
    pairs = trace(collect("regression", ["left", "right"], targets, predictions)).pairs
    assert [len(pair.true) for pair in pairs] == [29, 28]
    assert pairs[0].predicted.tolist() == predictions[:, 0].tolist()


def test_no_cases_no_curves():
    assert trace(collect("multiclass", names(2), [], np.zeros((0, 2)))).roc == ()
