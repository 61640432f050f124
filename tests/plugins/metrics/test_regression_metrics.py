"""Metrics of numbers: as recorded from libraries, for weights of cases, and where they are undefined."""

from __future__ import annotations

import json
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from recorded import GOLDEN

from fusionkit.components.outcomes import Outcomes
from fusionkit.evaluation.chosen_metrics import ChosenMetric, metrics_named
from fusionkit.evaluation.metrics import measure
from fusionkit.evaluation.predictions import collect
from fusionkit.evaluation.report import evaluate_predictions
from fusionkit.registry.lookup import discover

REGISTRY = discover()
CASE = json.loads((GOLDEN / "outcomes" / "regression.json").read_text(encoding="utf-8"))
WANTED, TRUTH, MEAN, SD = CASE["out"], np.array(CASE["y"]), np.array(CASE["mean"]), np.array(CASE["sd"])
QUANTILES = {name: MEAN + NormalDist().inv_cdf(level) * SD for name, level in (("q05", 0.05), ("q95", 0.95))}
KEYS = ("mae", "rmse", "r2", "pearson", "median_ae", "spearman", "ccc", "bias", "limit_low", "limit_high",
        "line_slope", "line_intercept", "proportional_bias")
OF_SD = ("normal_nll", "crps", "interval_coverage", "interval_width", "winkler")


def chosen(key: str) -> ChosenMetric:
    return metrics_named(key, REGISTRY, "--metric")[0]


def values(details: Any = None, *keys: str) -> dict[str, float]:
    made = collect("regression", ["age"], TRUTH, np.array(CASE["p"]), details=details)
    return {key: score.value for key, score in measure(made, [chosen(key) for key in keys]).overall.items()}


def test_values_are_as_recorded() -> None:
    altman = WANTED["bland_altman"]
    wanted = {key: WANTED[key] for key in KEYS[:7]} | {
        "bias": altman["bias"], "limit_low": altman["low"], "limit_high": altman["high"],
        "proportional_bias": altman["slope_on_mean"], "line_slope": WANTED["calibration_line"]["slope"],
        "line_intercept": WANTED["calibration_line"]["intercept"]}
    assert values(None, *KEYS) == pytest.approx(wanted, abs=1e-9)


def test_values_of_a_distribution_are_as_recorded() -> None:
    found = values({"sd": SD}, *OF_SD)
    assert found["normal_nll"] == pytest.approx(WANTED["gaussian_nll"], abs=1e-9)
    assert found["crps"] == pytest.approx(WANTED["crps"], abs=1e-9)
    assert found["interval_coverage"] == pytest.approx(WANTED["coverage_90_gaussian"], abs=1e-9)
    assert found["winkler"] == pytest.approx(WANTED["winkler_90"], abs=1e-9)
    assert found["interval_width"] == pytest.approx(2 * 1.6448536269514722 * SD.mean(), abs=1e-9)


def test_values_of_quantiles_are_as_recorded() -> None:
    each = [f"pinball{{level: {level}}}" for level in ("0.05", "0.5", "0.95")]
    found = values(QUANTILES, "winkler", "pinball", *each)
    assert found.pop("winkler") == pytest.approx(WANTED["winkler_90"], abs=1e-9)
    assert found.pop("pinball") == pytest.approx(np.mean(list(WANTED["pinball"].values())), abs=1e-9)
    assert list(found.values()) == pytest.approx(list(WANTED["pinball"].values()), abs=1e-9)


@pytest.mark.parametrize("key", (*KEYS, *OF_SD))
def test_weights_are_counts_of_cases(key: str) -> None:
    counts = np.random.default_rng(0).integers(0, 3, len(TRUTH))
    rows = np.repeat(np.arange(len(TRUTH)), counts)
    ties = np.round(np.array(CASE["p"]), -1)

    def value(rows: Any, weights: Any) -> float:
        made = collect("regression", ["age"], np.round(TRUTH, -1)[rows], ties[rows], details={"sd": SD[rows]})
        return float(chosen(key).of_column(next(made.columns()), np.asarray(weights, dtype=np.float64)[:, None])[0][0])

    assert value(slice(None), counts) == pytest.approx(value(rows, np.ones(len(rows))), abs=1e-9)


def test_constant_predictions_have_no_correlation_and_no_concordance() -> None:
    made = collect("regression", ["age"], [1.0, 2.0, 4.0], [2.0, 2.0, 2.0])
    found = measure(made, [chosen(key) for key in KEYS]).overall
    assert found["ccc"].value == 0
    assert {found[key].note for key in ("pearson", "spearman", "line_slope")} == {"all predictions are equal"}
    one = measure(collect("regression", ["age"], [2.0], [2.0]), [chosen(key) for key in KEYS]).overall
    assert one["limit_low"].note == "one case only" and "predictions too" in str(one["ccc"].note)


def test_a_head_is_measured_by_what_it_tells() -> None:
    def measured(**details: Any) -> set[str]:
        report = evaluate_predictions("age", "regression", ["age"], TRUTH, MEAN, resamples=0, details=details)
        return set(report.metrics)

    plain = measured()
    assert set(KEYS) <= plain and not plain & {*OF_SD, "pinball"}
    assert measured(sd=SD) - plain == set(OF_SD)
    assert measured(**QUANTILES) - plain == {"pinball", "winkler", "interval_coverage", "interval_width"}
    few = measure(collect("regression", ["age"], TRUTH, MEAN, details={"q10": MEAN - 1}),
                  [chosen("winkler"), chosen("pinball{level: 0.3}")]).overall
    assert "both ends" in str(few["winkler"].note)
    assert few["pinball{level: 0.3}"].note == "the head tells no quantile 0.3"


def test_of_several_outputs_each_has_its_own_numbers() -> None:
    two = np.stack([TRUTH, TRUTH], 1), np.stack([MEAN, MEAN], 1)
    made = collect("regression", ["a", "b"], *two, details={"a:sd": SD, "b:sd": 2 * SD})
    found = measure(made, [chosen("interval_width")])
    assert found.per_class["b"]["interval_width"].value == pytest.approx(
        2 * found.per_class["a"]["interval_width"].value)


@pytest.mark.parametrize("better,order", [("zero", [-2.0, 1.0, 0.5]), ("one", [4.0, 0.0, 0.5])])
def test_a_value_may_be_best_near_a_number(better: str, order: list[float]) -> None:
    metric = chosen({"zero": "bias", "one": "line_slope"}[better]).declared
    assert metric.better == better and sorted(order, key=metric.goodness) == order


def test_the_share_out_of_order_is_told_of_heads_that_tell_it() -> None:
    shares = np.full((4, 3), 1 / 3)
    made = Outcomes("ordinal", ("a", "b", "c"), np.array([0, 1, 2, 0]), shares, results="classes", ordered=True,
                    details={"out_of_order": np.array([1.0, 1.0, 0.0, 1.0])})
    assert measure(made).overall["out_of_order"].value == 0.75
    assert "out_of_order" not in measure(collect("ordinal", ["a", "b", "c"], made.targets, shares)).overall
