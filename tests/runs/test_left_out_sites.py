"""Runs that leave out one site at a time: each site is tested by a network that has not seen it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small_study import read_table, write_files
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.errors import UserError

SITES = ("a", "b", "c")
GRAPH = """\
fusionkit: 1
name: small
inputs: {table: {vector: [2]}}
nodes:
  told: {use: encoder.mlp, from: table, with: {width: 3, hidden: []}}
  result: {use: head.classify, from: told, with: {classes: ["no", "yes"]}}
training: {epochs: 2, batch_size: 16, learning_rate: 0.05, device: cpu, hold_out: 0.2}
"""
DATA = """\
fusionkit-data: 1
cases: cases.csv
id: id
patient: patient
split: {leave_out: site, stratify: result}
inputs: {table: {read: columns, numeric: [a, b]}}
targets: {result: {column: result}}
"""


def cases(count: int = 90) -> Iterator[dict[str, object]]:
    """Pairs of cases of a patient, each patient at one of three sites."""
    rng = np.random.default_rng(11)
    for case in range(count):
        label = case // 2 // 3 % 2
        yield {"id": f"k{case}", "patient": f"p{case // 2}", "site": SITES[case // 2 % 3],
               "a": f"{rng.normal(label):.3f}", "b": f"{rng.normal(-label):.3f}", "result": ("no", "yes")[label]}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_files(tmp_path_factory.mktemp("sites"), cases(), GRAPH, DATA)
    fusionkit.train(folder / "graph.yaml", folder / "data.yaml", output=folder / "run", quiet=True)
    return folder


def test_no_network_is_tested_on_a_site_that_it_has_met(study: Path) -> None:
    site = {row["id"]: row["site"] for row in read_table(study / "cases.csv")}
    for number, name in enumerate(SITES):
        about = json.loads((study / "run" / f"fold-{number}" / "run.json").read_text())
        assert {site[case] for case in about["test"]} == {name}
        assert about["validation"] and name not in {site[case] for part in ("train", "validation")
                                                    for case in about[part]}


def test_a_run_tells_the_metrics_of_each_site_and_their_mean(study: Path) -> None:
    told = json.loads((study / "run" / "sites.json").read_text())["heads"]["result"]
    assert [each["group"] for each in told["sites"]] == [*SITES]
    values = [each["metrics"]["auroc"]["value"] for each in told["sites"]]
    assert told["across"]["auroc"]["mean"] == pytest.approx(np.mean(values), abs=1e-5)
    assert told["across"]["auroc"]["deviation"] == pytest.approx(np.std(values, ddof=1), abs=1e-5)
    assert "fewer than 5 sites" in told["across"]["auroc"]["note"] and "new_site" not in told["across"]["auroc"]
    rows = read_table(study / "run" / "predictions.csv")
    assert {row["left_out"] for row in rows} == {*SITES}
    assert {(row["fold"], row["left_out"]) for row in rows} == {("0", "a"), ("1", "b"), ("2", "c")}
    assert "fold 1 ('b')" in json.loads((study / "run" / "cohort.json").read_text())["parts"]


def test_evaluate_gives_the_same_table_as_training(study: Path) -> None:
    before = (study / "run" / "sites.json").read_text()
    made = fusionkit.evaluate(study / "run", output=study / "again", quiet=True)
    assert (study / "again" / "sites.json").read_text() == before
    table = next(rows for header, rows, _ in made.tables() if "left out" in header)
    assert [row[1] for row in table if row[4] == "AUROC"] == ["site a", "site b", "site c", "mean of 3 sites",
                                                            "all cases pooled"]


def test_a_resumed_run_refuses_a_case_that_moved_to_another_site(study: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(study, tmp_path / "moved"))
    for file in (folder / "run" / "fold-2").rglob("*"):
        if file.is_file():
            file.unlink()
    again = fusionkit.train(folder / "graph.yaml", folder / "data.yaml", output=folder / "run", resume=True, quiet=True)
    assert len(again.evaluation.sites) == 1
    rows = [{**row, "site": "b" if row["patient"] == "p0" else row["site"]} for row in read_table(folder / "cases.csv")]
    write_files(folder, rows, GRAPH, DATA)
    with pytest.raises(UserError, match="2 cases have another value in the column that is left out"):
        fusionkit.train(folder / "graph.yaml", folder / "data.yaml", output=folder / "run", resume=True, quiet=True)


def test_networks_are_compared_on_the_sites_that_none_of_them_has_met(study: Path, tmp_path: Path) -> None:
    two = GRAPH.replace("{table: {vector: [2]}}", "{table: {vector: [1]}, other: {vector: [1]}}").replace(
        "  result: {use: head.classify, from: told", "  more: {use: encoder.mlp, from: other, with: {width: 3}}\n"
        "  both: {use: fusion.concat, from: [told, more]}\n  result: {use: head.classify, from: both")
    data = DATA.replace("{table: {read: columns, numeric: [a, b]}}",
                        "{table: {read: columns, numeric: [a]}, other: {read: columns, numeric: [b]}}")
    write_files(tmp_path, cases(), two, data)
    made = fusionkit.compare(tmp_path / "graph.yaml", tmp_path / "data.yaml", node="both", candidates="fusion.sum",
                             output=tmp_path / "compare", baselines=False, epochs=1, quiet=True)
    told = made.as_json()
    assert [(unit["fold"], unit["left_out"], unit["test"]) for unit in told["units"]] == [
        (0, "a", 30), (1, "b", 30), (2, "c", 30)]
    site = {row["id"]: row["site"] for row in read_table(tmp_path / "cases.csv")}
    abouts = [json.loads(path.read_text()) for path in sorted((tmp_path / "compare" / "runs").rglob("fold-*/run.json"))]
    assert len(abouts) == 6 and all(len({site[case] for case in about["test"]}) == 1 for about in abouts)
    assert all(row["value"] is not None for row in made.rows())


def test_new_cases_are_predicted_by_the_networks_of_all_folds(study: Path) -> None:
    (study / "new.yaml").write_text(DATA.replace("split:", "# split:"))
    made = fusionkit.predict(study / "run", study / "new.yaml", quiet=True)
    assert len(made.rows()) == 90
