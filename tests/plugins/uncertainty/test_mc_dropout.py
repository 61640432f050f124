"""Measures of Monte Carlo dropout against plain numpy over all passes at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest
import torch
from fusionkit_plugins.uncertainty.mc_dropout import MCDropout, MCDropoutConfig
from fusionkit_plugins.uncertainty.none import NoneConfig, NoUncertainty
from pydantic import ValidationError

from fusionkit.contract import HeadPrediction, Task


class Passes:
    """A runner whose passes are given: (S, B, K) for each head."""

    def __init__(self, passes: Mapping[str, np.ndarray], tasks: Mapping[str, Task]) -> None:
        self.passes = {head: torch.tensor(values) for head, values in passes.items()}
        self.tasks = tasks
        self.asked = 0

    def once(self) -> dict[str, torch.Tensor]:
        return {head: values[0] for head, values in self.passes.items()}

    def samples(self, count: int) -> Iterator[dict[str, torch.Tensor]]:
        self.asked = count
        for index in range(count):
            yield {head: values[index] for head, values in self.passes.items()}


def predict(passes: np.ndarray, task: Task) -> HeadPrediction:
    runner = Passes({"head": passes.astype(np.float32)}, {"head": task})
    return MCDropout(MCDropoutConfig(samples=len(passes))).predict(runner)["head"]


def random_probabilities(*sizes: int) -> np.ndarray:
    raw = np.random.default_rng(0).gamma(0.5, size=sizes)
    return raw / raw.sum(-1, keepdims=True)


def entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(np.where(p > 0, p, 1))).sum(-1)


def binary_entropy(p: np.ndarray) -> np.ndarray:
    return entropy(np.stack([p, 1 - p], -1)).mean(-1)


def check(found: HeadPrediction, wanted: Mapping[str, np.ndarray]) -> None:
    assert list(found.measures) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(found.measures[name].numpy(), values, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("classes", [2, 5])
def test_classes(classes: int) -> None:
    p = random_probabilities(7, 11, classes)
    found, q = predict(p, "multiclass"), p.mean(0)
    np.testing.assert_allclose(found.values.numpy(), q, atol=1e-6)
    check(found, {"variance": p.var(0).mean(-1), "predictive_entropy": entropy(q),
                  "expected_entropy": entropy(p).mean(0), "mutual_information": entropy(q) - entropy(p).mean(0)})


def test_a_case_worked_by_hand() -> None:
    p = np.array([(0.7, 0.2, 0.1), (0.5, 0.3, 0.2), (0.1, 0.6, 0.3), (0.3, 0.3, 0.4)])[:, None]
    found = predict(p, "multiclass")
    assert found.values[0].tolist() == pytest.approx([0.4, 0.35, 0.25])
    wanted = {"variance": (0.05 + 0.0225 + 0.0125) / 3, "predictive_entropy": 1.0805276, "expected_entropy": 0.9545793,
              "mutual_information": 0.1259483}
    check(found, {name: np.array([value]) for name, value in wanted.items()})


def test_labels() -> None:
    p = np.random.default_rng(1).random((7, 11, 3))
    found, q = predict(p, "multilabel"), p.mean(0)
    check(found, {"variance": p.var(0).mean(-1), "predictive_entropy": binary_entropy(q),
                  "expected_entropy": binary_entropy(p).mean(0),
                  "mutual_information": binary_entropy(q) - binary_entropy(p).mean(0)})


def test_values_far_from_zero_keep_their_variance() -> None:
    y = 1e4 + np.random.default_rng(2).normal(size=(13, 11, 2))
    found, exact = predict(y, "regression"), y.astype(np.float32).astype(np.float64)
    assert list(found.measures) == ["variance_1", "variance_2"]
    for column in range(2):
        np.testing.assert_allclose(found.measures[f"variance_{column + 1}"].numpy(), exact.var(0)[:, column],
                                   rtol=5e-3)


def test_a_single_value_has_a_single_variance() -> None:
    y = np.random.default_rng(2).normal(size=(13, 11, 1))
    check(predict(y, "regression"), {"variance": y.var(0)[:, 0]})


def test_passes_that_agree_leave_no_doubt_about_the_model() -> None:
    found = predict(np.repeat(random_probabilities(1, 11, 3), 7, 0), "multiclass")
    assert not found.measures["variance"].any()
    assert (found.measures["mutual_information"] >= 0).all()
    assert found.measures["mutual_information"].max() < 1e-6


def test_certain_but_contrary_passes_are_all_doubt_about_the_model() -> None:
    p = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    check(predict(p, "multiclass"), {"variance": np.array([0.25]), "predictive_entropy": np.array([np.log(2)]),
                                     "expected_entropy": np.zeros(1), "mutual_information": np.array([np.log(2)])})


def test_every_head_is_predicted_from_the_same_passes() -> None:
    runner = Passes({"a": random_probabilities(5, 3, 2).astype(np.float32), "b": np.ones((5, 3, 1), np.float32)},
                    {"a": "multiclass", "b": "regression"})
    found = MCDropout(MCDropoutConfig(samples=5)).predict(runner)
    assert set(found) == {"a", "b"}
    assert runner.asked == 5


def test_half_precision_passes_are_summed_in_single() -> None:
    runner = Passes({"head": random_probabilities(5, 3, 2).astype(np.float16)}, {"head": "multiclass"})
    found = MCDropout(MCDropoutConfig(samples=5)).predict(runner)["head"]
    assert found.values.dtype == found.measures["predictive_entropy"].dtype == torch.float32


def test_one_pass_has_no_variance_and_is_refused() -> None:
    with pytest.raises(ValidationError):
        MCDropoutConfig(samples=1)


def test_none_gives_one_pass_without_measures() -> None:
    passes = random_probabilities(5, 3, 2).astype(np.float32)
    found = NoUncertainty(NoneConfig()).predict(Passes({"head": passes}, {"head": "multiclass"}))["head"]
    np.testing.assert_array_equal(found.values.numpy(), passes[0])
    assert found.measures == {}
