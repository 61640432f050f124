"""Calibrations of heads of every task: fitted, applied, kept as JSON and read again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionkit.errors import UserError
from fusionkit.evaluation.calibration import (
    CALIBRATION,
    Calibration,
    Choices,
    HeadCalibration,
    apply_head,
    fit_head,
    read_calibration,
    write_calibration,
)

HEADS: dict[str, tuple[str, tuple[str, ...]]] = {
    "kind": ("multiclass", ("a", "b", "c")), "signs": ("multilabel", ("x", "y")), "size": ("regression", ("l", "w")),
}
WIDE, NARROW = Choices(alpha=0.2), Choices(alpha=0.05, class_conditional=True)


def outcomes(task: str, width: int, cases: int = 211, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Predictions that know something, and targets, a few of them unknown."""
    rng = np.random.default_rng(seed)
    if task == "regression":
        targets = rng.normal(size=(cases, width))
        predictions = targets + rng.normal(size=targets.shape) * np.arange(1, width + 1)
        targets[::7] = np.nan
        return predictions, targets
    if task == "multilabel":
        targets = (rng.random((cases, width)) < 0.4).astype(float)
        predictions = 1 / (1 + np.exp(-3 * (rng.normal(size=targets.shape) + 2 * targets - 1)))
        targets[::5, 0] = -1
        return predictions, targets
    classes = rng.integers(0, width, cases)
    raised = np.exp(3 * (rng.normal(size=(cases, width)) + np.eye(width)[classes]))
    return raised / raised.sum(1, keepdims=True), classes.astype(float)


def fitted(choices: Choices = WIDE, **more: Any) -> dict[str, HeadCalibration]:
    return {name: fit_head(task, names, *outcomes(task, len(names), **more), choices)
            for name, (task, names) in HEADS.items()}


def test_what_is_fitted_has_one_row_for_each_question() -> None:
    found = fitted()
    assert [len(found[name].temperatures) for name in HEADS] == [1, 2, 0]
    assert [[len(row) for row in found[name].thresholds] for name in HEADS] == [[3], [2, 2], [1, 1]]
    assert [found[name].cases for name in HEADS] == [211, 211, 180]
    assert all(temperature > 1.2 for name in HEADS for temperature in found[name].temperatures)
    assert len(set(found["kind"].thresholds[0])) == 1
    assert len(set(fitted(NARROW)["kind"].thresholds[0])) == 3


def test_labels_are_questions_of_their_own_over_the_cases_that_know_them() -> None:
    predictions, targets = outcomes("multilabel", 2)
    both = fit_head("multilabel", ("x", "y"), predictions, targets, WIDE)
    known = targets[:, 0] >= 0
    alone = fit_head("multilabel", ("x",), predictions[known, :1], targets[known, :1], WIDE)
    assert (both.temperatures[0], both.thresholds[0]) == (alone.temperatures[0], alone.thresholds[0])


@pytest.mark.parametrize("choices", [WIDE, NARROW], ids=["over all", "by class"])
def test_sets_hold_new_cases_as_often_as_was_asked(choices: Choices) -> None:
    found = fitted(choices, cases=4001)
    held = []
    for name, (task, names) in HEADS.items():
        predictions, targets = outcomes(task, len(names), cases=4001, seed=1)
        told = apply_head(found[name], predictions, choices)
        if task == "regression":
            assert told.values is told.sets is None
            assert told.bounds is not None
            known = ~np.isnan(targets)
            held.append(((told.bounds[..., 0] <= targets) & (targets <= told.bounds[..., 1]))[known].mean())
        else:
            assert told.values is not None
            assert told.sets is not None
            assert told.values.shape == predictions.shape
            rows = np.arange(len(targets))
            if task == "multiclass":
                held.append(told.sets[rows, targets.astype(int)].mean())
                np.testing.assert_array_equal(told.values.argmax(1), predictions.argmax(1))
            else:
                held.append(told.sets[rows, 1, targets[:, 1].astype(int)].mean())
                np.testing.assert_array_equal(told.values > 0.5, predictions > 0.5)
    assert held == pytest.approx([1 - choices.alpha] * 3, abs=0.025)


def test_too_few_cases_give_sets_of_everything_and_say_so() -> None:
    found = fitted(Choices(alpha=0.1), cases=8)
    assert found["kind"].thresholds == ((None, None, None),)
    assert found["kind"].notes[-1] == "too few cases for alpha 0.1, which needs 9: every set contains everything"
    assert found["size"].notes[0] == "l: too few cases for alpha 0.1, which needs 9: the interval contains every value"
    told = {name: apply_head(found[name], outcomes(task, len(names), cases=8)[0], Choices(alpha=0.1))
            for name, (task, names) in HEADS.items()}
    assert told["kind"].sets is not None
    assert told["kind"].sets.all()
    assert told["size"].bounds is not None
    assert np.isinf(told["size"].bounds).all()
    rare = fit_head("multiclass", ("a", "b"), np.tile([0.7, 0.3], (30, 1)), np.array([0] * 25 + [1] * 5),
                    Choices(alpha=0.1, class_conditional=True))
    assert rare.notes[-1] == ("too few cases of 'b' for alpha 0.1, which needs 9 of each class: "
                              "every set contains 'b'")


@pytest.mark.parametrize("choices", [WIDE, NARROW], ids=["over all", "by class"])
def test_what_is_written_is_read_again(tmp_path: Path, choices: Choices) -> None:
    made = Calibration(choices=choices, fitted_on="validation", heads=fitted(choices, cases=12),
                       uncertainty={"use": "uncertainty.mc_dropout", "with": {"samples": 30}})
    write_calibration(tmp_path, made)
    assert read_calibration(tmp_path, HEADS) == made
    assert read_calibration(tmp_path / "other", HEADS) is None
    text = (tmp_path / CALIBRATION).read_text()
    assert "Infinity" not in text
    assert json.loads(text)["fusionkit-calibration"] == 1


@pytest.mark.parametrize(("change", "told"), [
    (lambda data: data.update({"fusionkit-calibration": 2}), "another version of fusionkit"),
    (lambda data: data["choices"].update(alpha=1.5), "choices.alpha: Input should be less than 1"),
    (lambda data: data["heads"]["kind"].update(names=["a", "b"]), "head 'kind' is not that of this run"),
    (lambda data: data["heads"]["kind"].update(thresholds=[[0.5]]), "as many temperatures or thresholds"),
    (lambda data: data["heads"]["signs"].update(temperatures=[1.0, -1.0]), "heads.signs.temperatures.1"),
    (lambda data: data.update(more=1), "more: Extra inputs are not permitted"),
    (lambda data: data["heads"].update(other=data["heads"]["kind"]), "head 'other' is not that of this run"),
])
def test_a_file_that_is_wrong_is_told(tmp_path: Path, change: Any, told: str) -> None:
    write_calibration(tmp_path, Calibration(choices=WIDE, fitted_on="validation", uncertainty=None, heads=fitted()))
    data = json.loads((tmp_path / CALIBRATION).read_text())
    change(data)
    (tmp_path / CALIBRATION).write_text(json.dumps(data))
    with pytest.raises(UserError) as caught:
        read_calibration(tmp_path, HEADS)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "unreadable-calibration"
    assert told in str(diagnostic.why)


def test_folds_are_joined_and_cases_chosen() -> None:
    found = fitted()["kind"]
    parts = [apply_head(found, outcomes("multiclass", 3, cases, seed)[0], WIDE) for seed, cases in ((1, 5), (2, 7))]
    joined = parts[0].joined(parts[1:])
    assert joined.values is not None
    assert joined.sets is not None
    assert joined.values.shape == joined.sets.shape == (12, 3)
    assert joined.bounds is None
    chosen = joined.at(np.arange(12) >= 5)
    np.testing.assert_array_equal(chosen.values, parts[1].values)
