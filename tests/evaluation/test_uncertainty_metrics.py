import json

import numpy as np
import pytest
import torch

from fusionkit.evaluation import evaluate_predictions, write_report
from fusionkit.evaluation.calibration import Calibrated, Choices, apply_head, fit_head
from fusionkit.evaluation.report import TRUST_COLUMNS, trust_table
from fusionkit.evaluation.uncertainty_metrics import confidence_bin

from .cohorts import classified, labelled, names, valued

CHOICES = Choices(alpha=0.2)


def entropy(p):
    return -(p * np.log(np.where(p > 0, p, 1))).sum(-1)


def of_three(cases=151, **more):
    """Three classes, calibrated on other cases of the same kind."""
    targets, probabilities = classified(11, cases, 3)
    fitted = fit_head("multiclass", names(3), *reversed(classified(12, 400, 3)), CHOICES)
    more = {"calibrated": apply_head(fitted, probabilities, CHOICES), "resamples": 0} | more
    return targets, probabilities, evaluate_predictions("h", "multiclass", names(3), targets, probabilities, **more)


def value(report, *path):
    return report.trust.figures[path].value


def area(score, wrong):
    """The mean, over cases from sure to unsure, of the share of errors so far; tied cases are one step."""
    kept = [wrong[score <= level].mean() for level in np.sort(score)]
    return np.mean(kept)


def test_sureness_before_and_after_by_hand():
    targets, probabilities, report = of_three()
    rows = np.arange(len(targets))
    tempered = np.array(apply_head(fit_head("multiclass", names(3), *reversed(classified(12, 400, 3)), CHOICES),
                                   probabilities, CHOICES).values)
    for stage, p in {"before": probabilities, "after": tempered}.items():
        assert value(report, stage, "nll") == pytest.approx(-np.log(p[rows, targets]).mean())
        assert value(report, stage, "brier") == pytest.approx(((p - np.eye(3)[targets]) ** 2).sum(1).mean())
        confidence, right, error = p.max(1), p.argmax(1) == targets, 0.0
        for low in range(15):
            inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
            error += abs(confidence[inside].sum() - right[inside].sum()) / len(targets)
        assert value(report, stage, "ece") == pytest.approx(error)


def test_bins_are_open_below_and_closed_above():
    edges = torch.linspace(0, 1, 16, dtype=torch.float64).numpy()
    assert confidence_bin(edges).tolist() == [0, *range(15)]
    assert confidence_bin(np.nextafter(edges[:-1], 2)).tolist() == list(range(15))


def test_errors_are_found_by_every_measure():
    targets, probabilities = classified(11, 151, 3)
    rng = np.random.default_rng(0)
    measures = {"mutual_information": rng.random(151).round(1), "spread": rng.random(151), "confidence":
                probabilities.max(1), "variance_within": rng.random(151)}
    _, _, report = of_three(measures=measures)
    wrong = probabilities.argmax(1) != targets
    scores = {"predictive_entropy": entropy(probabilities), "mutual_information": measures["mutual_information"],
              "spread": measures["spread"]}
    assert {path[1] for path in report.trust.figures if path[0] == "errors"} == set(scores)
    for name, score in scores.items():
        pairs = score[wrong][:, None] - score[~wrong]
        assert value(report, "errors", name, "auroc") == pytest.approx(((pairs > 0) + (pairs == 0) / 2).mean())
        assert value(report, "errors", name, "aurc") == pytest.approx(area(score, wrong))
    assert [risk.by for risk in report.trust.risks] == ["predictive_entropy", "mutual_information"]
    for risk in report.trust.risks:
        assert risk.coverage[-1] == 1
        assert risk.risk[-1] == pytest.approx(wrong.mean())
        assert (np.diff(risk.coverage) > 0).all()


def test_a_measure_that_knows_every_error_reaches_the_least_area():
    targets, probabilities = classified(11, 151, 3)
    wrong = probabilities.argmax(1) != targets
    _, _, report = of_three(measures={"oracle": wrong + np.linspace(0, 0.5, 151)})
    share = np.arange(1, 152) / 151
    assert value(report, "errors", "oracle", "auroc") == 1
    assert value(report, "errors", "oracle", "aurc") == pytest.approx(
        (np.maximum(0, share - (1 - wrong.mean())) / share).mean())


def test_sets_are_counted_over_all_and_by_class():
    targets, probabilities, report = of_three()
    assert report.trust.alpha == 0.2
    inside = probabilities >= 1 - fit_head("multiclass", names(3), *reversed(classified(12, 400, 3)),
                                           CHOICES).thresholds[0][0]
    held = inside[np.arange(151), targets]
    assert value(report, "sets", "coverage") == pytest.approx(held.mean())
    assert value(report, "sets", "size") == pytest.approx(inside.sum(1).mean())
    assert value(report, "sets", "single") == pytest.approx((inside.sum(1) == 1).mean())
    assert value(report, "sets", "empty") == pytest.approx((inside.sum(1) == 0).mean())
    for index, name in enumerate(names(3)):
        assert value(report, "sets", "per_class", name, "coverage") == pytest.approx(held[targets == index].mean())


def test_labels_are_averaged_over_those_that_are_known():
    targets, chances = labelled(13, 83, 2, unknown=0.3)
    fitted = fit_head("multilabel", names(2), chances, np.nan_to_num(targets, nan=-1), CHOICES)
    report = evaluate_predictions("h", "multilabel", names(2), targets, chances, resamples=0,
                                  calibrated=apply_head(fitted, chances, CHOICES))
    likely = np.where(targets == 1, chances, 1 - chances)
    assert value(report, "before", "nll") == pytest.approx(np.nanmean(
        np.where(np.isnan(targets), np.nan, -np.log(likely)), 0).mean())
    assert value(report, "after", "nll") < value(report, "before", "nll")
    wrong = (~np.isnan(targets) & ((chances > 0.5) != (targets == 1))).any(1)
    known = ~np.isnan(targets).all(1)
    score = entropy(np.stack([chances, 1 - chances], -1)).mean(1)
    assert value(report, "errors", "predictive_entropy", "aurc") == pytest.approx(area(score[known], wrong[known]))
    parts = [value(report, "sets", "per_class", name, "coverage") for name in names(2)]
    assert value(report, "sets", "coverage") == pytest.approx(np.mean(parts))
    assert min(parts) >= 0.8


def test_intervals_of_values_are_counted_and_one_without_end_has_no_width():
    targets, predicted = valued(17, 61, 2)
    margin = np.array([3, 5])
    bounds = np.stack([predicted - margin, predicted + margin], 2)
    report = evaluate_predictions("h", "regression", names(2), targets, predicted, resamples=0,
                                  calibrated=Calibrated(CHOICES, None, None, bounds))
    held = (np.abs(targets - predicted) <= margin).mean(0)
    assert value(report, "sets", "coverage") == pytest.approx(held.mean())
    assert value(report, "sets", "width") == pytest.approx(8)
    assert value(report, "sets", "per_class", "class 1", "width") == pytest.approx(10)
    assert {path[0] for path in report.trust.figures} == {"sets"}
    bounds = np.stack([predicted - np.inf, predicted + np.inf], 2)
    endless = evaluate_predictions("h", "regression", names(2), targets, predicted, resamples=10,
                                   calibrated=Calibrated(CHOICES, None, None, bounds))
    assert value(endless, "sets", "coverage") == 1
    assert endless.trust.figures["sets", "width"].note == "an interval is unbounded"


@pytest.mark.parametrize("patients", [None, [f"p{index // 3}" for index in range(151)]], ids=["cases", "patients"])
def test_intervals_are_those_of_resampled_cases(patients):
    targets, probabilities, report = of_three(resamples=200, patients=patients, seed=3)
    owners = np.arange(151) if patients is None else np.arange(151) // 3
    generator = np.random.default_rng(3)
    drawn = generator.integers(0, owners.max() + 1, size=(200, owners.max() + 1))
    score, wrong = entropy(probabilities), probabilities.argmax(1) != targets
    found = {"nll": [], "aurc": []}
    for groups in drawn:
        cases = np.concatenate([np.flatnonzero(owners == group) for group in groups])
        found["nll"].append(-np.log(probabilities[cases, targets[cases]]).mean())
        found["aurc"].append(area(score[cases], wrong[cases]))
    for path, name in {("before", "nll"): "nll", ("errors", "predictive_entropy", "aurc"): "aurc"}.items():
        metric = report.trust.figures[path]
        assert [metric.low, metric.high] == pytest.approx(np.quantile(found[name], [0.025, 0.975]))


def test_what_is_undefined_says_why_and_is_null_in_the_file(tmp_path):
    report = evaluate_predictions("h", "multiclass", ["no", "yes"], [0, 0, 0], [[0.9, 0.1]] * 3,
                                  calibrated=Calibrated(CHOICES, np.full((3, 2), 0.5), np.ones((3, 2), bool), None))
    write_report([report], tmp_path)
    found = json.loads((tmp_path / "metrics.json").read_text())["heads"]["h"]["trust"]
    assert found["errors"]["predictive_entropy"]["auroc"]["note"] == "no case is wrong, or every one is"
    assert found["sets"]["per_class"]["yes"]["coverage"] == {"value": None, "low": None, "high": None,
                                                             "note": "no case is 'yes'"}
    assert found["sets"]["target"] == 0.8
    assert found["after"]["nll"]["value"] == pytest.approx(np.log(2), rel=1e-5)


def test_it_is_drawn_and_printed(tmp_path):
    _, _, report = of_three(resamples=20)
    written = {path.name for path in write_report([report], tmp_path)}
    assert {"h-risk.png", "h-risk.svg", "h-calibration.png"} <= written
    rows = trust_table([report])
    assert all(len(row) == len(TRUST_COLUMNS) for row in rows)
    assert rows[0][:2] == ("h", "negative log-likelihood")
    assert all(rows[0][2:])
    assert rows[5][1] == "sets: coverage (target: 0.8)"
    content = json.loads((tmp_path / "metrics.json").read_text())["heads"]["h"]
    assert content["recalibrated"][0]["of"] == content["calibration"][0]["of"] == "the predicted class"
    assert sum(part["cases"] for part in content["recalibrated"][0]["bins"]) == 151
