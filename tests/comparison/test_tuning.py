"""Nested tuning: what is drawn, what trials see, how a search goes on, and what the report tells of it."""

from __future__ import annotations

import json
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_study import GRAPH, write_study
from small_study import without_plots as without_plots

from fusionkit.cli.parser import main
from fusionkit.comparison import tuning
from fusionkit.comparison.candidates import plan_comparison
from fusionkit.comparison.outlook import stability_table
from fusionkit.comparison.search_space import drawn, plan_with, space_of
from fusionkit.components.search import Search
from fusionkit.registry.lookup import discover
from fusionkit.syntax.reader import read
from fusionkit.syntax.tree import to_plain
from fusionkit.training.loop import fit
from fusionkit.training.signals import Interrupted


def arguments(folder: Path, output: str, *more: str) -> list[str]:
    return ["compare", str(folder / "graph.yaml"), str(folder / "data.yaml"), "--node", "both", "--with", "fusion.sum",
            "--folds", "2", "--epochs", "1", "--no-baselines", "--tune", "3", *more, "-o", str(folder / output)]


def told_of(folder: Path, output: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / output / "compare.json").read_text())
    return found


def test_a_name_is_drawn_by_itself() -> None:
    rate, width = Search(low=1e-4, high=1e-2, log=True), Search((3, 5, 7))
    one = drawn({"training.learning_rate": rate}, (0, 1, 2, 3))
    assert drawn({"nodes.both.width": width, "training.learning_rate": rate}, (0, 1, 2, 3)).items() >= one.items()
    many = [drawn({"rate": rate, "width": width}, (0, 0, 0, trial)) for trial in range(60)]
    rates = np.array([each["rate"] for each in many])
    assert rates.min() >= 1e-4 and rates.max() <= 1e-2 and len(set(rates)) == 60
    assert 0.3 < (rates < 1e-3).mean() < 0.7, "half of them below the middle by logarithm"
    assert {each["width"] for each in many} == {3, 5, 7}


@pytest.mark.parametrize("given", [{}, {"low": 2.0, "high": 1.0}, {"low": 0.0, "high": 1.0, "log": True}])
def test_a_range_of_nothing_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"give choices|above 0"):
        Search(**given)


def test_the_space_is_what_learns(tmp_path: Path) -> None:
    graph = GRAPH.replace("from: lab, with: {width: 7, hidden: [11]}}", "from: lab, with: {width: 7}, freeze: true}")
    graph = graph.replace("{use: fusion.concat, from: [told, seen], with: {availability: true}}",
                          "{use: fusion.gmu, from: [told, seen]}")
    paths = write_study(tmp_path, graph)
    made = plan_comparison(paths[0], paths[1], (), "both", "fusion.sum", registry=discover(), flags={}, singles=False)
    plan = made.reference.plan
    space = space_of(plan)
    assert set(space) == {"training.learning_rate", "training.weight_decay", "nodes.seen.dropout", "nodes.both.width",
                          "nodes.result.dropout"}
    changed = plan_with(plan, {"nodes.both.width": 16, "nodes.seen.dropout": 0.3}, made.cohort, discover())
    assert changed.node("both").features[0].shape.width == 16
    assert changed.node("seen").lanes[0].calls[0].config.model_dump()["dropout"] == 0.3
    assert plan_with(plan, {"training.learning_rate": 0.1}, made.cohort, discover()) is plan


def test_trials_see_training_cases_only_and_a_stopped_search_goes_on(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path)
    seen: list[tuple[str, frozenset[int]]] = []
    stop_at = 5

    def watched(model: Any, learned: Any, judged: Any, settings: Any, folder: Path, **more: Any) -> Any:
        if len(seen) == stop_at:
            raise Interrupted("stopped by Ctrl-C in epoch 1; the state is in 'last'")
        assert not set(learned.rows) & set(judged.rows)
        seen.append((str(folder.relative_to(tmp_path)), frozenset(learned.rows) | frozenset(judged.rows)))
        return fit(model, learned, judged, settings, folder, **more)

    monkeypatch.setattr(tuning, "fit", watched)
    assert main(arguments(tmp_path, "stopped")) == 1
    assert "run the same command to continue" in capsys.readouterr().err
    stop_at = -1
    assert main(arguments(tmp_path, "stopped")) == 0
    assert len(seen) == len({place for place, _ in seen}) == 2 * 2 * 3, "no trial was repeated"
    for place, rows in seen:
        name, fold = Path(place).parts[2], Path(place).parts[5]
        run = json.loads((tmp_path / "stopped" / "runs" / name / "repeat-1" / fold / "run.json").read_text())
        assert not {f"c{row}" for row in rows} & set(run["test"])
    assert not list((tmp_path / "stopped").rglob("trial-*"))

    monkeypatch.setattr(tuning, "fit", fit)
    assert main(arguments(tmp_path, "whole")) == 0
    one, other = told_of(tmp_path, "stopped"), told_of(tmp_path, "whole")
    values = [{row["name"]: row["values"] for row in told["heads"]["result"]["rows"]} for told in (one, other)]
    assert values[0] == values[1]
    for name, records in one["tuning"].items():
        assert [each["fold"] for each in records] == [0, 1]
        for fold, each in enumerate(records):
            assert (each["trials"], each["failed"]) == (3, [])
            assert each["score"] >= each["default_score"]
            graph = tmp_path / "stopped" / "runs" / name.replace(" ", "-") / "repeat-1" / f"fold-{fold}" / "graph.yaml"
            rate = each["values"].get("training.learning_rate", 0.01)
            assert to_plain(read(graph.read_text(), "graph"))["training"]["learning_rate"] == rate
    page = (tmp_path / "stopped" / "report.html").read_text()
    assert "What was chosen in each fold" in page and "the same number of trials" in page
    assert main(arguments(tmp_path, "whole", "--inner", "2")) == 2
    assert "the tuning differs" in capsys.readouterr().err


def test_the_report_tells_how_stable_each_setting_was() -> None:
    def of(**values: Any) -> dict[str, Any]:
        return {"values": {f"training.{name}": value for name, value in values.items()}}

    names, rows = stability_table({
        "tuned": [of(rate=0.01234, width=8), of(rate=0.002, width=8), of(), of(rate=0.5, width=16)],
        "left": [of(), of()], "once": [of(rate=0.1)]})
    assert rows == [["tuned", "training.rate", "another in each of 4", "0.002 to 0.5", "1"],
                    ["tuned", "training.width", "8, in 2 of 4", "8 to 16", "1"]]
    assert len(names) == 5


def test_a_trial_that_fails_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_study(tmp_path)

    def failing(model: Any, learned: Any, judged: Any, settings: Any, folder: Path, **more: Any) -> Any:
        if "trial-1" in folder.parts:
            raise tuning.RunError("the loss is NaN")
        return fit(model, learned, judged, settings, folder, **more)

    monkeypatch.setattr(tuning, "fit", failing)
    assert main(arguments(tmp_path, "found", "--inner", "2")) == 0
    for records in told_of(tmp_path, "found")["tuning"].values():
        for each in records:
            assert each["failed"] == [{"trial": 1, "why": "the loss is NaN"}]
            assert each["chosen"] != 1 and len(each["epochs"]) == 2


def test_what_cannot_be_tuned_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path)
    for more, says in ((["--tune", "0"], "--tune cannot be 0"), (["--inner", "1"], "--inner cannot be '1'")):
        assert main(arguments(tmp_path, "found", *more)) == 2
        assert says in capsys.readouterr().err
    found = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name, *more: None if name == "optuna" else found(name, *more))
    assert main(arguments(tmp_path, "found")) == 2
    assert 'pip install "fusionkit[tune]"' in capsys.readouterr().err
