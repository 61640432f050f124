"""Metrics of survival: as recorded from libraries, for weights of cases too, and where they have no value."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from recorded import GOLDEN

from fusionkit.components.outcomes import Outcomes
from fusionkit.evaluation.bootstrap import draw
from fusionkit.evaluation.chosen_metrics import ChosenMetric, metrics_named
from fusionkit.evaluation.metrics import measure
from fusionkit.evaluation.predictions import collect
from fusionkit.evaluation.report import evaluate_predictions, table
from fusionkit.registry.lookup import discover

REGISTRY = discover()
EDGES = json.loads((GOLDEN / "outcomes" / "survival_edges.json").read_text())
NAMES = ["survival_metrics_ties", "survival_metrics_no_ties"]


def recorded(name: str) -> tuple[Outcomes, dict[str, Any]]:
    with np.load(GOLDEN / "outcomes" / f"{name}.npz") as file:
        case = {key: file[key] for key in file.files}
    horizons = [f"{horizon:g}" for horizon in case["horizons"]]
    targets = np.stack([case["time"], case["event"]], 1)
    return collect("survival", horizons, targets, case["survival"], risk=case["log_hazard"]), case


def chosen(typed: str) -> ChosenMetric:
    return metrics_named(typed, REGISTRY, "--metric")[0]


def ranked(time: Any, event: Any, risk: Any) -> Outcomes:
    risk = np.asarray(risk, dtype=np.float64)
    flat = np.full((len(risk), 1), 0.5)
    return collect("survival", ["1"], np.stack([time, event], 1), flat, risk=risk)


@pytest.mark.parametrize("name", NAMES)
def test_values_are_as_recorded(name: str) -> None:
    outcomes, case = recorded(name)
    typed = ("harrell", "uno{until: 36}", "ibs{until: 36}", "survival_auc", "survival_brier")
    found = measure(outcomes, [chosen(text) for text in typed])
    for key, out in (("harrell", "harrell"), ("uno{until: 36}", "uno_test_left"), ("ibs{until: 36}", "ibs_test_left")):
        assert found.overall[key].value == pytest.approx(float(case[f"out_{out}"]), abs=1e-9)
    for place, horizon in enumerate(outcomes.classes):
        for key, out in (("survival_auc", "auc_test_left"), ("survival_brier", "brier_test_left")):
            assert found.per_class[horizon][key].value == pytest.approx(case[f"out_{out}"][place], abs=1e-9)


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
    assert set(report.metrics) == {"harrell", "uno", "survival_auc", "survival_brier", "ibs"}
    assert all(value.low is not None and value.low <= (value.value or 0) <= (value.high or 1)
               for value in report.metrics.values())
    assert set(report.per_class["24"]) == {"survival_auc", "survival_brier"}
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
