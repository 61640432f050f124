"""Limits of agreement: as recorded, over patients where they have several cases, and their figure with its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from recorded import GOLDEN

from fusionkit.evaluation.curves import Pairs
from fusionkit.evaluation.limits_of_agreement import agreement_of
from fusionkit.evaluation.plots.bland_altman import FIGURE, bland_altman_figure, lines_of
from fusionkit.evaluation.plots.head_figure import write_numbers
from fusionkit.evaluation.report import evaluate_predictions

CASE = json.loads((GOLDEN / "outcomes" / "regression.json").read_text(encoding="utf-8"))
TRUE, TOLD, WANTED = np.array(CASE["y"]), np.array(CASE["p"]), CASE["out"]["bland_altman"]


def test_limits_are_as_recorded() -> None:
    found = agreement_of(TRUE, TOLD)
    assert [found.bias, found.sd, found.low, found.high, found.limit_error, found.slope] == pytest.approx(
        [WANTED[key] for key in ("bias", "sd", "low", "high", "limit_se", "slope_on_mean")], abs=1e-9)
    assert found.bias_interval == pytest.approx(WANTED["bias_interval"], abs=1e-9)
    assert found.low_interval == pytest.approx(WANTED["low_interval"], abs=1e-9)
    assert np.diff(found.high_interval) == pytest.approx(np.diff(found.low_interval))


def test_one_case_has_a_bias_alone() -> None:
    found = agreement_of(TRUE[:1], TOLD[:1])
    assert found.bias == pytest.approx(TOLD[0] - TRUE[0])
    assert np.isnan([found.sd, found.slope, *found.low_interval]).all()
    assert np.isnan(agreement_of(np.ones(3), np.ones(3)).slope)


def test_patients_with_several_cases_have_intervals_over_patients() -> None:
    def report(patients: list[int] | None):
        return evaluate_predictions("age", "regression", ["age"], TRUE, TOLD, patients=patients, resamples=50)

    pair = report(None).curves.pairs[0]
    found = agreement_of(TRUE, TOLD)
    for alone in (None, list(range(50))):
        assert lines_of(report(alone), pair)["bias"] == (found.bias, *found.bias_interval)
    several = report([row // 2 for row in range(50)])
    line = lines_of(several, pair)["limit_low"]
    assert line[1:] == (several.metrics["limit_low"].low, several.metrics["limit_low"].high)


def test_the_figure_comes_with_its_numbers(tmp_path: Path) -> None:
    report = evaluate_predictions("age", "regression", ["age"], TRUE, TOLD, resamples=0, unit="years")
    figure = FIGURE.draw(report)
    assert figure is not None and "years" in figure.get_suptitle()
    rows = write_numbers(FIGURE.numbers(report), tmp_path / "numbers.csv").read_text().splitlines()
    assert rows[0] == "of,what,mean,difference,low,high" and len(rows) == 1 + 3 + 1 + len(TRUE)
    assert rows[1].startswith("age,bias,,1.3808,-1.20315,")
    warned = bland_altman_figure([Pairs("age", TRUE, TOLD)], [lines_of(report, report.curves.pairs[0])], "", "target")
    texts = [axes.get_title("left") for part in (warned, *warned.subfigs) for axes in part.axes]
    assert "slope by themselves" in texts[0]
    assert FIGURE.draw(evaluate_predictions("age", "regression", ["age"], TRUE[:1], TOLD[:1], resamples=0)) is None
