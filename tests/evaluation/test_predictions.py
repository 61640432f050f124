import numpy as np
import pytest

from fusionkit.components.weighted import CALIBRATION_BINS, CALIBRATION_EDGES, calibration_bin
from fusionkit.errors import RunError
from fusionkit.evaluation.predictions import collect

HALVES = [[0.5, 0.5]] * 3


def test_cases_without_a_target_are_left_out_and_counted():
    found = collect("multiclass", ["a", "b"], [1, np.nan, -1, 0], [[0.2, 0.8]] * 2 + [[0.9, 0.1]] * 2)
    assert found.targets.tolist() == [1, 0]
    assert found.predictions[:, 1].tolist() == [0.8, 0.1]
    assert found.without_target == 2


def test_a_case_with_one_known_label_stays():
    found = collect("multilabel", ["a", "b"], [[1, np.nan], [np.nan, np.nan], [-1, 0]], HALVES)
    assert (found.cases, found.without_target) == (2, 1)
    assert found.column(0).known.tolist() == [True, False]
    assert found.column(1).known.tolist() == [False, True]


def test_negative_values_are_targets_in_regression():
    found = collect("regression", [], [-3.0, np.nan, 2.0], [-2.0, 1.0, 1.0])
    assert found.targets.tolist() == [[-3.0], [2.0]]
    assert found.classes == ("value",)


def test_patients_are_numbered_and_nobody_is_alone():
    found = collect("multiclass", ["a", "b"], [0, 1, -1, 1, 0], [[0.5, 0.5]] * 5,
                    patients=["p", "q", "r", "p", None])
    assert found.patients.tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ([[0.5, 0.5], [np.nan, 0.5], [0.5, 0.5]], "not finite for 1 of 3 cases .the first is case 2."),
        ([[3.0, -2.0]] * 3, "outside 0 to 1 for 3 of 3 cases .*logits"),
        ([[0.5, 0.5], [0.5, 0.5], [0.4, 0.4]], "do not add up to 1 for 1 of 3 cases .the first is case 3."),
        ([[0.2, 0.3, 0.5]] * 3, r"shape \(3, 3\); expected one row of 2"),
        ([0.5, 0.5, 0.5], r"shape \(3,\); expected one row of 2"),
    ],
)
def test_predictions_that_are_no_probabilities_are_refused_by_the_name_of_the_head(predictions, message):
    with pytest.raises(RunError, match=f"head 'organ' .*{message}"):
        collect("multiclass", ["a", "b"], [0, 1, 1], predictions, head="organ")


def test_rounding_beyond_one_is_no_fault():
    found = collect("multiclass", ["a", "b"], [0], [[1.004, -0.004]])
    assert found.predictions.tolist() == [[1.0, 0.0]]


def test_labels_need_not_add_up_and_values_need_no_range():
    assert collect("multilabel", ["a", "b"], [[1, 1]], [[0.9, 0.9]]).cases == 1
    assert collect("regression", ["x"], [5.0], [-40.0]).predictions.tolist() == [[-40.0]]


def test_a_target_that_is_no_class_is_our_own_fault():
    with pytest.raises(AssertionError, match="please report"):
        collect("multiclass", ["a", "b"], [0, 1, 2], HALVES)
    with pytest.raises(AssertionError, match="please report"):
        collect("multiclass", ["a", "b"], [0, 1], HALVES)


def test_the_first_of_equal_classes_is_predicted_and_a_half_is_no_yes():
    tied = collect("multiclass", ["a", "b"], [0, 1, 1], HALVES)
    assert tied.predicted_class().tolist() == [0, 0, 0]
    assert not collect("multilabel", ["a"], [[1]], [[0.5]]).column(0).predicted.any()


def test_bins_are_closed_below_and_the_last_on_both_sides():
    assert calibration_bin(CALIBRATION_EDGES).tolist() == [*range(CALIBRATION_BINS), CALIBRATION_BINS - 1]
    assert calibration_bin(np.nextafter(CALIBRATION_EDGES[1:], 0)).tolist() == list(range(CALIBRATION_BINS))
