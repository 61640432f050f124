"""Metrics of survival: as recorded from libraries, for weights of cases too, and where they have no value."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fusionkit_plugins.blocks.chi_squared import chi_squared_p
from fusionkit_plugins.blocks.concordance import concordance, concordance_of_curves
from fusionkit_plugins.blocks.cox_fit import cox_fit
from fusionkit_plugins.blocks.kaplan_meier import BoundedCurve, kaplan_meier, mean_until
from fusionkit_plugins.blocks.net_benefit_of_survival import net_benefits
from fusionkit_plugins.blocks.risk_groups import groups_of, log_rank
from fusionkit_plugins.blocks.survival_calibration import smooth_risks
from matplotlib.text import Text
from recorded import GOLDEN

from fusionkit.components.outcomes import Outcomes
from fusionkit.components.training_outcomes import SurvivalCurves, TrainingOutcomes
from fusionkit.evaluation.bootstrap import bootstrap, draw
from fusionkit.evaluation.chosen_metrics import ChosenMetric, metrics_named
from fusionkit.evaluation.curves import trace
from fusionkit.evaluation.metrics import measure
from fusionkit.evaluation.plots.decision import decision_figure
from fusionkit.evaluation.plots.group_curves import group_figure
from fusionkit.evaluation.predictions import collect
from fusionkit.evaluation.report import evaluate_predictions, table
from fusionkit.registry.lookup import discover

REGISTRY = discover()
EDGES = json.loads((GOLDEN / "outcomes" / "survival_edges.json").read_text())
GRID = "ibs{until: 36, grid: [6, 12, 24, 36]}"
NAMES = ["survival_metrics_ties", "survival_metrics_no_ties"]


def survival_of(case: dict[str, Any], log_hazard: Any, times: Any) -> Any:
    """By the recorded baseline."""
    steps = np.append(0.0, case["baseline_cumulative_hazard"])[np.searchsorted(case["baseline_times"], times, "right")]
    return np.exp(-steps * np.exp(log_hazard)[:, None])


def recorded(name: str) -> tuple[Outcomes, dict[str, Any]]:
    with np.load(GOLDEN / "outcomes" / f"{name}.npz") as file:
        case = {key: file[key] for key in file.files}
    horizons = [f"{horizon:g}" for horizon in case["horizons"]]
    targets = np.stack([case["time"], case["event"]], 1)
    trained = collect("survival", horizons, np.stack([case["train_time"], case["train_event"]], 1),
                      survival_of(case, case["train_log_hazard"], case["horizons"]))
    curves = SurvivalCurves(case["baseline_times"], survival_of(case, case["log_hazard"], case["baseline_times"]), True)
    assert trained.method is not None
    return collect("survival", horizons, targets, case["survival"], risk=case["log_hazard"], curves=curves,
                   training=TrainingOutcomes((trained.method.keep(trained),))), case


def chosen(typed: str) -> ChosenMetric:
    return metrics_named(typed, REGISTRY, "--metric")[0]


def ranked(time: Any, event: Any, risk: Any) -> Outcomes:
    risk = np.asarray(risk, dtype=np.float64)
    flat = np.full((len(risk), 1), 0.5)
    return collect("survival", ["1"], np.stack([time, event], 1), flat, risk=risk)


@pytest.mark.parametrize("name", NAMES)
def test_values_are_as_recorded(name: str) -> None:
    outcomes, case = recorded(name)
    typed = ("harrell", "uno{until: 36}", GRID, "survival_auc", "survival_brier")
    found = measure(outcomes, [chosen(text) for text in typed])
    for key, out in (("harrell", "harrell"), ("uno{until: 36}", "uno_test_left"), (GRID, "ibs_test_left")):
        assert found.overall[key].value == pytest.approx(float(case[f"out_{out}"]), abs=1e-9)
    for place, horizon in enumerate(outcomes.classes):
        for key, out in (("survival_auc", "auc_test_left"), ("survival_brier", "brier_test_left")):
            assert found.per_class[horizon][key].value == pytest.approx(case[f"out_{out}"][place], abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_values_by_the_censoring_of_training_cases_are_as_recorded(name: str) -> None:
    outcomes, case = recorded(name)
    train = "censoring: train"
    typed = (f"uno{{until: 36, {train}}}", f"ibs{{until: 36, grid: [6, 12, 24, 36], {train}}}",
             f"survival_auc{{{train}}}", f"survival_brier{{{train}}}")
    found = measure(outcomes, [chosen(text) for text in typed])
    for key, out in ((typed[0], "uno"), (typed[1], "ibs")):
        assert found.overall[key].value == pytest.approx(float(case[f"out_{out}_train_left"]), abs=1e-9)
    for place, horizon in enumerate(outcomes.classes):
        for key, out in ((typed[2], "auc"), (typed[3], "brier")):
            assert found.per_class[horizon][key].value == pytest.approx(case[f"out_{out}_train_left"][place], abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_values_of_calibration_are_as_recorded(name: str) -> None:
    outcomes, case = recorded(name)
    keys = ("survival_brier_scaled", "survival_oe", "survival_slope", "survival_ici", "survival_e50", "survival_e90",
            "d_calibration", "harrell{antolini: true}")
    found = measure(outcomes, [chosen(key) for key in keys])
    scaled = [found.per_class[horizon]["survival_brier_scaled"].value for horizon in outcomes.classes]
    assert scaled == pytest.approx(case["out_scaled_brier_test_left"], abs=1e-9)
    at_24 = found.per_class["24"]
    assert at_24["survival_oe"].value == pytest.approx(float(case["out_oe_24"]), abs=1e-9)
    assert found.overall["survival_slope"].value == pytest.approx(float(case["out_calibration_slope_cox_efron"]),
                                                                  abs=1e-6)
    for key, value in json.loads(str(case["out_ici_24"])).items():
        if key in ("ici", "e50", "e90"):
            assert at_24[f"survival_{key}"].value == pytest.approx(value, abs=1e-6)
    wanted = json.loads(str(case["out_d_calibration"]))
    assert found.overall["d_calibration"].value == pytest.approx(wanted["p"], abs=1e-9)
    assert f"chi-squared {wanted['chi2']:.4g} with 9" in str(found.overall["d_calibration"].note)
    column = next(column for column in outcomes.columns() if column.horizon == 24)
    smooth = smooth_risks(column, np.ones((outcomes.cases, 1)))[:, 0]
    assert smooth == pytest.approx(case["out_observed_probability_24"], abs=1e-6)
    # Where survival is still 1 for both cases of a pair it does not tell them apart.
    assert found.overall["harrell{antolini: true}"].value == pytest.approx(float(case["out_harrell"]), abs=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_the_slope_has_the_recorded_standard_error(name: str) -> None:
    _, case = recorded(name)
    fit = cox_fit(case["log_hazard"][None, :, None], case["time"], case["event"] == 1, np.ones((len(case["time"]), 1)))
    assert fit.information[0, 0, 0] ** -0.5 == pytest.approx(float(case["out_calibration_slope_se"]), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_groups_by_risk_are_as_recorded(name: str) -> None:
    outcomes, case = recorded(name)
    wanted, tests = (json.loads(str(case[f"out_{key}"])) for key in ("calibration_24_thirds", "log_rank_thirds"))
    risk = case["log_hazard"]
    group = (risk[:, None] > np.quantile(risk, [1 / 3, 2 / 3])).sum(axis=1)
    once = np.ones((outcomes.cases, 1))
    found = log_rank(case["time"], case["event"] == 1, group, 3, once)[0]
    assert found == pytest.approx(tests["chi2"], abs=1e-9)
    assert chi_squared_p(found, tests["df"]) == pytest.approx(tests["p"], abs=1e-9)
    assert outcomes.method is not None
    panel = outcomes.method.agreements(outcomes)[2]
    assert panel.count.tolist() == wanted["n"]
    assert panel.predicted == pytest.approx(wanted["mean_predicted"], abs=1e-9)
    assert panel.observed == pytest.approx(wanted["observed"], abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_groups_are_cut_where_training_cases_are(name: str) -> None:
    outcomes, case = recorded(name)
    for count in (2, 3):
        cuts = np.quantile(case["train_log_hazard"], np.arange(1, count) / count, method="inverted_cdf")
        apart = np.abs(case["log_hazard"][:, None] - cuts).min(axis=1) > 0.2
        group = (case["log_hazard"][:, None] > cuts).sum(axis=1)
        found = groups_of(outcomes, count)
        assert found is not None and np.array_equal(found[apart], group[apart])
    report = measure(outcomes, [chosen("log_rank"), chosen("rmst_difference{until: 24}")])
    assert str(report.overall["log_rank"].note).startswith("p ")
    low, high = (mean_until(case["time"][own], case["event"][own], np.ones((own.sum(), 1)), 24.0)[0]
                 for own in (groups_of(outcomes, 2) == 0, groups_of(outcomes, 2) == 1))
    assert report.overall["rmst_difference{until: 24}"].value == pytest.approx(low - high)


def leukaemia() -> tuple[dict[str, Any], Any, Any, Any]:
    case = json.loads((GOLDEN / "outcomes" / "survival_leukaemia.json").read_text())
    return case, np.array(case["time_weeks"]), np.array(case["event"]) == 1, np.array(case["placebo"])


def test_the_trial_of_6_mp() -> None:
    case, time, event, placebo = leukaemia()
    for number, arm in enumerate(("6mp", "placebo")):
        wanted, own = case["kaplan_meier"][arm], placebo == number
        curve = BoundedCurve.of(time[own], event[own])
        estimate = kaplan_meier(time[own], event[own], np.ones((own.sum(), 1)))
        assert estimate(np.array(wanted["at"]))[:, 0] == pytest.approx(wanted["survival"], abs=1e-9)
        assert curve.median == wanted["median"]
        assert curve.mean_until(20.0)[0] == pytest.approx(wanted["rmst_20"], abs=1e-9)
        assert mean_until(time[own], event[own], np.ones((own.sum(), 1)), 20.0)[0] == pytest.approx(wanted["rmst_20"])
    test = case["log_rank"]
    found = log_rank(time, event, placebo, 2, np.ones((len(time), 1)))[0]
    assert found == pytest.approx(test["chi2"], abs=1e-9) and chi_squared_p(found, 1) == pytest.approx(test["p"], 1e-9)
    fit = cox_fit(placebo[None, :, None].astype(float), time, event, np.ones((len(time), 1)))
    efron = case["cox"]["efron"]
    assert fit.coefficients[0, 0] == pytest.approx(efron["beta"], abs=1e-6)
    assert fit.information[0, 0, 0] ** -0.5 == pytest.approx(efron["se"], abs=1e-6)
    assert fit.log_likelihood[0] == pytest.approx(efron["loglik"], abs=1e-6)


def test_bounds_and_errors_of_the_arm_of_6_mp() -> None:
    _, time, event, placebo = leukaemia()
    own, wanted = placebo == 0, EDGES["km_interval_6mp"]
    curve = BoundedCurve.of(time[own], event[own])
    for at, bounds in zip(wanted["at"], wanted["low_high"], strict=True):
        assert curve.at(at)[1:] == pytest.approx(bounds, abs=1e-9)
    assert {at: int((time[own] >= float(at)).sum()) for at in wanted["at_risk"]} == wanted["at_risk"]
    assert curve.mean_until(20.0)[1] ** 2 == pytest.approx(1.566, abs=5e-4)


def test_net_benefit_is_as_recorded() -> None:
    outcomes, _ = recorded("survival_metrics_no_ties")
    wanted = EDGES["decision_curve_24"]
    column = next(column for column in outcomes.columns() if column.horizon == 24)
    found, everyone = net_benefits(column, np.array(wanted["thresholds"]), np.ones((outcomes.cases, 1)))
    assert found[:, 0] == pytest.approx(wanted["net_benefit"], abs=1e-9)
    assert everyone[:, 0] == pytest.approx(wanted["treat_all"], abs=1e-9)


def test_a_probability_that_equals_the_threshold_is_acted_on() -> None:
    targets = np.stack([np.arange(1.0, 9), [1, 0] * 4], 1)
    column = next(collect("survival", ["4"], targets, np.full((8, 1), 0.8)).columns())
    found, everyone = net_benefits(column, np.array([0.2, 0.21]), np.ones((8, 1)))
    assert found[0, 0] == pytest.approx(everyone[0, 0]) and found[1, 0] == 0 < abs(everyone[1, 0])


@pytest.mark.parametrize("name", NAMES)
def test_values_of_a_resample_are_as_recorded(name: str) -> None:
    outcomes, case = recorded(name)
    weights = case["resample_weights"][:, None].astype(np.float64)
    assert np.array_equal(next(draw(outcomes, outcomes.cases, 0, 1)), weights)
    wanted = json.loads(str(case["out_weights_seed0"]))
    assert chosen("harrell").of_all(outcomes, weights)[0][0] == pytest.approx(wanted["harrell"], abs=1e-9)
    assert chosen("uno{until: 36}").of_all(outcomes, weights)[0][0] == pytest.approx(wanted["uno"], abs=1e-9)
    column = next(column for column in outcomes.columns() if column.horizon == 24)
    for key in ("auc", "brier"):
        found = chosen(f"survival_{key}").of_column(column, weights)[0][0]
        assert found == pytest.approx(wanted[f"{key}_24"], abs=1e-9)


@pytest.mark.parametrize("case", EDGES["harrell"], ids=lambda case: case["name"])
def test_pairs_are_as_by_hand(case: dict[str, Any]) -> None:
    outcomes = ranked(case["time"], case["event"], case["risk"])
    found = chosen("harrell").of_all(outcomes, np.ones((outcomes.cases, 1)))[0][0]
    assert np.isnan(found) if case["c"] is None else found == pytest.approx(case["c"], abs=1e-12)


def test_uno_of_an_event_and_a_censoring_at_one_time() -> None:
    case = EDGES["uno_issue_428"]
    outcomes = ranked(case["time"], case["event"], case["risk"])
    found = chosen(f"uno{{until: {case['tau']}}}").of_all(outcomes, np.ones((outcomes.cases, 1)))[0][0]
    assert found == pytest.approx(case["specified_left"], abs=1e-12)


def test_twice_all_cases_is_the_same() -> None:
    outcomes, _ = recorded(NAMES[0])
    metrics = [chosen(name) for name in ("harrell", "uno", "survival_auc", "survival_brier", "ibs")]
    both = np.ones((outcomes.cases, 2)) * [1.0, 2.0]
    for metric in metrics:
        values = metric.of_all(outcomes, both)[0] if not metric.measures_columns else metric.of_column(
            list(outcomes.columns())[1], both)[0]
        assert values[0] == pytest.approx(values[1], abs=1e-12)


def test_figures_without_a_value_say_why() -> None:
    alive = ranked(np.arange(1.0, 11), np.zeros(10), np.arange(10.0))
    found = measure(alive, [chosen(name) for name in ("harrell", "uno", "survival_auc", "survival_brier", "ibs")])
    notes = {key: value.note for key, value in found.overall.items() if not value.defined}
    assert notes["harrell"] == notes["uno"] == "no case has the event"
    assert notes["survival_auc"] == "no event until 1"
    assert notes["ibs"] == "it needs two horizons beyond which enough cases are followed"
    short = ranked(np.full(10, 0.5), np.ones(10), np.arange(10.0))
    found = measure(short, [chosen("survival_brier"), chosen("uno")])
    assert found.overall["survival_brier"].note == "follow-up ends at 0.5"
    assert "are followed beyond the first horizon" in str(found.overall["uno"].note)


def test_a_report_has_figures_of_the_head_and_of_each_horizon_with_intervals() -> None:
    outcomes, _ = recorded(NAMES[0])
    report = evaluate_predictions("death", "survival", outcomes.classes, outcomes.targets, outcomes.predictions,
                                  risk=outcomes.risk, resamples=50)
    ranked = {"harrell", "uno", "survival_auc", "survival_brier", "ibs"}
    assert ranked < set(report.metrics)
    assert all(value.low is not None and value.low <= (value.value or 0) <= (value.high or 1)
               for value in (report.metrics[key] for key in ranked))
    assert set(report.per_class["24"]) == {"survival_auc", "survival_brier", "survival_brier_scaled", "survival_oe",
                                           "survival_ici", "survival_e50", "survival_e90"}
    assert report.metrics["log_rank"].note == "the run keeps no outcomes of its training cases, so that there are no " \
        "risk groups"
    assert report.counts.per_class == {"censored": int((outcomes.targets[:, 1] == 0).sum()),
                                       "event": int(outcomes.targets[:, 1].sum())}
    groups = report.to_json()["calibration"]
    assert [each["of"] for each in groups] == [f"event until {name}" for name in outcomes.classes]
    assert sum(group["cases"] for group in groups[0]["groups"]) == outcomes.cases
    rows = table([report], per_class=True)
    assert rows[0][:3] == ("death", "all cases", "Uno's C") and rows[0][5].startswith("until 36")


def test_without_a_risk_the_last_horizon_ranks() -> None:
    outcomes, case = recorded(NAMES[0])
    derived = collect("survival", outcomes.classes, outcomes.targets, case["survival"])
    once = np.ones((outcomes.cases, 1))
    assert chosen("harrell").of_all(derived, once)[0] == pytest.approx(chosen("harrell").of_all(outcomes, once)[0])


EVERY = ("uno", "harrell", "harrell{antolini: true}", "ibs", "survival_auc", "survival_brier", "survival_brier_scaled",
         "survival_oe", "survival_slope", "survival_ici", "survival_e90", "d_calibration", "log_rank",
         "rmst_difference")


def test_the_order_of_cases_changes_no_bit_of_a_figure() -> None:
    outcomes, _ = recorded(NAMES[0])
    order = np.random.default_rng(3).permutation(outcomes.cases)
    assert outcomes.curves is not None and outcomes.risk is not None
    moved = replace(outcomes, targets=outcomes.targets[order], predictions=outcomes.predictions[order],
                    risk=outcomes.risk[order], curves=outcomes.curves.some(order))
    before, after = (measure(each, [chosen(key) for key in EVERY]) for each in (outcomes, moved))
    for key in EVERY:
        assert after.overall[key].value == before.overall[key].value, key


def test_figures_of_tests_have_no_interval_and_refits_are_from_fewer_resamples() -> None:
    outcomes, _ = recorded(NAMES[1])
    measured = measure(outcomes, [chosen(key) for key in ("harrell", "survival_slope", "log_rank", "survival_ici")])
    found = bootstrap(outcomes, measured, resamples=250)
    assert np.isnan(found.overall["log_rank"].low) and found.overall["log_rank"].note is None
    assert found.overall["survival_slope"].note == "interval from 200 resamples"
    assert found.overall["harrell"].note is None and found.overall["harrell"].low < found.overall["harrell"].high
    alone = bootstrap(outcomes, replace(measured, metrics=measured.metrics[:1]), resamples=250)
    assert alone.overall["harrell"] == found.overall["harrell"]


def test_sweeps_find_the_pairs_that_loops_find() -> None:
    rng = np.random.default_rng(5)
    time, risk = rng.integers(1, 9, 40).astype(float), rng.integers(0, 6, 40).astype(float)
    event, own, weights = rng.random(40) < 0.6, rng.random((40, 3)), rng.integers(0, 3, (40, 3)).astype(float)
    right, every = np.zeros(3), np.zeros(3)
    for one in np.flatnonzero(event):
        for other in range(40):
            if time[one] < time[other] or (time[one] == time[other] and not event[other]):
                pair = own[one] * weights[other]
                every += pair
                right += pair * ((risk[one] > risk[other]) + 0.5 * (risk[one] == risk[other]))
    assert concordance(risk, time, event, own, weights) == pytest.approx(right / every, abs=1e-12)
    flat = -np.repeat(risk[:, None], 40, axis=1)
    found = concordance_of_curves(lambda asked: flat[:, :len(asked)], time, event, own, weights)
    assert found == pytest.approx(right / every, abs=1e-12)


def test_a_regression_of_repeated_cases_is_that_of_their_weights() -> None:
    case, time, event, placebo = leukaemia()
    counts = np.random.default_rng(2).integers(0, 3, (len(time), 2))
    features = np.stack([placebo, np.arange(len(time)) % 5]).astype(float)[:, :, None]
    found = cox_fit(features, time, event, counts.astype(float)).coefficients
    for column in range(2):
        rows = np.repeat(np.arange(len(time)), counts[:, column])
        again = cox_fit(features[:, rows], time[rows], event[rows], np.ones((len(rows), 1))).coefficients
        assert found[:, column] == pytest.approx(again[:, 0], abs=1e-8)
    apart = cox_fit(event[None, :, None].astype(float), time, event, np.ones((len(time), 1)))
    assert np.isnan(apart.coefficients).all(), "cases that are told apart by the feature have no greatest likelihood"
    assert case["cox"]


def test_curves_of_groups_end_where_fewer_than_five_are_at_risk() -> None:
    outcomes, case = recorded(NAMES[1])
    assert outcomes.method is not None
    two, three = outcomes.method.group_curves(outcomes)
    assert [curve.name for curve in two.groups] == ["low", "high"] and len(three.groups) == 3
    assert two.notes[0].startswith("log-rank p ") and two.notes[1].startswith("hazard ratio ")
    group = groups_of(outcomes, 2)
    for number, curve in enumerate(two.groups):
        own = case["time"][group == number]
        assert (own >= curve.end).sum() >= 5 and (own > curve.end).sum() < 5
        assert curve.at_risk[0] == len(own) and len(two.marks) == 5
        assert (curve.low <= curve.share).all() and (curve.share <= curve.high).all()
    pairs = replace(outcomes, patients=np.arange(outcomes.cases) // 2)
    assert outcomes.method.group_curves(pairs)[0].notes[-1] == "the first case of each of 25 patients"
    assert not outcomes.method.group_curves(replace(outcomes, training=None))
    figure = group_figure([two, three], "groups", "difference")
    assert {text.get_text() for text in figure.findobj(Text)} >= {"cases at risk", "medium", "risk"}


def test_decision_curves_have_intervals_of_what_is_gained() -> None:
    outcomes, _ = recorded(NAMES[1])
    curve = trace(outcomes, seed=0, resamples=60).decisions[2]
    numbers = curve.numbers
    assert curve.benefit.name == "event until 24" and len(numbers.acting) == len(curve.benefit.thresholds) == 46
    assert (numbers.low <= numbers.acting).all() and (numbers.acting <= numbers.high).all()
    assert numbers.gain == pytest.approx(numbers.acting - np.maximum(numbers.on_all, 0))
    assert (numbers.gain_low <= numbers.gain_high).all()
    assert decision_figure([curve], "benefit").axes[0].get_title(loc="left") == "event until 24"
