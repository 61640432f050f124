"""The task of survival: what follows from probabilities at horizons alone, tables, strata, and curves."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fusionkit_plugins.blocks.kaplan_meier import censoring, kaplan_meier, survival_with_bounds
from recorded import GOLDEN

from fusionkit.errors import RunError
from fusionkit.evaluation.predictions import collect
from fusionkit.registry.tasks import task_named

METHOD = task_named("survival").method
TRIAL = json.loads((GOLDEN / "outcomes" / "survival_leukaemia.json").read_text())


def test_a_constant_hazard_is_found_again() -> None:
    rate, horizons = np.array([0.02, 0.1]), np.array([5.0, 20.0])
    found = METHOD.details(np.exp(-rate[:, None] * horizons), ("5", "20"))
    assert np.isnan(found["median"][0]) and found["median"][1] == pytest.approx(np.log(2) / 0.1)
    assert found["rmst@20"] == pytest.approx((1 - np.exp(-20 * rate)) / rate)
    assert found["risk"] == pytest.approx(1 - np.exp(-20 * rate))


def test_certain_survival_and_certain_death_are_in_range() -> None:
    found = METHOD.details(np.array([[1.0, 1.0], [0.0, 0.0]]), ("1", "2"))
    assert found["risk"].tolist() == [0, 1] and found["rmst@2"][0] == 2 and 0 < found["rmst@2"][1] < 0.05
    assert np.isnan(found["median"][0]) and 0 < found["median"][1] < 1


@pytest.mark.parametrize("arm", ["6mp", "placebo"])
def test_the_curve_of_the_published_trial(arm: str) -> None:
    rows = np.array(TRIAL["placebo"]) == (arm == "placebo")
    time, event = np.array(TRIAL["time_weeks"], dtype=float)[rows], np.array(TRIAL["event"])[rows]
    curve = kaplan_meier(time, event, np.ones((len(time), 1)))
    wanted = TRIAL["kaplan_meier"][arm]
    assert curve(np.array(wanted["at"]))[:, 0] == pytest.approx(wanted["survival"], abs=1e-12)
    targets = np.stack([time, event], 1)
    assert METHOD.prior(targets, ("10",)) == pytest.approx([wanted["survival"][1]], abs=1e-12)


def test_events_leave_before_the_censorings_of_their_time() -> None:
    curve = censoring(np.array([1.0, 1.0, 2.0]), np.array([1, 0, 0]), np.ones((3, 1)))
    assert curve(np.array([0.5, 1.0]))[:, 0].tolist() == [1, 0.5]
    assert curve.before(np.array([1.0, 2.0]))[:, 0].tolist() == [1, 0.5]


@pytest.mark.parametrize(("values", "says"), [
    ([[0.5, 0.7]], "rise with time"), ([[1.2, 0.7]], "outside 0 to 1"), ([[np.nan, 0.7]], "not finite"),
])
def test_impossible_results_of_a_head_are_refused(values: list[list[float]], says: str) -> None:
    with pytest.raises(RunError, match=f"head 'death'.*{says}"):
        collect("survival", ("1", "2"), [[1.0, 1.0]], values, head="death")


def test_tables_have_time_and_event_and_a_column_for_each_horizon() -> None:
    assert METHOD.told(np.array([[12.5, 1.0]]), ("12",)) == {"time": ["12.5"], "event": ["1"]}
    assert METHOD.columns(("12", "0.5")) == ("survival@12", "survival@0.5")


def test_the_bounds_of_the_published_trial() -> None:
    wanted = json.loads((GOLDEN / "outcomes" / "survival_edges.json").read_text())["km_interval_6mp"]
    rows = np.array(TRIAL["placebo"]) == 0
    time, event = np.array(TRIAL["time_weeks"], dtype=float)[rows], np.array(TRIAL["event"])[rows]
    for at, bounds in zip(wanted["at"], wanted["low_high"], strict=True):
        assert survival_with_bounds(time, event, at)[1:] == pytest.approx(bounds, abs=1e-9)
    assert np.isnan(survival_with_bounds(time, event, 99.0)).all()


@pytest.mark.parametrize("name", ["survival_metrics_ties", "survival_metrics_no_ties"])
def test_agreement_by_thirds_is_as_recorded(name: str) -> None:
    with np.load(GOLDEN / "outcomes" / f"{name}.npz") as file:
        case = {key: file[key] for key in file.files}
    names = [f"{horizon:g}" for horizon in case["horizons"]]
    found = METHOD.agreements(collect("survival", names, np.stack([case["time"], case["event"]], 1), case["survival"]))
    wanted = json.loads(str(case["out_calibration_24_thirds"]))
    own = next(each for each in found if each.name == "event until 24")
    assert own.count.tolist() == wanted["n"]
    assert own.predicted == pytest.approx(wanted["mean_predicted"], abs=1e-9)
    assert own.observed == pytest.approx(wanted["observed"], abs=1e-9)
    assert bool((own.low <= own.observed).all()) and bool((own.observed <= own.high).all())
