"""`metric.brier_skill` holds to the contract, and has the values that its definition gives by hand."""

from __future__ import annotations

import numpy as np
import pytest
from fusionkit.evaluation import evaluate_predictions
from fusionkit.testing.conformance import Kit, checks_of
from fusionkit.testing.packages import check_package

from fusionkit_brier_skill.brier_skill import component

KIT = Kit(component)


@pytest.mark.parametrize("check", checks_of(component))
def test_it_holds_to_the_contract(check: str) -> None:
    finding = KIT.finding(check)
    assert finding.result == "ok", str(finding)


def test_the_package_is_whole_and_its_catalogue_fresh() -> None:
    for finding in check_package("fusionkit-brier-skill", components=False):
        assert finding.result == "ok", str(finding)


def skill(targets: list[int], probabilities: list[list[float]]) -> tuple[float | None, str | None]:
    names = [f"c{index}" for index in range(len(probabilities[0]))]
    found = evaluate_predictions("h", "multiclass", names, targets, probabilities, resamples=50).metrics["brier_skill"]
    return found.value, found.note


def test_two_classes_by_hand() -> None:
    # Squares 0.04, 0.04, 0.09, 0.01: mean 0.045; a quarter of the cases is positive, so that the reference has 0.1875.
    value, _ = skill([0, 0, 1, 0], [[0.8, 0.2], [0.8, 0.2], [0.3, 0.7], [0.9, 0.1]])
    assert value == pytest.approx(1 - 0.045 / 0.1875)


def test_three_classes_and_the_reference_itself() -> None:
    targets = [0, 0, 1, 2]
    shares = [0.5, 0.25, 0.25]
    assert skill(targets, [shares] * 4)[0] == pytest.approx(0)
    assert skill(targets, np.eye(3)[targets].tolist())[0] == pytest.approx(1)


def test_one_class_alone_is_undefined() -> None:
    assert skill([0, 0], [[0.8, 0.2]] * 2) == (None, "no case is 'c1'")
