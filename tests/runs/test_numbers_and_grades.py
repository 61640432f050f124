"""A study of an age with a spread, a size with quantiles and a grade, from the table to predictions and calibration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fusionkit_plugins.heads.regress import Regress
from small_study import description, read_table, train, write_files
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.cli.parser import main
from fusionkit.errors import DataError
from fusionkit.evaluation.calibration.spread import coverage_spread

GRAPH = """\
fusionkit: 1
name: numbers
inputs:
  lab: {vector: [2]}
nodes:
  told: {use: encoder.mlp, from: lab, with: {width: 6}}
  age: {use: head.regress, from: told, with: {values: [age], loss: gaussian, standardise: true}}
  size: {use: head.regress, from: told, with: {values: [size], loss: quantile, transform: log, standardise: true}}
  grade: {use: head.ordinal, from: told, with: {grades: [G1, G2, G3], link: coral}}
uncertainty: {use: uncertainty.deep_ensemble, with: {members: 2}}
training: {epochs: 2, hold_out: 0, batch_size: 16, learning_rate: 0.01, threads: 1}
"""
DATA = description({"lab": "{read: columns, numeric: [a, b]}"}, {"age": "age, unit: years", "size": "size",
                                                                 "grade": "grade"}, patient="patient")


def cases() -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(5)
    for case in range(120):
        a, b = rng.normal(size=2)
        yield {"id": f"c{case}", "patient": f"p{case // 2}", "a": f"{a:.3f}", "b": f"{b:.3f}",
               "age": f"{60 + 10 * a + rng.normal():.2f}", "size": f"{np.exp(3 + b / 2):.3f}",
               "grade": f"G{1 + (case + case // 6) % 3}", "split": ["train", "validation", "test"][case // 2 % 3]}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("study"), cases(), GRAPH, DATA)


@pytest.fixture(scope="module")
def run(study: Path) -> Path:
    return train(study)


def metrics(run: Path) -> Any:
    return json.loads((run / "metrics.json").read_text(encoding="utf-8"))["heads"]


def test_predictions_have_what_heads_tell_of_both_networks(run: Path) -> None:
    rows = read_table(run / "predictions.csv")
    assert {"age:sd", "size:q05", "size:q95", "grade:expected", "grade:out_of_order"} <= set(rows[0])
    for row in rows:
        assert float(row["age:sd"]) ** 2 >= float(row["age:variance"]) > 0
        assert 0 < float(row["size:q05"]) < float(row["size:size"]) < float(row["size:q95"])
        assert float(row["size:size:low"]) <= float(row["size:size:high"])


def test_scales_are_those_of_the_training_cases(run: Path, study: Path) -> None:
    rows = [row for row in read_table(study / "cases.csv") if row["split"] == "train"]
    loaded: Any = fusionkit.load(run, network=0)
    head = loaded.head("age")
    assert isinstance(head, Regress)
    ages = np.array([float(row["age"]) for row in rows])
    assert (head.mean.item(), head.sd.item()) == pytest.approx((ages.mean(), ages.std()), rel=1e-5)
    sizes = np.log([float(row["size"]) for row in rows])
    assert loaded.head("size").mean.item() == pytest.approx(sizes.mean(), rel=1e-5)


def test_figures_have_the_unit_and_those_of_distributions(run: Path) -> None:
    found = metrics(run)
    assert found["age"]["unit"] == "years" and "unit" not in found["size"]
    assert {"crps", "interval_coverage", "winkler", "normal_nll", "ccc"} <= set(found["age"]["metrics"])
    assert {"pinball", "winkler"} <= set(found["size"]["metrics"]) and "crps" not in found["size"]["metrics"]
    assert found["grade"]["metrics"]["out_of_order"]["value"] in (0, 1)
    assert found["size"]["trust"]["sets"]["empty"]["value"] == 0


def test_a_calibration_says_how_it_was_made_and_is_used(run: Path, study: Path, capsys: Any) -> None:
    saved = json.loads((run / "calibration.json").read_text(encoding="utf-8"))["heads"]
    assert saved["age"]["intervals"] == ["normalised"] and saved["age"]["reads"] == [["sd"]]
    assert saved["size"]["intervals"] == ["cqr"] and saved["grade"]["sets"] == "runs"
    assert (saved["age"]["cases"], saved["age"]["patients"], saved["age"]["counts"]) == (40, 20, [[20]])
    capsys.readouterr()
    assert main(["calibrate", str(run), "--intervals", "absolute", "--sets", "aps", "--alpha", "0.2"]) == 0
    told = capsys.readouterr().out
    assert "expected coverage" in told and str(coverage_spread(20, 0.2)) in told
    assert "40, of each of 20 patients one" in told
    assert main(["evaluate", str(run), str(study / "data.yaml"), "-o", str(run / "again")]) == 0
    assert "sets: coverage of 'G1'" in capsys.readouterr().out
    kept = json.loads((run / "calibration.json").read_text(encoding="utf-8"))
    assert kept["choices"] == {"alpha": 0.2, "class_conditional": False, "sets": "aps", "intervals": "absolute"}
    rows = read_table(run / "again" / "predictions.csv")
    widths = {round(float(row["age:age:high"]) - float(row["age:age:low"]), 2) for row in rows}
    assert len(widths) <= 2


@pytest.mark.parametrize("option,value", [("sets", "lca"), ("intervals", "crq")])
def test_an_unknown_kind_is_refused(run: Path, option: str, value: str) -> None:
    with pytest.raises(DataError) as caught:
        fusionkit.calibrate(run, **{option: value})
    found = caught.value.diagnostics[0]
    assert found.code == "bad-argument" and value in found.message and found.fix


def test_intervals_that_a_head_cannot_have_are_refused(run: Path) -> None:
    with pytest.raises(fusionkit.errors.UserError) as caught:
        fusionkit.calibrate(run, intervals="cqr")
    assert caught.value.diagnostics[0].code == "interval-not-told"


@pytest.mark.parametrize("column,cell,code", [("grade", "G1", "class-absent"), ("size", "0", "not-positive"),
                                              ("age", "60", "one-value")])
def test_targets_that_cannot_be_learned_are_refused_before_training(tmp_path: Path, column: str, cell: str, code: str
                                                                    ) -> None:
    spoilt = ({**row, column: cell} if row["split"] == "train" else row for row in cases())
    study = write_files(tmp_path, spoilt, GRAPH, DATA)
    with pytest.raises(DataError) as caught:
        fusionkit.train(study / "graph.yaml", study / "data.yaml", out=tmp_path / "run")
    found = [diagnostic for diagnostic in caught.value.diagnostics if diagnostic.code == code]
    assert found and found[0].why and found[0].fix and str(found[0].span).startswith(str(study / "cases.csv"))
