"""Recorded metrics of decisions, classes, numbers and survival, computed by `fusionkit.evaluation`.

Each function takes the entries of a file and gives entry, what is found, what is recorded, and the tolerance.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
from outcome_entries import EQUAL, EXACT, FITTED, Entries
from outcomes_of_heads import small_losses

from fusionkit.components.outcomes import Outcomes
from fusionkit.components.training_outcomes import SurvivalCurves, TrainingOutcomes
from fusionkit.evaluation.bootstrap import draw, sample_metrics
from fusionkit.evaluation.chosen_metrics import metrics_named
from fusionkit.evaluation.delong import areas, auroc_difference, auroc_interval
from fusionkit.evaluation.metrics import measure
from fusionkit.evaluation.net_benefit import at_prevalence, class_benefit, net_benefits
from fusionkit.evaluation.predictions import collect
from fusionkit.evaluation.report import HeadReport, evaluate_predictions
from fusionkit.evaluation.threshold_rules import threshold_rule
from fusionkit.registry.lookup import discover

# Curves of calibration have more knots from so many events on.
MANY_EVENTS = 200


def report_of(task: str, names: list[str], truth: Any, predicted: Any, typed: str, **more: Any) -> HeadReport:
    """The public report of predictions, with the metrics that are typed and without intervals of resamples."""
    return evaluate_predictions("head", task, names, truth, predicted, resamples=0,
                                metrics=metrics_named(typed, discover(), "--metric"), **more)


def values_of(*given: Any, **more: Any) -> dict[str, float | None]:
    """The metrics of such a report."""
    return {key: each.value for key, each in report_of(*given, **more).metrics.items()}


def decisions(case: Mapping[str, Any]) -> Entries:
    """Thresholds on validation cases, and figures of test cases of two classes."""
    score, truth = np.array(case["validation"]["p"]), np.array(case["validation"]["y"]) == 1
    for name, value in case["thresholds"].items():
        rule = f"probability={name.removeprefix('bayes_cost_')}" if "bayes" in name else name.replace("_", "=", 1)
        found = threshold_rule(rule).choose(score, truth, np.ones((len(score), 1)))[0]
        yield f"thresholds.{name}", found, value, EQUAL
    test = case["test"]
    for name, figures in case["at_threshold"].items():
        yield from _at(name, float(case["thresholds"][name]), test, figures)
    yield from _calibration(case)
    yield from _ranking(case)
    yield from _benefit(case)
    yield from _resampled(case)


def _outcomes(part: Mapping[str, Any]) -> Outcomes:
    score = np.array(part["p"])
    return collect("multiclass", ["no", "yes"], np.array(part["y"]), np.stack([1 - score, score], 1))


def _at(name: str, threshold: float, test: Mapping[str, Any], wanted: Mapping[str, Any]) -> Entries:
    made = _outcomes(test)
    report = report_of("multiclass", ["no", "yes"], made.targets, made.predictions,
                       "sensitivity,specificity,ppv,npv,accuracy,mcc,f1,lr_positive,lr_negative,kappa",
                       thresholds=np.full((made.cases, 1), threshold))
    counts = report.curves.confusion[0].counts
    for key, place in (("tn", (0, 0)), ("fp", (0, 1)), ("fn", (1, 0)), ("tp", (1, 1))):
        yield f"at_threshold.{name}.{key}", counts[place], wanted[key], EQUAL
    for key, each in report.metrics.items():
        own = wanted[key]
        yield (f"at_threshold.{name}.{key}", each.value, own["value"] if isinstance(own, dict) else own, EXACT)
        if isinstance(own, dict) and each.value is not None:
            yield f"at_threshold.{name}.{key}.wilson", report.wilson["yes"][key], own["wilson"], EXACT


def _calibration(case: Mapping[str, Any]) -> Entries:
    wanted, made = case["calibration"], _outcomes(case["test"])
    given = ("multiclass", ["no", "yes"], made.targets, made.predictions)
    found = values_of(*given, "slope,intercept,oe,brier,brier_scaled,spiegelhalter")
    for key, out in (("slope", "slope"), ("intercept", "intercept_large"), ("oe", "oe_ratio"), ("brier", "brier"),
                     ("brier_scaled", "brier_scaled"), ("spiegelhalter", "spiegelhalter_z")):
        yield f"calibration.{out}", found[key], wanted[out], FITTED if key in ("slope", "intercept") else EXACT
    for curve, options in (("spline_3", ""), ("loess_degree_1", "{curve: loess}"),
                           ("loess_degree_2", "{curve: loess, degree: 2}")):
        if curve == "spline_3" and sum(case["test"]["y"]) >= MANY_EVENTS:
            continue
        for key in ("ici", "e50", "e90"):
            yield (f"calibration.{curve}.{key}", next(iter(values_of(*given, key + options).values())),
                   wanted[curve][key], FITTED)
    for key, options in (("chi2", ""), ("p_df10", "{value: p}"), ("p_df8", "{value: p, external: false}")):
        yield (f"calibration.hosmer_lemeshow.{key}",
               next(iter(values_of(*given, f"hosmer_lemeshow{options}").values())),
               wanted["hosmer_lemeshow"][key], EXACT)
    yield "average_precision.ap", values_of(*given, "ap")["ap"], case["average_precision"]["ap"], EXACT


def _ranking(case: Mapping[str, Any]) -> Entries:
    test, wanted = case["test"], case["delong"]
    truth, scores = np.array(test["y"]) == 1, np.array([test["p"], test["p_other"]])
    found = areas(scores, truth)
    yield "delong.auc", found.auroc, wanted["auc"], EXACT
    yield "delong.covariance", found.covariance, wanted["covariance"], EXACT
    for place, score in enumerate(scores):
        interval = auroc_interval(score, truth)
        yield f"delong.interval_logit.{place}", (interval.low, interval.high), wanted["interval_logit"][place], EXACT
    apart = auroc_difference(*scores, truth)
    yield ("delong.difference", (apart.value, apart.low, apart.high, apart.p),
           (wanted["difference"], *wanted["difference_interval"], wanted["p"]), EXACT)


def _benefit(case: Mapping[str, Any]) -> Entries:
    wanted, test = case["decision_curve"], case["test"]
    at, score, truth = np.array(wanted["thresholds"]), np.array(test["p"]), np.array(test["y"]) == 1
    column = _outcomes(test).column(1)
    acting, on_all = (part[:, 0] for part in class_benefit(column, at).of(np.ones((len(truth), 1))))
    yield "decision_curve.net_benefit", acting, wanted["net_benefit"], EXACT
    yield "decision_curve.treat_all", on_all, wanted["treat_all"], EXACT
    yield "decision_curve.standardised", acting / truth.mean(), wanted["standardised"], EXACT
    yield ("decision_curve.net_interventions_avoided", (acting - on_all) * (1 - at) / at,
           wanted["net_interventions_avoided"], EXACT)
    mark = "net_benefit_prevalence_"
    for key in (key for key in wanted if key.startswith(mark)):
        yield (f"decision_curve.{key}", at_prevalence(score, truth, at, float(key.removeprefix(mark))), wanted[key],
               EXACT)


def _resampled(case: Mapping[str, Any]) -> Entries:
    made, wanted = _outcomes(case["test"]), case["resample_seed0"]
    weights = next(draw(made, made.cases, 0, 1))
    yield "weights_seed0", weights[:, 0], case["weights_seed0"], EQUAL
    metrics = metrics_named("slope,intercept,ap,auroc", discover(), "--metric")
    found = sample_metrics(made, measure(made, metrics), weights)[None]
    for key, out, near in (("slope", "slope", FITTED), ("intercept", "intercept_large", FITTED), ("ap", "ap", EXACT),
                           ("auroc", "auc", EXACT)):
        yield f"resample_seed0.{out}", found[key][0], wanted[out], near
    column = made.column(1)
    drawn = net_benefits(column.score, column.truth, weights, np.array([0.2]))[0][0, 0]
    yield "resample_seed0.net_benefit_0_2", drawn, wanted["net_benefit_0_2"], EXACT


def classes(case: Mapping[str, Any]) -> Entries:
    """Means over several classes."""
    shares = np.array(case["probabilities"])
    names = [str(number) for number in range(shares.shape[1])]
    typed = {"f1": "macro.f1", "sensitivity": "macro.sensitivity", "ppv": "macro.ppv", "auroc": "macro.auroc_ovr",
             "ap": "macro.ap", "accuracy": "micro.f1", "micro_auroc": "micro.auroc_ovr", "micro_ap": "micro.ap",
             "weighted_f1": "weighted.f1", "weighted_ppv": "weighted.ppv", "weighted_auroc": "weighted.auroc_ovr",
             "weighted_ap": "weighted.ap", "ovo_auroc": "auroc_ovo_macro", "mcc": "mcc"}
    found = values_of("multiclass", names, case["y"], shares, ",".join(typed))
    for key, out in typed.items():
        average, _, of = out.rpartition(".")
        yield out, found[key], case[average][of] if average else case[of], EXACT


def numbers(case: Mapping[str, Any]) -> Entries:
    """Errors and agreement of numbers, and figures of a distribution and of quantiles."""
    out, mean, sd = case["out"], np.array(case["mean"]), np.array(case["sd"])
    altman, line = out["bland_altman"], out["calibration_line"]
    wanted = {key: out[key] for key in ("mae", "rmse", "r2", "pearson", "median_ae", "spearman", "ccc")} | {
        "bias": altman["bias"], "limit_low": altman["low"], "limit_high": altman["high"],
        "proportional_bias": altman["slope_on_mean"], "line_slope": line["slope"], "line_intercept": line["intercept"],
        "normal_nll": out["gaussian_nll"], "crps": out["crps"], "interval_coverage": out["coverage_90_gaussian"],
        "winkler": out["winkler_90"]}
    found = values_of("regression", ["value"], case["y"], np.array(case["p"]), ",".join(wanted), details={"sd": sd})
    for key, value in wanted.items():
        yield key, found[key], value, EXACT
    told = {"q05": mean + NormalDist().inv_cdf(0.05) * sd, "q95": mean + NormalDist().inv_cdf(0.95) * sd}
    levels = [f"pinball{{level: {level}}}" for level in out["pinball"]]
    measured = values_of("regression", ["value"], case["y"], mean, ",".join(levels), details=told)
    for key, value in zip(levels, out["pinball"].values(), strict=True):
        yield key, measured[key], value, EXACT


def survival(case: Mapping[str, Any]) -> Entries:
    """Figures of survival at horizons, with the censoring of evaluated and of training cases."""
    names = [f"{horizon:g}" for horizon in case["horizons"]]
    until = f"until: {float(case['tau']):g}"
    grid = f"{until}, grid: [{', '.join(names)}]"
    for part, train in (("test", ""), ("train", ", censoring: train")):
        keys = (f"uno{{{until}{train}}}", f"ibs{{{grid}{train}}}")
        each = tuple(f"survival_{key}" + ("{censoring: train}" if train else "") for key in ("auc", "brier"))
        report = _survival(case, names, ",".join((*keys, *each)))
        for key, out in zip(keys, ("uno", "ibs"), strict=True):
            yield f"out_{out}_{part}_left", report.metrics[key].value, case[f"out_{out}_{part}_left"], EXACT
        for key, out in zip(each, ("auc", "brier"), strict=True):
            yield (f"out_{out}_{part}_left", [report.per_class[name][key].value for name in names],
                   case[f"out_{out}_{part}_left"], EXACT)
    report = _survival(case, names, "harrell,survival_slope,d_calibration,survival_brier_scaled,survival_oe,"
                                    "survival_ici,survival_e50,survival_e90")
    yield "out_harrell", report.metrics["harrell"].value, case["out_harrell"], EXACT
    yield ("out_calibration_slope_cox_efron", report.metrics["survival_slope"].value,
           case["out_calibration_slope_cox_efron"], FITTED)
    yield ("out_d_calibration.p", report.metrics["d_calibration"].value,
           json.loads(str(case["out_d_calibration"]))["p"], EXACT)
    yield ("out_scaled_brier_test_left", [report.per_class[name]["survival_brier_scaled"].value for name in names],
           case["out_scaled_brier_test_left"], EXACT)
    yield "out_oe_24", report.per_class["24"]["survival_oe"].value, case["out_oe_24"], EXACT
    for key, value in json.loads(str(case["out_ici_24"])).items():
        if key in ("ici", "e50", "e90"):
            yield f"out_ici_24.{key}", report.per_class["24"][f"survival_{key}"].value, value, FITTED
    thirds = json.loads(str(case["out_calibration_24_thirds"]))
    panel = next(each for each in report.curves.agreements if each.name == "event until 24")
    if len(panel.count) == len(thirds["n"]):
        for key, values in (("n", panel.count), ("mean_predicted", panel.predicted), ("observed", panel.observed)):
            yield (f"out_calibration_24_thirds.{key}", values, thirds[key], EQUAL if key == "n" else EXACT)
    yield from _survival_resampled(case, names)


def _survival(case: Mapping[str, Any], names: list[str], typed: str) -> HeadReport:
    made = _survival_outcomes(case, names)
    return report_of("survival", names, made.targets, made.predictions, typed, risk=made.risk, curves=made.curves,
                     training=made.training)


def _survival_outcomes(case: Mapping[str, Any], names: list[str]) -> Outcomes:
    def curves(log_hazard: Any, times: Any) -> Any:
        steps = np.append(0.0, case["baseline_cumulative_hazard"])[
            np.searchsorted(case["baseline_times"], times, "right")]
        return np.exp(-steps * np.exp(log_hazard)[:, None])

    trained = collect("survival", names, np.stack([case["train_time"], case["train_event"]], 1),
                      curves(case["train_log_hazard"], case["horizons"]))
    assert trained.method is not None
    return collect("survival", names, np.stack([case["time"], case["event"]], 1), case["survival"],
                   risk=case["log_hazard"], training=TrainingOutcomes((trained.method.keep(trained),)),
                   curves=SurvivalCurves(case["baseline_times"], curves(case["log_hazard"], case["baseline_times"]),
                                         True))


def _survival_resampled(case: Mapping[str, Any], names: list[str]) -> Entries:
    made, wanted = _survival_outcomes(case, names), json.loads(str(case["out_weights_seed0"]))
    weights = next(draw(made, made.cases, 0, 1))
    yield "resample_weights", weights[:, 0], case["resample_weights"], EQUAL
    until = f"uno{{until: {float(case['tau']):g}}}"
    for key, out in (("harrell", "harrell"), (until, "uno")):
        metric, = metrics_named(key, discover(), "--metric")
        yield f"out_weights_seed0.{out}", metric.of_all(made, weights)[0][0], wanted[out], EXACT
    column = next(column for column in made.columns() if column.name == "24")
    for out in ("auc", "brier"):
        metric, = metrics_named(f"survival_{out}", discover(), "--metric")
        yield f"out_weights_seed0.{out}_24", metric.of_column(column, weights)[0][0], wanted[f"{out}_24"], EXACT


def small_survival(case: Mapping[str, Any]) -> Entries:
    """C of small cases by hand; losses of theirs are compared with the heads."""
    every = [(each["name"], each, "harrell", each["c"]) for each in case["harrell"]]
    tied = case["uno_issue_428"]
    every.append(("uno_issue_428", tied, f"uno{{until: {tied['tau']}}}", tied["specified_left"]))
    for name, each, typed, wanted in every:
        found = values_of("survival", ["1"], np.stack([each["time"], each["event"]], 1),
                          np.full((len(each["time"]), 1), 0.5), typed, risk=each["risk"])
        yield name, found[typed], wanted, EXACT
    yield from small_losses(case["cox"])
