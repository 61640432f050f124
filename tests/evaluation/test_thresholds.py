"""Thresholds: chosen as recorded, with figures and intervals, and kept."""

from __future__ import annotations

import json
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded import GOLDEN

from fusionkit.components.outcomes import Outcomes
from fusionkit.errors import UserError
from fusionkit.evaluation.chosen_metrics import metrics_named
from fusionkit.evaluation.predictions import collect
from fusionkit.evaluation.proportions import wilson
from fusionkit.evaluation.threshold_rules import threshold_rule
from fusionkit.evaluation.thresholds import (
    FIGURES,
    HeadThresholds,
    Thresholds,
    choose_for_head,
    read_thresholds,
    write_thresholds,
)
from fusionkit.registry.lookup import discover

NAMES = ["binary", "binary_ties"]
RECORDED = {name: json.loads((GOLDEN / "outcomes" / f"{name}.json").read_text()) for name in NAMES}
RULES = {"youden": "youden", "cost_4": "cost=4", "sensitivity_0.9": "sensitivity=0.9",
         "specificity_0.9": "specificity=0.9", "bayes_cost_4": "probability=4"}


def of(part: dict[str, Any], task: str = "multiclass", patients: Any = None) -> Outcomes:
    score = np.array(part["p"])
    if task == "multilabel":
        return collect(task, ["yes"], np.array(part["y"], dtype=float)[:, None], score[:, None], patients=patients)
    return collect(task, ["no", "yes"], np.array(part["y"]), np.stack([1 - score, score], 1), patients=patients)


def chosen(outcomes: Outcomes, rule: str, resamples: int = 60) -> HeadThresholds:
    metrics = metrics_named(",".join(FIGURES), discover(), "--threshold")
    return choose_for_head(outcomes, threshold_rule(rule), metrics, resamples=resamples)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_thresholds_are_as_recorded(name: str, rule: str, task: str) -> None:
    case = RECORDED[name]
    wanted = case["thresholds"][rule]
    (label,) = chosen(of(case["validation"], task), RULES[rule], 0).labels
    assert (inf if label.value is None else label.value) == (inf if wanted == "inf" else wanted)


@pytest.mark.parametrize(("name", "rule"), [
    # Infinity, which nobody reaches, cannot be typed as a threshold.
    (name, rule) for name in NAMES for rule in RULES if RECORDED[name]["thresholds"][rule] != "inf"])
def test_figures_at_a_threshold_are_as_recorded(name: str, rule: str) -> None:
    case = RECORDED[name]
    wanted = case["at_threshold"][rule]
    fixed = case["thresholds"][rule]
    (label,) = chosen(of(case["test"]), repr(fixed), 0).labels
    assert label.figures["counts"] == {key: wanted[key] for key in ("tp", "fp", "fn", "tn")}
    share = (wanted["tp"] + wanted["fp"]) / sum(wanted[key] for key in ("tp", "fp", "fn", "tn"))
    for key in FIGURES:
        own = share if key == "share_positive" else wanted[key]
        # Files hold six digits.
        value, found = own["value"] if isinstance(own, dict) else own, label.figures[key]
        assert found["value"] is None if value is None else found["value"] == pytest.approx(value, rel=1e-5)
        if isinstance(own, dict) and value is not None:
            assert found["wilson"] == pytest.approx(own["wilson"], rel=1e-5)


def test_costs_are_weighed_by_a_stated_prevalence() -> None:
    case = RECORDED["binary"]["validation"]
    score, truth = np.array(case["p"]), np.array(case["y"]) == 1
    own, wanted = float(truth.mean()), RECORDED["binary"]["thresholds"]["cost_4"]
    assert chosen(of(case), f"cost=4,prevalence={own!r}", 0).labels[0].value == wanted
    for prevalence in (0.02, 0.11, 0.7):
        # The definition: the highest of those with the lowest cost, over all probabilities and nobody.
        cost = {t: 4 * prevalence * (score[truth] < t).mean() + (1 - prevalence) * (score[~truth] >= t).mean()
                for t in (*score, inf)}
        wanted = max(t for t, each in cost.items() if each <= min(cost.values()) + 1e-12)
        (label,) = chosen(of(case), f"cost=4, prevalence={prevalence}", 0).labels
        assert (inf if label.value is None else label.value) == wanted
    for typed, why in (("youden,prevalence=0.1", "only cost depends"), ("cost=4,prevalence=1", "between 0 and 1"),
                       ("cost=4,prevalence=-.", "no rule is written so")):
        with pytest.raises(UserError, match=why):
            threshold_rule(typed)


def test_wilson_has_a_width_where_everything_was_counted() -> None:
    assert wilson(28, 41) == pytest.approx((0.5301580035565571, 0.8043538610101143), abs=1e-9)
    assert wilson(10, 10)[0] == pytest.approx(0.72246, abs=1e-5)
    assert np.isnan(wilson(0, 0)).all()


def test_a_resample_chooses_as_its_cases_written_out_do() -> None:
    case = RECORDED["binary_ties"]["validation"]
    score, truth = np.array(case["p"]), np.array(case["y"]) == 1
    counts = np.random.default_rng(4).multinomial(len(score), np.full(len(score), 1 / len(score)), size=5)
    for text in ("youden", "cost=4", "sensitivity=0.9", "specificity=0.9"):
        rule = threshold_rule(text)
        found = rule.choose(score, truth, counts.T.astype(float))
        for own, value in zip(counts, found, strict=True):
            rows = np.repeat(np.arange(len(score)), own)
            alone = rule.choose(score[rows], truth[rows], np.ones((len(rows), 1)))
            assert value == alone[0] or (np.isnan(value) and np.isnan(alone[0]))


def test_few_cases_of_a_kind_are_told_and_the_interval_is_of_the_cases() -> None:
    case = RECORDED["binary"]["validation"]
    (label,) = chosen(of(case), "youden").labels
    assert label.low is not None and label.high is not None
    assert label.low <= label.value <= label.high and label.notes == ()
    few = {"y": case["y"][:40], "p": case["p"][:40]}
    (label,) = chosen(of(few), "youden").labels
    assert "negative cases: below 20 of a kind" in label.notes[-1]
    (label,) = chosen(of(few), "0.2").labels
    assert label.notes == ("fixed: it does not depend on the cases",) and label.low is None


def test_cases_of_one_patient_have_no_interval_of_wilson() -> None:
    case = RECORDED["binary"]["validation"]
    pairs = [row // 2 for row in range(len(case["y"]))]
    (label,) = chosen(of(case, patients=pairs), "youden").labels
    assert "wilson" not in label.figures["sensitivity"] and label.patients == 40


def test_a_threshold_decides_every_metric_and_who_is_predicted() -> None:
    case = RECORDED["binary"]["test"]
    plain = of(case)
    at = collect("multiclass", ["no", "yes"], plain.targets, plain.predictions,
                 thresholds=np.full((plain.cases, 1), 0.2))
    assert at.predicted_class().sum() == (np.array(case["p"]) >= 0.2).sum() > plain.predicted_class().sum()
    assert (at.column(1).predicted == ~at.column(0).predicted).all()


@pytest.mark.parametrize("typed", ["yuden", "cost=0", "sensitivity=1.2", "specificity=", "1", "0", "nan", "cost=inf",
                                   "probability=-1", "0.1.2"])
def test_a_rule_that_is_none_is_refused(typed: str) -> None:
    with pytest.raises(UserError, match=r"--threshold cannot be .*\[bad-threshold\]"):
        threshold_rule(typed)


@pytest.mark.parametrize(("truth", "score", "rule", "why"), [
    ([1, 1, 1], [0.1, 0.2, 0.3], "youden", "all cases are alike"),
    ([1, 0, 0], [0.1, 0.2, 0.3], "sensitivity=0.9", "no probability reaches it but the lowest"),
])
def test_cases_without_a_threshold_are_refused(truth: list[int], score: list[float], rule: str, why: str) -> None:
    with pytest.raises(UserError, match=why) as raised:
        chosen(of({"y": truth, "p": score}), rule)
    assert raised.value.diagnostics[0].code == "no-threshold"


def test_what_is_kept_is_read_again_and_that_of_another_network_refused(tmp_path: Path) -> None:
    head = chosen(of(RECORDED["binary"]["validation"]), "youden", 0)
    made = Thresholds(rule="youden", fitted_on="validation", uncertainty=None, heads={"h": head})
    write_thresholds(tmp_path, made)
    assert read_thresholds(tmp_path, {"h": ("multiclass", ("no", "yes"))}) == made
    for text, heads in ((None, {"h": ("multiclass", ("a", "b"))}), ("{}", {}), ("{", {})):
        if text is not None:
            (tmp_path / "threshold.json").write_text(text)
        with pytest.raises(UserError, match="unreadable-threshold"):
            read_thresholds(tmp_path, heads)
    assert read_thresholds(tmp_path / "none", {}) is None
