"""Calibration from the command line, on the tables of a phantom cohort: fitted, kept, used, and as good as promised."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import betabinom, binom
from small_study import description, train, write_files
from small_study import read_table as table
from small_study import without_plots as without_plots

from fusionkit.cli.parser import main
from fusionkit.datasets.phantom import draw_latents
from fusionkit.datasets.phantom_table import CATEGORICAL, NUMERIC, render_table

TRAIN, VALIDATION, TEST = 60, 1500, 1500
GRAPH = """\
fusionkit: 1
name: too-sure
inputs:
  clinic: {vector: [10]}
nodes:
  history: {use: encoder.embed, from: clinic, with: {categories: [2, 2, 4, 2], width: 16}}
  diagnosis: {use: head.classify, from: history, with: {classes: [benign, malignant], hidden: [32]}}
training: {epochs: 20, hold_out: 0, batch_size: 20, learning_rate: 0.03, schedule: constant, weight_decay: 0.0,
           monitor: accuracy}
"""
CLINIC = f"{{read: columns, numeric: [{', '.join(NUMERIC)}], categorical: [{', '.join(CATEGORICAL)}]}}"
DATA = description({"clinic": CLINIC}, {"diagnosis": "diagnosis"}, id_column="case")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of a phantom: few cases to learn by heart, many to calibrate and test on."""
    return write_files(tmp_path_factory.mktemp("study"), cases(), GRAPH, DATA)


def cases() -> Iterator[dict[str, object]]:
    split = ["train"] * TRAIN + ["validation"] * VALIDATION + ["test"] * TEST
    latents = draw_latents("additive", len(split), 0)
    columns = render_table(latents)
    for case, part in enumerate(split):
        yield {"case": f"P{case}", "split": part, **{name: columns[name][case] for name in (*NUMERIC, *CATEGORICAL)},
               "diagnosis": ["benign", "malignant"][latents.label[case]]}


@pytest.fixture(scope="module")
def run(study: Path) -> Path:
    return train(study)


def told(folder: Path) -> Any:
    return json.loads((folder / "metrics.json").read_text())["heads"]["diagnosis"]["trust"]


def holds(covered: float, alpha: float) -> None:
    """Whether a count of covered test cases is one that chance gives, at 99 %, over calibration and test cases."""
    place = int(np.ceil((VALIDATION + 1) * (1 - alpha) - 1e-9))
    low, high = betabinom.interval(0.99, TEST, place, VALIDATION + 1 - place)
    assert low <= covered <= high


def test_sets_hold_the_truth_of_new_cases_as_often_as_was_asked(run: Path) -> None:
    found = told(run)["sets"]
    covered = round(found["coverage"]["value"] * TEST)
    holds(covered, 0.1)
    low, high = binom.interval(0.99, TEST, found["target"])
    assert low <= covered <= high
    assert found["coverage"]["low"] < found["coverage"]["value"] < found["coverage"]["high"]
    assert 1 < found["size"]["value"] < 1.6


def test_a_network_that_is_too_sure_is_so_no_more(run: Path) -> None:
    temperature = json.loads((run / "calibration.json").read_text())["heads"]["diagnosis"]["temperatures"][0]
    before, after = told(run)["before"], told(run)["after"]
    assert temperature > 1.3
    assert after["ece"]["value"] < 0.5 * before["ece"]["value"]
    assert after["ece"]["high"] < before["ece"]["low"]
    assert after["nll"]["high"] < before["nll"]["value"]
    assert after["brier"]["value"] < before["brier"]["value"]


def test_doubtful_cases_are_more_often_wrong(run: Path) -> None:
    found = told(run)["errors"]["predictive_entropy"]
    assert found["auroc"]["low"] > 0.55
    metrics = json.loads((run / "metrics.json").read_text())["heads"]["diagnosis"]["metrics"]
    assert found["aurc"]["high"] < 1 - metrics["accuracy"]["value"]


def test_predictions_have_their_set_and_calibrated_probability(run: Path) -> None:
    rows = table(run / "predictions.csv")
    assert len(rows) == TEST
    fitted = json.loads((run / "calibration.json").read_text())["heads"]["diagnosis"]
    (temperature,), ((limit, _),) = fitted["temperatures"], fitted["thresholds"]
    for row in rows:
        no, yes = float(row["diagnosis:benign"]), float(row["diagnosis:malignant"])
        cooled = 1 / (1 + (no / yes) ** (1 / temperature))
        assert float(row["diagnosis:malignant:calibrated"]) == pytest.approx(cooled, abs=1e-4)
        inside = [name for name, chance in (("benign", no), ("malignant", yes)) if 1 - chance <= limit]
        if abs(no - limit) > 1e-5 < abs(yes - limit):
            assert row["diagnosis:set"] == ("|".join(inside) or "{}")


def test_another_share_by_class_is_fitted_and_used(run: Path, study: Path, tmp_path: Path) -> None:
    kept = (run / "calibration.json").read_text()
    try:
        assert main(["calibrate", str(run), "--alpha", "0.02", "--class-conditional"]) == 0
        assert main(["evaluate", str(run), "-o", str(tmp_path)]) == 0
    finally:
        (run / "calibration.json").write_text(kept)
    found = told(tmp_path)["sets"]
    assert (found["alpha"], found["target"]) == (0.02, 0.98)
    holds(round(found["coverage"]["value"] * TEST), 0.02)
    assert all(part["coverage"]["value"] == pytest.approx(0.98, abs=0.02) for part in found["per_class"].values())
    assert found["size"]["value"] > told(run)["sets"]["size"]["value"]


def test_other_cases_may_be_calibrated_on(run: Path, study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "calibration.json").read_text()
    few = study / "few.yaml"
    few.write_text(DATA.replace("cases.csv", "few.csv"))
    lines = (study / "cases.csv").read_text().splitlines(True)
    (study / "few.csv").write_text("".join([lines[0], *lines[-8:]]))
    capsys.readouterr()
    try:
        assert main(["calibrate", str(run), str(few)]) == 0
        told_of = capsys.readouterr().out
        made = json.loads((run / "calibration.json").read_text())
    finally:
        (run / "calibration.json").write_text(before)
    assert "too few cases for alpha 0.1, which needs 9: every set contains everything" in told_of
    assert made["fitted_on"] == str(few)
    assert made["heads"]["diagnosis"]["thresholds"] == [[None, None]]


def test_a_calibration_of_other_results_is_left_out(run: Path, study: Path, tmp_path: Path,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    few = study / "five.yaml"
    few.write_text(DATA.replace("cases.csv", "five.csv"))
    (study / "five.csv").write_text("".join((study / "cases.csv").read_text().splitlines(True)[:6]))
    arguments = ["predict", str(run), str(few), "-o", str(tmp_path / "out.csv")]
    assert main([*arguments, "--uncertainty", "uncertainty.none"]) == 0
    assert "diagnosis:set" in table(tmp_path / "out.csv")[0], "one pass without randomness is what it was fitted to"
    assert main([*arguments, "--uncertainty", "uncertainty.mc_dropout"]) == 0
    assert "not used: it was fitted to the results of one pass" in capsys.readouterr().err
    assert "diagnosis:set" not in table(tmp_path / "out.csv")[0]


def test_what_cannot_be_calibrated_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", str(run), "--alpha", "1"]) == 2
    about = (run / "run.json").read_text()
    try:
        (run / "run.json").write_text(json.dumps({**json.loads(about), "validation": []}))
        assert main(["calibrate", str(run)]) == 2
    finally:
        (run / "run.json").write_text(about)
    said = capsys.readouterr().err
    assert "--alpha cannot be 1" in said
    assert "has no validation cases [no-validation]" in said


def test_a_threshold_is_chosen_on_validation_kept_and_applied(run: Path, study: Path, capsys: pytest.CaptureFixture[str]
                                                              ) -> None:
    try:
        assert main(["calibrate", str(run), "--threshold", "sensitivity=0.95"]) == 0
        kept = json.loads((run / "threshold.json").read_text())
        (label,) = kept["heads"]["diagnosis"]["labels"]
        assert kept["fitted_on"] == "validation" and label["cases"] == VALIDATION
        assert label["figures"]["sensitivity"]["value"] >= 0.95
        assert "malignant" in capsys.readouterr().out
        made = study / "predicted.csv"
        assert main(["predict", str(run), str(study / "data.yaml"), "--output", str(made)]) == 0
        rows = table(made)
        assert all((row["diagnosis"] == "malignant") == (float(row["diagnosis:malignant"]) >= label["value"] - 1e-6)
                   for row in rows)
        assert main(["evaluate", str(run), "-o", str(study / "at")]) == 0
        test = [row for row in table(study / "at" / "predictions.csv") if row["diagnosis:target"] == "malignant"]
        found = json.loads((study / "at" / "metrics.json").read_text())["heads"]["diagnosis"]["metrics"]["sensitivity"]
        share = np.mean([float(row["diagnosis:malignant"]) >= label["value"] - 1e-6 for row in test])
        assert found["value"] == pytest.approx(share, abs=2e-3)
    finally:
        (run / "threshold.json").unlink(missing_ok=True)
