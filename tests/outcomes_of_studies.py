"""Recorded figures of a trial, competing risks, groups of cases, comparisons and conformal sets.

Each function takes the entries of a file and gives entry, what is found, what is recorded, and the tolerance.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from fusionkit_plugins.blocks.chi_squared import chi_squared_p
from fusionkit_plugins.blocks.competing import incidence_observed
from fusionkit_plugins.blocks.cox_fit import cox_fit
from fusionkit_plugins.blocks.kaplan_meier import BoundedCurve, kaplan_meier
from fusionkit_plugins.blocks.risk_groups import log_rank
from outcome_entries import EQUAL, EXACT, FITTED, Entries

from fusionkit.comparison.equivalence import equivalence
from fusionkit.comparison.significance import corrected_t
from fusionkit.comparison.spread import floor_of, repeats_needed, spread_of
from fusionkit.evaluation.calibration import Choices, apply_head, fit_head
from fusionkit.evaluation.calibration.conformal import rank
from fusionkit.evaluation.chosen_metrics import metrics_named
from fusionkit.evaluation.differences import holm
from fusionkit.evaluation.predictions import collect
from fusionkit.evaluation.subgroups import Subgroups, subgroups
from fusionkit.registry.lookup import discover
from fusionkit.registry.tasks import task_named


def trial(case: Mapping[str, Any]) -> Entries:
    """Kaplan-Meier, log-rank and Cox of two arms."""
    time, event, arm = (np.array(case[key], dtype=np.float64) for key in ("time_weeks", "event", "placebo"))
    once = np.ones((len(time), 1))
    for number, name in enumerate(("6mp", "placebo")):
        wanted, own = case["kaplan_meier"][name], arm == number
        curve = BoundedCurve.of(time[own], event[own] == 1)
        found = kaplan_meier(time[own], event[own], np.ones((int(own.sum()), 1)))(np.array(wanted["at"]))[:, 0]
        yield f"kaplan_meier.{name}.survival", found, wanted["survival"], EXACT
        yield f"kaplan_meier.{name}.median", curve.median, wanted["median"], EQUAL
        yield f"kaplan_meier.{name}.rmst_20", curve.mean_until(20.0)[0], wanted["rmst_20"], EXACT
    test = case["log_rank"]
    found = log_rank(time, event == 1, arm.astype(np.int64), 2, once)[0]
    yield "log_rank", (found, chi_squared_p(found, 1)), (test["chi2"], test["p"]), EXACT
    fit, efron = cox_fit(arm[None, :, None], time, event == 1, once), case["cox"]["efron"]
    yield ("cox.efron", (fit.coefficients[0, 0], fit.information[0, 0, 0] ** -0.5, fit.log_likelihood[0]),
           (efron["beta"], efron["se"], efron["loglik"]), FITTED)


def competing(case: Mapping[str, Any]) -> Entries:
    """Cumulative incidences of two causes."""
    time, cause, at = (np.array(case[key], dtype=np.float64) for key in ("time", "cause", "at"))
    found = incidence_observed(time, cause, 2, at)
    names = tuple(f"{name}@{horizon:g}" for name in ("first", "second") for horizon in at)
    prior = task_named("competing_risks").method.prior(np.stack([time, cause], 1), names)
    for place in (0, 1):
        yield f"cif_{place + 1}", found[place], case[f"cif_{place + 1}"], EXACT
        yield f"cif_{place + 1}, as predicted without inputs", None if prior is None else prior[
            place * len(at):][:len(at)], case[f"cif_{place + 1}"], EXACT


def groups(case: Mapping[str, Any]) -> Entries:
    """Groups of cases, their differences and gaps, and intervals of these."""
    # The recorded draws number patients by size, ours by their first case.
    order = np.argsort(case["patient"], kind="stable")
    columns = {key: [case[key][place] for place in order] for key in ("site", "sex", "patient", "y", "p")}
    for column in ("site", "sex"):
        wanted, found = case["out"][column], _grouped(columns, column)
        each = found.groups
        yield f"{column}.n", [group.cases for group in each], wanted["n"], EQUAL
        yield f"{column}.positives", [group.counts["yes"] for group in each], wanted["positives"], EQUAL
        for key in ("auroc", "sensitivity"):
            yield f"{column}.{key}", [group.metrics[key].value for group in each], wanted[key], EXACT
        yield (f"{column}.false_positive_rate", [1 - _number(group.metrics["specificity"].value) for group in each],
               wanted["false_positive_rate"], EXACT)
        yield (f"{column}.rest_difference", [group.differences["auroc"].plain.value for group in each],
               wanted["rest_difference"], EXACT)
        gaps = found.gaps["yes"]
        for key, out in (("equal_opportunity", "equal_opportunity_gap"), ("equalised_odds", "equalized_odds_gap")):
            yield f"{column}.{out}", gaps[key].value, wanted[out], EXACT
    drawn, together = case["out"]["bootstrap_c_minus_a"], case["out"]["max_t"]
    plain = _grouped(columns, "site", reference="a").groups[2].differences["auroc"].plain
    yield "bootstrap_c_minus_a", (plain.value, plain.low, plain.high), [drawn[key] for key in (
        "value", "low", "high")], EXACT
    found_together = [group.differences["auroc"] for group in _grouped(columns, "site").groups]
    for key in ("low", "high"):
        yield f"max_t.{key}", [getattr(each, key) for each in found_together], together[key], EXACT
    yield "holm", holm(case["out"]["holm"]["p"]), case["out"]["holm"]["holm"], EXACT


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _grouped(columns: Mapping[str, Any], column: str, reference: str | None = None) -> Subgroups:
    p = np.array(columns["p"])
    outcomes = collect("multiclass", ["no", "yes"], columns["y"], np.stack([1 - p, p], 1), patients=columns["patient"])
    return subgroups("ill", task_named("multiclass"), outcomes, columns[column], column=column, reference=reference,
                     resamples=200, metrics=metrics_named("auroc,sensitivity,specificity", discover(), "--metric"))


def comparison(case: Mapping[str, Any]) -> Entries:
    """Tests with a margin, how many repeats are enough, and the split of the spread."""
    share = case["test_over_train"]
    found = equivalence(case["differences"], share, case["margin"])
    assert found is not None
    yield ("equivalence", (found.value, found.error, found.low, found.high, found.p_noninferior, found.p_equivalent),
           (case["mean"], case["se_corrected"], *case["interval_90"], case["p_non_inferior"], case["p_tost"]), EXACT)
    both = corrected_t(case["differences"], share)
    yield "interval_95", (both.low, both.high, both.p), (*case["interval_95"], case["p_two_sided"]), EXACT
    for each in case["repeats"]:
        name = f"repeats of sd {each['sd']:g} within {each['half_width']:g}"
        yield name, repeats_needed(each["sd"], each["half_width"], each["folds"], each["rho"]), each["repeats"], EQUAL
        yield f"{name}, floor", floor_of(each["sd"], each["rho"]), each["floor"], EXACT
    for number, each in enumerate(case["variance_split"]):
        split = spread_of(each["values"])
        yield (f"variance_split.{number}", (split.ms_fold, split.ms_seed, split.var_fold, split.var_seed, split.share,
                                            split.low, split.high, split.error_of_mean),
               (each["ms_fold"], each["ms_seed"], each["var_fold"], each["var_seed"], each["share_fold"],
                *each["share_interval_95"], each["se_of_mean"]), EXACT)


def ranks(case: Mapping[str, Any]) -> Entries:
    """Which of the scores is the threshold."""
    rows = case["rows"]
    yield "k", [rank(row["n"], float(row["alpha"])) for row in rows], [row["k"] for row in rows], EQUAL


def sets(case: Mapping[str, Any]) -> Entries:
    """Sets of classes and intervals of numbers."""
    told = json.loads(str(case["out"]))
    for alpha in sorted({float(key.rpartition("_")[2]) for key in case if key.startswith("out_lac_")}):
        names = tuple(str(number) for number in range(case["cls_p_cal"].shape[1]))
        for key, choice, threshold in (("lac", {}, [told[f"lac_threshold_{alpha}"]] * len(names)),
                                       ("class_conditional", {"class_conditional": True},
                                        told[f"class_conditional_thresholds_{alpha}"]),
                                       ("aps_never_empty", {"sets": "aps"},
                                        [told[f"aps_threshold_{alpha}"]] * len(names))):
            choices = Choices.model_validate({"alpha": alpha, **choice})
            fitted = fit_head("multiclass", names, case["cls_p_cal"], case["cls_y_cal"], choices)
            limits = [float("inf") if value is None else value for value in fitted.thresholds[0]]
            yield f"{key}, threshold at {alpha}", limits, threshold, EXACT
            inside = apply_head(fitted, case["cls_p_test"], choices).sets
            yield f"out_{key}_{alpha}", inside, case[f"out_{key}_{alpha}"], EQUAL
        for kind, out in (("absolute", "split"), ("normalised", "normalised"), ("cqr", "cqr"),
                          ("cqr-asymmetric", "cqr_asymmetric")):
            choices = Choices.model_validate({"alpha": alpha, "intervals": kind})
            parts = [{name: case[part][:, place] for place, name in ((0, "q05"), (1, "q95"), (3, "sd"))}
                     for part in ("reg_cal", "reg_test")]
            fitted = fit_head("regression", ("value",), case["reg_cal"][:, 2:3], case["reg_y_cal"][:, None], choices,
                              details=parts[0])
            found = apply_head(fitted, case["reg_test"][:, 2:3], choices, details=parts[1]).bounds
            yield f"out_{out}_{alpha}", None if found is None else found[:, 0], case[f"out_{out}_{alpha}"], EXACT
