"""The cases that are predicted worst: the loss of each form of target."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from fusionkit.inference.predict import HeadResult
from fusionkit.registry.tasks import task_named
from fusionkit.runs.worst_cases import losses

NAN = float("nan")


def result(task: str, values: Any, targets: Any, known: Any, names: tuple[str, ...] = ()) -> HeadResult:
    head = SimpleNamespace(declared_task=task_named(task), names=names)
    return HeadResult(cast(Any, head), np.array(values), {}, np.array([True, True, True, False]), np.array(targets),
                      np.array(known))


def test_the_loss_of_classes_labels_and_numbers() -> None:
    known = [True, True, False, True]
    classes = losses(result("multiclass", [[0.25, 0.75], [1, 0], [1, 0], [1, 0]], [1, 1, -1, 0], known))
    assert classes is not None and classes[1] == pytest.approx([-np.log(0.75), -np.log(1e-7), NAN, NAN], nan_ok=True)
    labels = losses(result("multilabel", [[0.2, 0.5], [0.2, 0.6], [1, 1], [1, 1]],
                           [[0, 1], [-1, 0], [-1, -1], [1, 1]], known))
    assert labels is not None
    assert labels[1] == pytest.approx([-np.log(0.8) - np.log(0.5), -np.log(0.4), NAN, NAN], nan_ok=True)
    one = losses(result("regression", [[2.0], [3.0], [4.0], [5.0]], [[5.0], [2.5], [NAN], [1.0]], known))
    assert one == ("absolute error", pytest.approx([3, 0.5, NAN, NAN], nan_ok=True))
    two = losses(result("regression", [[2.0, 1], [3, 1], [4, 1], [5, 1]], [[4.0, 9], [8, NAN], [NAN, NAN], [1, 1]],
                        known))
    assert two is not None and two[1] == pytest.approx([8, 2.5, NAN, NAN], nan_ok=True)  # sd: 2, and none, which is 1


def test_the_distance_of_survival_from_what_happened_where_that_is_known() -> None:
    survival = [[0.9, 0.2], [0.7, 0.4], [0.8, 0.6], [0.5, 0.5]]
    # An event before both horizons; censored between them; followed beyond both; without a target.
    targets, known = [[3.0, 1], [8, 0], [20, 1], [1, 1]], [True, True, True, False]
    found = losses(result("survival", survival, targets, known, ("6", "12")))
    assert found == ("squared distance, mean of horizons", pytest.approx(
        [(0.9**2 + 0.2**2) / 2, 0.3**2, (0.2**2 + 0.4**2) / 2, NAN], nan_ok=True))
    early = losses(result("survival", survival, [[2.0, 0], [8, 0], [9, 0], [1, 1]], known, ("6", "12")))
    assert early is not None and np.isnan(early[1][0]), "censored before the first horizon"
    causes = losses(result("competing_risks", survival, [[3.0, 2], [8, 0], [20, 1], [1, 1]], known, ("a@6", "b@6")))
    assert causes is not None and causes[1] == pytest.approx(
        [(0.9**2 + 0.8**2) / 2, (0.7**2 + 0.4**2) / 2, (0.8**2 + 0.6**2) / 2, NAN], nan_ok=True)
