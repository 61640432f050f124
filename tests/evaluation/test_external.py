"""Figures of internal and external cases beside each other."""

from __future__ import annotations

import numpy as np
import pytest

from fusionkit.evaluation.chosen_metrics import default_metrics
from fusionkit.evaluation.external import CaseOrigin, beside_each_other, fitted_shift, log_odds, updated
from fusionkit.evaluation.external_files import header, rows
from fusionkit.evaluation.predictions import collect
from fusionkit.registry.tasks import task_named

METRICS = [metric for metric in default_metrics() if metric.key in ("auroc", "brier", "mae")]


def outcomes(count: int, shift: float, seed: int, **options: object) -> object:
    rng = np.random.default_rng(seed)
    linear = rng.normal(size=count)
    truth = (rng.random(count) < 1 / (1 + np.exp(-(linear + shift)))).astype(int)
    chance = 1 / (1 + np.exp(-linear))
    return collect("multiclass", ("no", "yes"), truth, np.stack([1 - chance, chance], 1),
                   patients=[f"p{case // 2}" for case in range(count)], **options)  # type: ignore[arg-type]


def test_differences_are_of_independent_resamples_and_recalibration_removes_a_shift() -> None:
    internal, external = outcomes(211, 0.0, 1), outcomes(307, 1.5, 2)
    found = beside_each_other("h", task_named("multiclass"), [
        (CaseOrigin("own", {"ct": 3}), internal), (CaseOrigin("other", {"ct": 0}, trained_on=2), external)],
        metrics=METRICS, resamples=400)
    other, differences = found.external[0]
    share = [float(np.mean(each.targets)) for each in (internal, external)]
    difference = differences["prevalence"]
    assert difference.value == pytest.approx(share[1] - share[0])
    # Two cases of a patient have independent outcomes here, so that the variance is that of independent shares.
    error = np.sqrt(sum(p * (1 - p) / count for p, count in zip(share, (211, 307), strict=True)))
    assert difference.high - difference.low == pytest.approx(2 * 1.96 * error, rel=0.15)
    chance = external.predictions[:, 1]
    assert other.values["brier"].value == pytest.approx(np.mean((chance - external.targets) ** 2))
    assert other.values["brier_recalibrated"].value < other.values["brier"].value - 0.03
    assert other.values["mean_prediction"].value == pytest.approx(chance.mean())
    assert other.values["spread_of_log_odds"].value == pytest.approx(log_odds(chance).std())
    assert "brier_recalibrated" not in found.internal.values
    table = {row[1]: row for row in rows([found])}
    assert header([found]) == ("head", "figure", "own", "other", "difference", "note")
    assert table["cases"][2:4] == ("211", "307") and table["cases without 'ct'"][2:4] == ("3", "0")
    assert table["cases that were trained on"][3] == "2"
    assert table["net benefit at 0.5"][4].count("(") == 1


def test_the_threshold_of_the_run_is_where_net_benefit_is_told() -> None:
    parts = [(CaseOrigin("x", {}), outcomes(97, 0, seed, thresholds=np.full((97, 1), 0.2))) for seed in (3, 4)]
    found = beside_each_other("h", task_named("multiclass"), parts, metrics=METRICS, resamples=50)
    chance, truth = parts[0][1].predictions[:, 1], parts[0][1].targets
    benefit = (np.sum((chance >= 0.2) & (truth == 1)) - 0.25 * np.sum((chance >= 0.2) & (truth == 0))) / 97
    assert found.internal.labels["net_benefit"] == "net benefit at 0.2"
    assert found.internal.values["net_benefit"].value == pytest.approx(benefit)


def test_numbers_have_the_means_and_the_spread_of_predictions() -> None:
    rng = np.random.default_rng(5)
    parts = [(CaseOrigin(name, {}), collect("regression", ("age",), rng.normal(mean, 2, 61), rng.normal(mean, 1, 61)))
             for name, mean in (("own", 50), ("other", 61))]
    found = beside_each_other("h", task_named("regression"), parts, metrics=METRICS, resamples=100)
    difference = found.external[0][1]["mean_target"]
    assert difference.value == pytest.approx(parts[1][1].targets.mean() - parts[0][1].targets.mean())
    assert difference.low > 9 and "spread_of_predictions" in found.internal.values


def test_the_shift_of_equal_predictions_is_the_difference_of_log_odds() -> None:
    truth = np.repeat([0.0, 1.0], [3, 9])
    assert fitted_shift(np.full(12, -4.0), truth) == pytest.approx(np.log(3) + 4)
    assert np.isnan(fitted_shift(np.zeros(3), np.ones(3)))


def test_no_case_is_recalibrated_by_its_own_outcome() -> None:
    rng = np.random.default_rng(6)
    chance, truth, owners = rng.random(40), rng.random(40) < 0.4, np.arange(40) // 2
    before = updated(chance, truth, owners)
    flipped = truth.copy()
    flipped[7] = not flipped[7]
    after = updated(chance, flipped, owners)
    assert after[[6, 7]] == pytest.approx(before[[6, 7]]) and not np.allclose(before, after)
