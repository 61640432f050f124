"""Verdicts: the tolerance decides, the intervals say what may be chance, and formulas give those not published."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_claim_files import claim_of

from fusionkit.claims.file import ClaimCell, ClaimedData
from fusionkit.claims.verdict import (
    MEASURED,
    NOT_REPRODUCED,
    REPRODUCED,
    OwnFigure,
    judge,
    overall,
    published_figure,
)
from fusionkit.errors import GraphError

DATA = ClaimedData(name="n", source="s", prepare="p", cases=43, positives=15)


def verdict(tmp_path: Path, cell: str, here: OwnFigure) -> tuple[str, str]:
    """Of one figure of accuracy."""
    claim = claim_of(tmp_path, f"rows:\n  a: {{where: t, graph: g, results: {{accuracy: {cell}}}}}\n")
    found = judge(claim, "a", {"accuracy": here})
    assert overall(found) == found[0].verdict
    return found[0].verdict, found[0].remark


@pytest.mark.parametrize(("cell", "here", "wanted", "remark"), [
    ("0.791", OwnFigure(0.741, 0.6, 0.85), REPRODUCED, ""),
    ("0.791", OwnFigure(0.740, 0.6, 0.85), NOT_REPRODUCED, "may be chance: inside an interval"),
    ("0.791", OwnFigure(0.4, 0.3, 0.5), NOT_REPRODUCED, ""),
    ("{value: 0.791, interval: [0.78, 0.80]}", OwnFigure(0.82, 0.81, 0.83), REPRODUCED,
     "within the tolerance, outside both intervals"),
    ("{value: 0.791, tolerance: 0.2}", OwnFigure(0.6, 0.5, 0.7), REPRODUCED,
     "within the tolerance, outside both intervals"),
    ("0.791", OwnFigure(), NOT_REPRODUCED, "undefined here"),
    ("{}", OwnFigure(0.7, 0.6, 0.8), MEASURED, ""),
])
def test_a_figure_is_judged(tmp_path: Path, cell: str, here: OwnFigure, wanted: str, remark: str) -> None:
    assert verdict(tmp_path, cell, here) == (wanted, remark)


def test_a_figure_that_was_not_measured_is_refused_at_its_place(tmp_path: Path) -> None:
    claim = claim_of(tmp_path, "rows:\n  a: {where: t, graph: g, results: {acuracy: 0.7}}\n")
    with pytest.raises(GraphError, match="did you mean 'accuracy'") as raised:
        judge(claim, "a", {"accuracy": OwnFigure(0.7)})
    assert "said.yaml:7:" in raised.value.diagnostics[0].render()


@pytest.mark.parametrize(("metric", "cell", "low", "high"), [
    ("accuracy", ClaimCell(value=34 / 43), 0.6479, 0.8858),  # Wilson, 34 of 43
    ("head.specificity", ClaimCell(value=24 / 28), 0.6851, 0.9430),  # 24 of 28
    ("sensitivity", ClaimCell(value=3 / 9, cases=34, positives=9), 0.1206, 0.6458),  # 3 of 9
    # Hanley and McNeil by hand: Q1 0.639344, Q2 0.683596;
    # (0.1716 + 14 * 0.030944 + 27 * 0.075196) / 420 is 0.0792 squared.
    ("auroc", ClaimCell(value=0.78), 0.62475, 0.93525),
])
def test_an_interval_that_was_not_published_is_by_a_formula(
        metric: str, cell: ClaimCell, low: float, high: float) -> None:
    found = published_figure(metric, cell, DATA)
    assert (found.low, found.high) == pytest.approx((low, high), abs=2e-4)
    assert found.interval.endswith("*")


@pytest.mark.parametrize("metric", ["f1", "ppv"])
def test_other_figures_get_no_interval(metric: str) -> None:
    assert published_figure(metric, ClaimCell(value=0.7), DATA).interval == ""
