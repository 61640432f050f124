"""Temperatures: the true one comes back, decisions stay, and what cannot be fitted is told."""

from __future__ import annotations

import numpy as np
import pytest

from fusionkit.evaluation.calibration.temperature import FEWEST_CASES, LARGEST, SMALLEST, fit_temperature, tempered

Arrays = tuple[np.ndarray, np.ndarray]


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


def drawn(cases: int, classes: int, factor: float, seed: int = 0) -> Arrays:
    """Probabilities that are `factor` times too sure in their logits, and classes drawn from the right ones."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(cases, classes))
    right = softmax(logits)
    truth = (right.cumsum(1) > rng.random(cases)[:, None]).argmax(1)
    return softmax(factor * logits), truth


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("classes", [2, 5])
def test_the_factor_by_which_logits_are_too_large_comes_back(classes: int, factor: float) -> None:
    probabilities, truth = drawn(20_000, classes, factor)
    found, note = fit_temperature(probabilities, truth)
    assert found == pytest.approx(factor, rel=0.04)
    assert note is None


def test_it_is_the_minimum_of_the_likelihood() -> None:
    probabilities, truth = drawn(313, 3, 2.0)
    found, _ = fit_temperature(probabilities, truth)

    def loss(temperature: float) -> float:
        return -np.log(tempered(probabilities, temperature)[np.arange(len(truth)), truth]).mean()

    assert loss(found) < min(loss(found * 1.0003), loss(found / 1.0003), loss(1.0))


def test_a_temperature_is_that_of_the_logits_and_changes_no_decision() -> None:
    logits = 4 * np.random.default_rng(1).normal(size=(31, 4))
    cooled = tempered(softmax(logits), 2.5)
    np.testing.assert_allclose(cooled, softmax(logits / 2.5), atol=1e-12)
    np.testing.assert_array_equal(cooled.argmax(1), logits.argmax(1))
    probabilities = softmax(logits)
    assert tempered(probabilities, 1.0) is probabilities


def test_probabilities_of_zero_stay_finite() -> None:
    certain = np.array([[1.0, 0.0], [0.0, 1.0]] * 10)
    found, _ = fit_temperature(certain, np.array([0, 1] * 9 + [1, 0]))
    cooled = tempered(certain, found)
    assert np.isfinite(cooled).all()
    np.testing.assert_allclose(cooled.sum(1), 1)
    assert 0.01 < cooled[0, 1] < 0.3


def test_what_cannot_be_fitted_is_told_and_left() -> None:
    probabilities, truth = drawn(FEWEST_CASES - 1, 3, 2.0)
    assert fit_temperature(probabilities, truth) == (1.0, "9 cases are too few for a temperature: it stays 1")
    found, note = fit_temperature(probabilities.repeat(2, 0), probabilities.repeat(2, 0).argmax(1))
    assert found == 1.0
    assert "every case is correct" in str(note)


def test_bounds_are_told() -> None:
    probabilities, _ = drawn(500, 3, 1.0)
    assert fit_temperature(probabilities, probabilities.argmin(1)) == (LARGEST, "the temperature is at its bound, 20")
    nearly, wrong = np.tile([0.501, 0.499], (5000, 1)), np.zeros(5000, dtype=np.int64)
    wrong[0] = 1
    assert fit_temperature(nearly, wrong)[0] == SMALLEST
