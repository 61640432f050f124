"""The measures of the sampling methods against plain numpy over all passes at once, and what must hold of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_plugins.uncertainty.deep_ensemble import DeepEnsemble, DeepEnsembleConfig
from fusionkit_plugins.uncertainty.mc_dropout import MCDropout, MCDropoutConfig
from fusionkit_plugins.uncertainty.mc_ensemble import MCEnsemble, MCEnsembleConfig
from fusionkit_plugins.uncertainty.none import NoneConfig, NoUncertainty
from passes import Passes, random_probabilities, statistics
from pydantic import ValidationError

from fusionkit.components.protocols import HeadPrediction


def predict(passes: np.ndarray, task: str, **options: Any) -> HeadPrediction:
    """What `uncertainty.mc_ensemble` says of passes (E, S, B, K)."""
    config = MCEnsembleConfig(members=passes.shape[0], samples=passes.shape[1], **options)
    return MCEnsemble(config).predict(Passes({"head": passes.astype(np.float32)}, {"head": task}))["head"]


def check(found: HeadPrediction, wanted: Mapping[str, np.ndarray]) -> None:
    assert list(found.measures) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(found.measures[name].numpy(), values, atol=3e-6, err_msg=name)


@pytest.mark.parametrize(("task", "columns"), [("multiclass", 2), ("multiclass", 5), ("multilabel", 1),
                                               ("multilabel", 3), ("regression", 1), ("regression", 2)])
@pytest.mark.parametrize(("members", "samples"), [(1, 7), (3, 5), (5, 1), (1, 1)])
def test_every_measure_is_that_of_all_passes_at_once(task: str, members: int, samples: int, columns: int) -> None:
    sizes = (members, samples, 11, columns)
    p = random_probabilities(*sizes) if task == "multiclass" else np.random.default_rng(1).random(sizes)
    found = predict(p, task)
    np.testing.assert_allclose(found.values.numpy(), p.mean((0, 1)), atol=1e-6)
    check(found, statistics(p, task))


def test_the_example_worked_by_hand() -> None:
    p = np.array([[(0.7, 0.2, 0.1), (0.5, 0.3, 0.2)], [(0.1, 0.6, 0.3), (0.3, 0.3, 0.4)]])[:, :, None]
    found = predict(p, "multiclass", per_class=True)
    assert found.values[0].tolist() == pytest.approx([0.4, 0.35, 0.25])
    wanted = {
        "variance": (0.05, 0.0225, 0.0125), "variance_within": (0.01, 0.0125, 0.0025),
        "variance_between": (0.04, 0.01, 0.01),
    }
    for name, columns in wanted.items():
        told = [float(found.measures[f"{name}_{index}"]) for index in (1, 2, 3)]
        assert told == pytest.approx(columns, abs=1e-7)
        assert float(found.measures[name]) == pytest.approx(np.mean(columns), abs=1e-7)
    figures = {
        "predictive_entropy": 1.0805276, "expected_entropy": 0.9545793, "mutual_information": 0.1259483,
        "mutual_information_between": 0.0873823, "mutual_information_within": 0.0385661,
        "normalised_entropy": 0.9835386, "confidence": 0.4,
    }
    for name, value in figures.items():
        assert float(found.measures[name]) == pytest.approx(value, abs=5e-7), name


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_parts_add_up_and_stay_in_their_bounds(task: str) -> None:
    sizes = (5, 7, 401, 3)
    rng = np.random.default_rng(3)
    sharp = rng.dirichlet([0.05] * 3, sizes[:-1]) if task == "multiclass" else rng.beta(0.05, 0.05, sizes)
    told = predict(sharp, task).measures
    for name in ("variance", "mutual_information"):
        torch.testing.assert_close(told[name], told[f"{name}_within"] + told[f"{name}_between"], atol=2e-6, rtol=0)
    most = np.log(3 if task == "multiclass" else 2)
    assert (told["mutual_information"] >= 0).all()
    assert (told["mutual_information"] <= told["predictive_entropy"]).all()
    assert (told["predictive_entropy"] <= most + 1e-6).all()
    assert (told["normalised_entropy"] <= 1).all()
    assert ((told["confidence"] > 0) & (told["confidence"] <= 1)).all()


def test_one_member_equals_monte_carlo_dropout() -> None:
    passes = {"a": random_probabilities(1, 7, 11, 3).astype(np.float32),
              "b": np.random.default_rng(2).normal(size=(1, 7, 11, 2)).astype(np.float32)}
    tasks: dict[str, str] = {"a": "multiclass", "b": "regression"}
    ensemble = MCEnsemble(MCEnsembleConfig(members=1, samples=7)).predict(Passes(passes, tasks))
    dropout = MCDropout(MCDropoutConfig(samples=7)).predict(Passes(passes, tasks))
    for head in tasks:
        assert torch.equal(ensemble[head].values, dropout[head].values)
        assert {n: v.tolist() for n, v in ensemble[head].measures.items()} == {
            n: v.tolist() for n, v in dropout[head].measures.items()}
    assert not dropout["a"].measures["variance_between"].any()
    assert not dropout["a"].measures["mutual_information_between"].any()


def test_one_sample_equals_the_plain_ensemble_with_randomness_off() -> None:
    passes = {"head": random_probabilities(5, 2, 11, 3).astype(np.float32)}
    sampled, plain = Passes(passes, {"head": "multiclass"}), Passes(passes, {"head": "multiclass"})
    ensemble = MCEnsemble(MCEnsembleConfig(members=5, samples=1)).predict(sampled)["head"]
    deep = DeepEnsemble(DeepEnsembleConfig(members=5)).predict(plain)["head"]
    assert sampled.asked == plain.asked == [(member, 1) for member in range(5)]
    assert torch.equal(ensemble.values, deep.values)
    assert torch.equal(ensemble.measures["mutual_information"], deep.measures["mutual_information"])
    assert not deep.measures["variance_within"].any()
    assert not deep.measures["mutual_information_within"].any()
    single = DeepEnsemble(DeepEnsembleConfig(members=1)).predict(Passes(passes, {"head": "multiclass"}))["head"]
    np.testing.assert_array_equal(single.values.numpy(), passes["head"][0, 0])
    assert not single.measures["variance"].any()
    assert not single.measures["mutual_information"].any()


def test_members_are_asked_one_after_the_other() -> None:
    runner = Passes({"head": random_probabilities(3, 4, 2, 2)}, {"head": "multiclass"})
    MCEnsemble(MCEnsembleConfig(members=3, samples=4)).predict(runner)
    assert runner.asked == [(0, 4), (1, 4), (2, 4)]


def test_every_head_is_predicted_from_the_same_passes() -> None:
    runner = Passes({"a": random_probabilities(1, 5, 3, 2).astype(np.float32), "b": np.ones((1, 5, 3, 1), np.float32)},
                    {"a": "multiclass", "b": "regression"})
    found = MCDropout(MCDropoutConfig(samples=5)).predict(runner)
    assert set(found) == {"a", "b"}
    assert runner.asked == [(0, 5)]


def test_values_far_from_zero_keep_their_variance() -> None:
    y = 1e4 + np.random.default_rng(2).normal(size=(1, 13, 11, 2))
    found, exact = predict(y, "regression"), y.astype(np.float32).astype(np.float64)
    for column in range(2):
        np.testing.assert_allclose(found.measures[f"variance_{column + 1}"].numpy(), exact.var((0, 1))[:, column],
                                   rtol=5e-3)


def test_passes_that_agree_leave_no_doubt_about_the_model() -> None:
    found = predict(np.tile(random_probabilities(1, 1, 11, 3), (3, 7, 1, 1)), "multiclass")
    assert not found.measures["variance"].any()
    assert (found.measures["mutual_information"] >= 0).all()
    assert found.measures["mutual_information"].max() < 1e-6


def test_certain_but_contrary_members_are_all_doubt_between_them() -> None:
    told = predict(np.array([[[[1.0, 0.0]]], [[[0.0, 1.0]]]]), "multiclass").measures
    wanted = {"variance": 0.25, "variance_within": 0, "variance_between": 0.25, "predictive_entropy": np.log(2),
              "expected_entropy": 0, "mutual_information": np.log(2), "mutual_information_within": 0,
              "mutual_information_between": np.log(2), "normalised_entropy": 1, "confidence": 0.5}
    assert {name: pytest.approx(float(value)) for name, value in told.items()} == wanted


def test_half_precision_passes_are_summed_in_single() -> None:
    runner = Passes({"head": random_probabilities(1, 5, 3, 2).astype(np.float16)}, {"head": "multiclass"})
    found = MCDropout(MCDropoutConfig(samples=5)).predict(runner)["head"]
    assert found.values.dtype == found.measures["predictive_entropy"].dtype == torch.float32


@pytest.mark.parametrize(("config", "options"), [
    (MCDropoutConfig, {"samples": 1}), (MCEnsembleConfig, {"members": 0}), (MCEnsembleConfig, {"samples": 0}),
    (DeepEnsembleConfig, {"members": 0}),
])
def test_counts_that_mean_nothing_are_refused(config: type, options: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        config(**options)


def test_none_gives_one_pass_without_measures() -> None:
    passes = random_probabilities(1, 5, 3, 2).astype(np.float32)
    found = NoUncertainty(NoneConfig()).predict(Passes({"head": passes}, {"head": "multiclass"}))["head"]
    np.testing.assert_array_equal(found.values.numpy(), passes[0, 0])
    assert found.measures == {}
