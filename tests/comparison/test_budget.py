"""The forecast of a comparison, and what a budget lets run: whole folds for all rows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_study import GRAPH, write_study
from small_study import without_plots as without_plots

from fusionkit.cli.parser import main
from fusionkit.comparison import forecast as forecasting
from fusionkit.comparison import simple_rows
from fusionkit.comparison.forecast import SHARED, Forecast, forecast, is_worth_it
from fusionkit.comparison.jobs import run as running
from fusionkit.comparison.jobs import work
from fusionkit.comparison.jobs.budget import Budget, Turns, check_fits, seconds_of_budget
from fusionkit.comparison.jobs.claims import Claims, Settled
from fusionkit.comparison.jobs.request import ComparisonRequest
from fusionkit.comparison.jobs.work import JOBS, Worker, trained_folds
from fusionkit.comparison.shared_training import SharedTrainer
from fusionkit.comparison.train import units_of
from fusionkit.comparison.tuning import Tuning
from fusionkit.errors import UserError
from fusionkit.interface import compare
from fusionkit.interface.console import Console
from fusionkit.registry.lookup import discover


@pytest.fixture(scope="module", autouse=True)
def without_pictures() -> Iterator[None]:
    """Pictures of the ranks are tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "draw_ranks", lambda folder, _: (folder / "result-rank.svg").write_text("<svg/>"))
        yield


@pytest.mark.parametrize(("text", "seconds"), [("8h", 28800), ("90 min", 5400), ("1.5d", 129600), ("7s", 7)])
def test_a_budget_is_a_time_with_its_unit(text: str, seconds: float) -> None:
    assert seconds_of_budget(text) == seconds


@pytest.mark.parametrize("text", ["8", "h", "0h", "-3h", "8 hours", "1e3s"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="--budget cannot be"):
        seconds_of_budget(text)


def test_what_fits_is_no_less_than_the_longest_unit() -> None:
    found = Forecast({"a": 100.0, "b": 20.0}, 5, 7, 10, 10, 25)
    assert (found.split_seconds, found.total(), found.total(2), found.total(2, 1)) == (120, 600, 300, 100)
    assert "this may not fit into 25 B" in found.lines(3)[-1]
    check_fits(106.0, found, 2, 0.0)
    with pytest.raises(UserError, match="too small for one fold of 7 networks"):
        check_fits(104.0, found, 2, 0.0)


def test_a_network_that_takes_most_of_the_time_is_named() -> None:
    found = Forecast({"fusion.healnet": 300.0, "b": 20.0}, 5, 7, 10, 10)
    assert found.lines()[-1].startswith("fusion.healnet takes 5.0 min of the 5.3 min of a split")
    with pytest.raises(UserError, match=r"leave out fusion\.healnet, which takes .*not:fusion\.healnet"):
        check_fits(104.0, found, 2, 0.0)
    assert Forecast({"shared": 300.0, "b": 20.0}, 5, 7, 10, 10).slowest is None
    assert Forecast({"a": 100.0, "b": 100.0}, 5, 7, 10, 10).slowest is None


def planned(folder: Path, graph: str, **more: Any) -> tuple[ComparisonRequest, Any]:
    source, data = write_study(folder, graph)
    request = ComparisonRequest(source, data, "both", "fusion.sum", folds=3, baselines=False,
                      settings={"epochs": 1, "hold_out": 0}, **more)
    return request, request.plan(discover())


def test_the_forecast_counts_what_is_shared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request, plan = planned(tmp_path, GRAPH.replace("hidden: [11]}}", "hidden: [11]}, freeze: true}"))
    units = units_of(plan, request.cohorts(plan))
    trainer = SharedTrainer(plan, "batches", Console(silent=True))
    monkeypatch.setattr(forecasting, "step_seconds", lambda *_: 5.0)
    monkeypatch.setattr(forecasting, "_EACH_SECONDS", 0.5)
    monkeypatch.setattr(forecasting._Measured, "seconds_of", lambda *_: 3.0)
    monkeypatch.setattr(forecasting, "_read", lambda cases, count: (forecasting.collate([cases[0]] * count), 1.0))
    found = forecast(plan, plan.cohort, units, tmp_path / "data.yaml", trainer, reuse="batches", tuning=None)
    batches = -(-len(units[0].train) // 16)
    assert found.seconds == {SHARED: batches * ((3 + 1) + 2 * (5 - 3)) + 2 * 0.5}
    assert (found.splits, found.rows) == (3, 2)
    alone = forecast(plan, plan.cohort, units, tmp_path / "data.yaml", trainer, reuse="batches",
                     tuning=Tuning(4, inner=2))
    assert alone.seconds == dict.fromkeys(("fusion.concat", "fusion.sum"), batches * (1 + 8 / 2) * 6 + 9 * 0.5)
    assert alone.disk == found.disk > 0
    assert not is_worth_it(plan, units, None)
    monkeypatch.setattr(forecasting, "_WORTH_SECONDS", 1e-3)
    assert is_worth_it(plan, units, None)


def test_the_trials_of_scikit_learn_are_forecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request, plan = planned(tmp_path, GRAPH)
    units = units_of(plan, request.cohorts(plan))
    monkeypatch.setattr(forecasting, "step_seconds", lambda *_: 5.0)
    times = iter([9.0] * 6 + [0.5] * 6)  # the first fit of each model imports
    fit = simple_rows.baselines.fit_baselines
    monkeypatch.setattr(simple_rows.baselines, "fit_baselines", lambda *given, **more: {
        name: (replace(rows[0], seconds=next(times)),) for name, rows in fit(*given, **more).items()})
    trainer = SharedTrainer(plan, "nothing", Console(silent=True))

    def found(**more: Any) -> Forecast:
        return forecast(plan, plan.cohort, units, tmp_path / "data.yaml", trainer, reuse="nothing", **more)

    assert found(tuning=None).tables == 0
    tuned = found(tuning=Tuning(4, inner=2), tables=True)
    assert tuned.tables == 6 * 0.5 * (1 + 8 / 2), "two models of each table and of both, as many trainings as a network"
    assert f"scikit-learn's rows take about {tuned.tables * 3:.0f} s more" in tuned.lines(2)[2]
    needs = (tuned.total(2, 1) + tuned.tables) / 0.95
    check_fits(needs + 1, tuned, 2, 0.0)
    with pytest.raises(UserError, match="too small"):
        check_fits(needs - 1, tuned, 2, 0.0)


def test_a_turn_leaves_time_for_scikit_learn(tmp_path: Path) -> None:
    now = time.time()
    Budget(now, now + 1000, 2, {}, tables=100.0).write(tmp_path)
    turns = Turns(tmp_path)
    assert turns.admits(0, lambda _: 0.0) and turns.admits(1, lambda _: 700.0)
    assert not turns.admits(2, lambda _: 700.0), "the rows of three folds take 300 s after it"


def test_a_turn_is_begun_if_it_fits_and_never_after_one_that_did_not(tmp_path: Path) -> None:
    now = time.time()
    Budget(now, now + 1000, 2, {}).write(tmp_path)
    turns = Turns(tmp_path)
    assert turns.admits(0, lambda _: 9999.0), "the first one was held against the forecast before"
    assert turns.admits(1, lambda asked: 900.0 if asked == [0, 1] else 0.0)
    assert not turns.admits(2, lambda _: 960.0), "5 % are kept"
    assert not turns.admits(2, lambda _: 0.0) and turns.admits(1, lambda _: 9999.0)
    assert turns.ended and list(turns.done([0, 1, 2, 3])) == [0, 1]
    assert Turns(tmp_path / "other").admits(7, lambda _: 9999.0)


def test_what_is_expected_is_what_the_folds_before_took(tmp_path: Path) -> None:
    request, plan = planned(tmp_path, GRAPH)
    folder = tmp_path / "found"
    Budget(time.time(), time.time() + 100, 2, {"fusion.concat": 4.0, "fusion.sum": 6.0}).write(folder / JOBS)
    worker = Worker(plan, request.cohorts(plan), folder, Path(request.data), running._Here(Console(silent=True)))
    assert worker._expected([0]) == 6.0 and worker._expected([0, 1]) == 10.0
    worker.claims.settle("train-repeat-1-fold-0-fusion.concat", Settled(seconds=12.0))
    assert worker._expected([0, 1]) == pytest.approx((6 * 3 + 12 + 6 * 3) / 2), "three times as slow as expected"


def test_whole_folds_are_run_and_the_others_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path)
    command = ["compare", str(tmp_path / "graph.yaml"), str(tmp_path / "data.yaml"), "--node", "both", "--with",
               "fusion.sum", "--folds", "3", "--epochs", "1", "--hold-out", "0", "--no-baselines", "-o",
               str(tmp_path / "found")]
    assert main([*command, "--budget", "1s"]) == 2
    assert "a budget of 1 s is too small for one fold of 2 networks" in capsys.readouterr().err
    monkeypatch.setattr(work.Worker, "_expected", lambda self, turns: 0.0 if len(turns) < 3 else 1e9)
    assert main([*command, "--budget", "1h"]) == 0
    said = capsys.readouterr().out
    assert "A fold is begun only if" in said and "until the report was written." in said
    assert "Not run: 1 of 3 splits, for any network (repeat 1 fold 3)" in said
    told = json.loads((tmp_path / "found" / "compare.json").read_text())
    assert [unit["fold"] for unit in told["units"]] == [0, 1]
    assert told["time"]["not_run"] == [{"repeat": 1, "fold": 2}] and told["time"]["forecast"]["splits"] == 3
    rows = {row["name"]: row["values"] for row in told["heads"]["result"]["rows"]}
    assert {name: len(values) for name, values in rows.items()} == {"fusion.concat": 2, "fusion.sum": 2}
    assert "Not run: 1 of 3 splits" in (tmp_path / "found" / "report.html").read_text()
    assert not (tmp_path / "found" / "runs" / "fusion.sum" / "repeat-1" / "fold-2").exists()

    assert main([*command, "--budget", "1h"]) == 0
    assert "what an earlier call had trained was taken over" in capsys.readouterr().out

    monkeypatch.undo()
    assert main(command) == 0, "without a budget the same folder is completed"
    told = json.loads((tmp_path / "found" / "compare.json").read_text())
    whole = {row["name"]: row["values"] for row in told["heads"]["result"]["rows"]}
    assert {name: values[:2] for name, values in whole.items()} == rows and "time" not in told
    assert len(whole["fusion.sum"]) == 3


def test_the_seeds_of_a_fold_are_one_turn(tmp_path: Path) -> None:
    request, plan = planned(tmp_path, GRAPH, seeds=2)
    units = work.work_units(plan, request.cohorts(plan), frozenset(), seeds=2)
    assert [(unit.turn, unit.repeat, unit.split) for unit in units[:8:2]] == [
        (0, 0, (0,)), (0, 1, (0,)), (1, 0, (1,)), (1, 1, (1,))]
    Budget(0.0, 1.0, 1, {}).write(tmp_path)
    turns = Turns(tmp_path)
    turns.admits(0, lambda _: 0.0)
    assert trained_folds(units, turns) == {0: [0], 1: [0]}
    assert Claims(tmp_path).settled("budget") is None
