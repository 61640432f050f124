"""Metrics of binary decisions and of calibration: as recorded from libraries, for weights too, and where undefined."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fusionkit_plugins.blocks.loess import loess
from fusionkit_plugins.blocks.probability_calibration import calibration_curve, null_of_ici
from recorded import GOLDEN

from fusionkit.components.outcomes import Outcomes
from fusionkit.errors import UserError
from fusionkit.evaluation.bootstrap import draw, sample_metrics
from fusionkit.evaluation.chosen_metrics import ChosenMetric, metrics_named
from fusionkit.evaluation.metrics import Measured, measure
from fusionkit.evaluation.predictions import collect
from fusionkit.evaluation.report import evaluate_predictions
from fusionkit.registry.lookup import discover

REGISTRY = discover()
NAMES = ["binary", "binary_ties"]
RECORDED = {name: json.loads((GOLDEN / "outcomes" / f"{name}.json").read_text()) for name in NAMES}
CLASSES = json.loads((GOLDEN / "outcomes" / "multiclass_averages.json").read_text())


def chosen(typed: str) -> tuple[ChosenMetric, ...]:
    return metrics_named(typed, REGISTRY, "--metric")


def of_label(truth: Any, score: Any) -> Outcomes:
    return collect("multilabel", ["yes"], np.asarray(truth, dtype=float)[:, None], np.asarray(score)[:, None])


def recorded(name: str) -> tuple[Outcomes, dict[str, Any]]:
    case = RECORDED[name]
    return of_label(case["test"]["y"], case["test"]["p"]), case


def values(outcomes: Outcomes, typed: str) -> dict[str, float]:
    return {key: score.value for key, score in measure(outcomes, chosen(typed)).overall.items()}


CALIBRATION = {"slope": "slope", "intercept": "intercept_large", "oe": "oe_ratio", "brier_scaled": "brier_scaled",
               "spiegelhalter": "spiegelhalter_z"}


@pytest.mark.parametrize("name", NAMES)
def test_calibration_and_average_precision_are_as_recorded(name: str) -> None:
    outcomes, case = recorded(name)
    wanted = case["calibration"]
    found = values(outcomes, ",".join([*CALIBRATION, "ici,e50,e90,ap"]))
    for key, out in CALIBRATION.items():
        assert found[key] == pytest.approx(wanted[out], abs=1e-6 if key in ("slope", "intercept") else 1e-9), key
    for key in ("ici", "e50", "e90"):
        assert found[key] == pytest.approx(wanted["spline_3"][key], abs=1e-6), key
    assert found["ap"] == pytest.approx(case["average_precision"]["ap"], abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_hosmer_lemeshow_is_as_recorded(name: str) -> None:
    outcomes, case = recorded(name)
    wanted = case["calibration"]["hosmer_lemeshow"]
    typed = ("hosmer_lemeshow", "hosmer_lemeshow{value: p}", "hosmer_lemeshow{value: p, external: false}")
    for text, out in zip(typed, ("chi2", "p_df10", "p_df8"), strict=True):
        score = measure(outcomes, chosen(text)).overall[chosen(text)[0].key]
        if wanted[out] is None:
            assert np.isnan(score.value) and score.note == "a group expects no case, or nothing else"
        else:
            assert score.value == pytest.approx(wanted[out], abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_values_of_a_resample_are_as_recorded(name: str) -> None:
    outcomes, case = recorded(name)
    weights = next(draw(outcomes, outcomes.cases, 0, 1))
    assert weights[:, 0].tolist() == case["weights_seed0"]
    found = sample_metrics(outcomes, measure(outcomes, chosen("slope,intercept,ap,auroc")), weights)[None]
    wanted = case["resample_seed0"]
    for key, out, near in (("slope", "slope", 1e-6), ("intercept", "intercept_large", 1e-6), ("ap", "ap", 1e-9),
                           ("auroc", "auc", 1e-9)):
        assert found[key][0] == pytest.approx(wanted[out], abs=near), key


def test_averages_over_classes_are_as_recorded() -> None:
    outcomes = collect("multiclass", list("abcd"), np.array(CLASSES["y"]), np.array(CLASSES["probabilities"]))
    wanted = {"f1": ("macro", "f1"), "sensitivity": ("macro", "sensitivity"), "ppv": ("macro", "ppv"),
              "auroc": ("macro", "auroc_ovr"), "ap": ("macro", "ap"), "accuracy": ("micro", "f1"),
              "micro_auroc": ("micro", "auroc_ovr"), "micro_ap": ("micro", "ap"), "weighted_f1": ("weighted", "f1"),
              "weighted_ppv": ("weighted", "ppv"), "weighted_auroc": ("weighted", "auroc_ovr"),
              "weighted_ap": ("weighted", "ap")}
    found = values(outcomes, ",".join([*wanted, "ovo_auroc", "mcc"]))
    for key, (average, of) in wanted.items():
        assert found[key] == pytest.approx(CLASSES[average][of], abs=1e-9), key
    assert found["ovo_auroc"] == pytest.approx(CLASSES["auroc_ovo_macro"], abs=1e-9)
    assert found["mcc"] == pytest.approx(CLASSES["mcc"], abs=1e-9)


EVERY = ("ap,net_benefit{threshold: 0.2},net_benefit{prevalence: 0.1},mcc,kappa,lr_positive,lr_negative,share_positive,"
         "intercept,slope,oe,ici,e50,e90,brier_scaled,spiegelhalter,hosmer_lemeshow")
AVERAGES = "micro_auroc,micro_ap,weighted_auroc,weighted_ap,weighted_f1,weighted_ppv,ovo_auroc"


def written_out(outcomes: Outcomes, counts: Any) -> Outcomes:
    rows = np.repeat(np.arange(outcomes.cases), counts)
    return collect(outcomes.task, outcomes.classes, outcomes.targets[rows], outcomes.predictions[rows])


@pytest.mark.parametrize("kind", ["label", "many events", "classes"])
def test_a_resample_equals_its_cases_written_out(kind: str) -> None:
    generator = np.random.default_rng(3)
    if kind == "classes":
        outcomes = collect("multiclass", list("abcd"), np.array(CLASSES["y"]), np.array(CLASSES["probabilities"]))
    else:
        score = generator.uniform(0.02, 0.98, 130 if kind == "label" else 420).round(2)
        outcomes = of_label(generator.uniform(size=len(score)) < score**1.3, score)
    counts = generator.multinomial(outcomes.cases, np.full(outcomes.cases, 1 / outcomes.cases), size=2)
    typed = EVERY + ("," + AVERAGES if kind == "classes" else "")
    metrics = chosen(typed)
    measured: Measured = measure(outcomes, metrics)
    found = sample_metrics(outcomes, measured, counts.T.astype(float))
    for place, own in enumerate(counts):
        wanted = measure(written_out(outcomes, own), metrics)
        for of, scores in {None: wanted.overall, **wanted.per_class}.items():
            # A mean over classes is of those that are defined in the plain cases, or undefined.
            for key, score in ((key, score) for key, score in scores.items() if of or score.note is None):
                assert found[of][key][place] == pytest.approx(score.value, abs=1e-8, nan_ok=True), (of, key)


@pytest.mark.parametrize(("typed", "truth", "score", "why"), [
    ("mcc", [0, 1, 1], [0.1, 0.2, 0.3], "no case is predicted to be 'yes'"),
    ("mcc", [1, 1], [0.1, 0.9], "every case is 'yes'"),
    ("kappa", [0, 0], [0.1, 0.2], "one class alone is there and predicted"),
    ("lr_positive", [0, 1], [0.1, 0.9], "no false positive: the ratio is infinite"),
    ("lr_negative", [0, 1], [0.8, 0.9], "no true negative: the ratio is infinite"),
    ("ap", [0, 0], [0.1, 0.9], "no case is 'yes'"),
    ("slope", [0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], "perfectly separated: the fit diverges"),
    ("slope", [0, 1, 1], [0.5, 0.5, 0.5], "all probabilities are equal"),
    ("intercept", [1, 1], [0.5, 0.6], "every case is 'yes'"),
    ("ici", [0, 1, 0, 1], [0.2, 0.2, 0.8, 0.8], "too few distinct probabilities for a smooth curve"),
    ("e90", [0, 0], [0.1, 0.9], "no case is 'yes'"),
    ("oe", [0, 1], [0.0, 0.0], "all probabilities are 0"),
    ("spiegelhalter", [0, 1], [0.0, 1.0], "all probabilities are 0, 0.5 or 1"),
    ("brier_scaled", [1, 1], [0.1, 0.9], "every case is 'yes'"),
    ("hosmer_lemeshow", [0, 1], [0.1, 0.9], "2 cases for 10 groups"),
])
def test_what_is_undefined_says_why(typed: str, truth: list[int], score: list[float], why: str) -> None:
    found = measure(of_label(truth, score), chosen(typed)).overall[typed]
    assert np.isnan(found.value) and found.note == why


def test_parabolas_are_those_of_least_squares_and_of_loess_alone() -> None:
    outcomes, _ = recorded("binary_ties")
    score, truth = outcomes.predictions[:, 0], outcomes.targets[:, 0] == 1
    found = loess(score, truth, np.ones((len(score), 1)), score, 2)[:, 0]
    near = np.floor(0.75 * len(score) + 1e-5).astype(int)
    for place in (0, 5, 11):
        apart = score - score[place]
        reach = np.sort(np.abs(apart))[near - 1]
        weight = np.sqrt((1 - np.minimum(np.abs(apart) / reach, 1) ** 3) ** 3)
        terms = np.stack([np.ones_like(apart), apart, apart**2], axis=1)
        fitted = np.linalg.lstsq(terms * weight[:, None], truth * weight, rcond=None)[0][0]
        assert found[place] == pytest.approx(np.clip(fitted, 0, 1), abs=1e-9)
    with pytest.raises(UserError, match="'degree: 2' is of loess"):
        chosen("ici{degree: 2}")


def test_clipped_probabilities_are_counted() -> None:
    generator = np.random.default_rng(1)
    score = np.concatenate([[0.0, 1.0, 1.0], generator.uniform(size=60)])
    truth = (generator.uniform(size=63) < score).astype(float)
    report = evaluate_predictions("h", "multilabel", ["yes"], truth[:, None], score[:, None], resamples=0,
                                  metrics=chosen("slope,ici,e90,ici{curve: loess}"))
    notes = {key: str(each.note) for key, each in report.metrics.items()}
    assert all("3 of 63 probabilities clipped by 1e-07" in notes[key] for key in ("slope", "ici", "e90"))
    assert "clipped" not in notes["ici{curve: loess}"], "loess takes probabilities as they are"


def test_a_curve_is_not_made_of_probabilities_that_are_0_or_1_alone() -> None:
    generator = np.random.default_rng(1)
    score = np.concatenate([[0.0, 1.0], generator.uniform(size=60)])
    found = values(of_label(generator.uniform(size=62) < score, score), "slope,ici")
    assert all(np.isfinite(value) for value in found.values())


def test_the_ici_of_a_calibrated_network_is_told_beside_that_of_this_one() -> None:
    outcomes, case = recorded("binary")
    mean, high = null_of_ici(np.array(case["test"]["p"]))
    # The specification: 0.050, and 0.082 for the 95 % quantile, from 200 draws.
    assert mean == pytest.approx(0.050, abs=0.004) and high == pytest.approx(0.082, abs=0.012)
    report = evaluate_predictions("h", "multilabel", ["yes"], outcomes.targets, outcomes.predictions, resamples=20,
                                  metrics=chosen("ici"))
    assert f"of a calibrated network with these probabilities {mean:.3f}" in str(report.metrics["ici"].note)


def test_the_smooth_curve_is_that_of_the_index() -> None:
    outcomes, case = recorded("binary")
    score, truth = outcomes.predictions[:, 0], outcomes.targets[:, 0] == 1
    found = calibration_curve(score, truth, score)
    assert found is not None
    assert np.abs(found - score).mean() == pytest.approx(case["calibration"]["spline_3"]["ici"], abs=1e-6)
    assert calibration_curve(score, np.ones_like(truth), score) is None
    report = evaluate_predictions("h", "multilabel", ["yes"], outcomes.targets, outcomes.predictions, resamples=0,
                                  metrics=chosen("ici"))
    points, curve = report.curves.reliability[0].smooth or (None, None)
    assert curve == pytest.approx(calibration_curve(score, truth, points))


@pytest.mark.parametrize("name", NAMES)
def test_figures_of_loess_are_as_recorded_and_a_case_of_weight_two_is_there_twice(name: str) -> None:
    outcomes, case = recorded(name)
    wanted = case["calibration"]["loess_degree_1"]
    for degree, options in ((1, "{curve: loess}"), (2, "{curve: loess, degree: 2}")):
        found = values(outcomes, ",".join(key + options for key in ("ici", "e50", "e90")))
        figures = case["calibration"][f"loess_degree_{degree}"]
        assert list(found.values()) == pytest.approx([figures[key] for key in ("ici", "e50", "e90")], abs=1e-6)
    score, truth = outcomes.predictions[:, 0], outcomes.targets[:, 0] == 1
    assert loess(score, truth, np.ones((len(score), 1)), score)[:5, 0] == pytest.approx(wanted["first_five"], abs=1e-6)
    weights = np.random.default_rng(3).integers(0, 3, len(score))
    rows = np.repeat(np.arange(len(score)), weights)
    for degree in (1, 2):
        weighed = loess(score, truth, weights[:, None].astype(float), score, degree)
        assert weighed == pytest.approx(loess(score[rows], truth[rows], np.ones((len(rows), 1)), score, degree))


def test_loess_is_drawn_beside_the_spline_and_says_what_it_cannot_do() -> None:
    outcomes, _ = recorded("binary")
    report = evaluate_predictions("h", "multilabel", ["yes"], outcomes.targets, outcomes.predictions, resamples=0,
                                  metrics=chosen("ici{curve: loess}"))
    bins = report.curves.reliability[0]
    points, _ = bins.smooth or (None, None)
    assert bins.others["loess"] == pytest.approx(
        loess(outcomes.predictions[:, 0], outcomes.targets[:, 0] == 1, np.ones((outcomes.cases, 1)), points)[:, 0])
    assert "by loess" in str(report.metrics["ici{curve: loess}"].note)
    assert measure(of_label([1, 0], [0.5, 0.6]), chosen("ici{curve: loess}")).overall["ici{curve: loess}"].note == (
        "too few cases for a smooth curve")


@pytest.mark.parametrize("name", NAMES)
def test_net_benefit_at_a_threshold_and_a_prevalence_is_as_recorded(name: str) -> None:
    outcomes, case = recorded(name)
    curve = case["decision_curve"]
    for place in (1, 7):
        at = curve["thresholds"][place]
        typed = f"net_benefit{{threshold: {at}}},net_benefit{{threshold: {at}, prevalence: 0.1}}"
        found = measure(outcomes, chosen(typed)).overall
        assert [each.value for each in found.values()] == pytest.approx(
            [curve["net_benefit"][place], curve["net_benefit_prevalence_0.1"][place]], abs=1e-9)
    report = evaluate_predictions("h", "multilabel", ["yes"], outcomes.targets, outcomes.predictions, resamples=0,
                                  metrics=chosen("net_benefit{threshold: 0.1}"))
    assert f"acting on all gives {curve['treat_all'][1]:.3f}" in str(
        report.metrics["net_benefit{threshold: 0.1}"].note)


def test_predictive_values_at_a_prevalence_and_wilson_intervals() -> None:
    outcomes, case = recorded("binary")
    outcomes = replace(outcomes, thresholds=np.full((outcomes.cases, 1), case["thresholds"]["youden"]))
    wanted = case["at_threshold"]["youden"]
    found = values(outcomes, "ppv,npv,ppv{prevalence: 0.05},npv{prevalence: 0.05}")
    assert [found["ppv"], found["npv"]] == pytest.approx([wanted["ppv"]["value"], wanted["npv"]["value"]])
    sensitivity, specificity = wanted["sensitivity"]["value"], wanted["specificity"]["value"]
    assert found["ppv{prevalence: 0.05}"] == pytest.approx(
        0.05 * sensitivity / (0.05 * sensitivity + 0.95 * (1 - specificity)))
    assert found["npv{prevalence: 0.05}"] == pytest.approx(
        0.95 * specificity / (0.95 * specificity + 0.05 * (1 - sensitivity)))
    report = evaluate_predictions("h", "multilabel", ["yes"], outcomes.targets, outcomes.predictions, resamples=0,
                                  metrics=chosen("ppv,auroc"), thresholds=outcomes.thresholds)
    low, high = wanted["ppv"]["wilson"]
    ppv = f"{wanted['ppv']['value']:.3f}"
    assert ("h", "yes", report.labels["ppv"], ppv, f"{low:.3f} to {high:.3f}", "Wilson", "") in report.formula_rows()
    assert [row[5] for row in report.formula_rows()] == ["DeLong", "Wilson"], "of the metrics that were measured"
    for key in ("sensitivity", "specificity", "ppv", "npv", "accuracy"):
        assert report.wilson["yes"][key] == pytest.approx(wanted[key]["wilson"]), key
    several = evaluate_predictions("h", "multilabel", ["yes"], outcomes.targets, outcomes.predictions, resamples=0,
                                   metrics=chosen("ppv"), patients=np.arange(outcomes.cases) // 2)
    assert "wilson" not in several.to_json() and [row[5] for row in several.formula_rows()] == []
    several = replace(several, metrics=report.metrics)
    assert [row[5] for row in several.formula_rows()] == ["Obuchowski"] and "auroc_obuchowski" in several.to_json()
    assert report.to_json()["wilson"]["yes"]["ppv"]
