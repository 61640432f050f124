"""The packages in `examples/`, as a stranger would publish them: installed, tested, and used by the real commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fresh_python import Environment
from small_study import GRAPH, read_table, write_study

EXAMPLES = Path(__file__).parents[2] / "examples"
LONGEST = 100
"""Lines of code, without tests, that an example may have."""

# Over ten seconds each: every command is a process of its own.
pytestmark = pytest.mark.slow


def code_of(folder: Path) -> list[str]:
    package = folder / folder.name.replace("-", "_")
    return [line for path in package.rglob("*.py") for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("folder", sorted(EXAMPLES.iterdir()), ids=lambda folder: folder.name)
def test_an_example_is_a_package_that_passes_its_own_tests(folder: Path, tmp_path: Path) -> None:
    assert {"pyproject.toml", "README.md", "LICENSE", "tests"} <= {path.name for path in folder.iterdir()}
    assert len(code_of(folder)) <= LONGEST
    environment = Environment(tmp_path)
    environment.install(shutil.copytree(folder, tmp_path / folder.name))
    # Its own tests do what `fusionkit plugins check` does.
    tests = "".join(path.read_text(encoding="utf-8") for path in (folder / "tests").glob("test_*.py"))
    assert "checks_of(" in tests and "check_package(" in tests
    environment.run("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", f"--rootdir={folder.name}",
                    f"{folder.name}/tests")


def test_a_metric_of_a_package_is_in_every_command(tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    environment.install(shutil.copytree(EXAMPLES / "fusionkit-brier-skill", tmp_path / "fusionkit-brier-skill"))
    write_study(tmp_path, GRAPH)
    trained = ("--device", "cpu", "--threads", "1")
    _, told, compared = environment.commands(
        ("train", "graph.yaml", "data.yaml", "-o", "run", "--monitor", "brier_skill", "--hold-out", "0.3", *trained),
        ("evaluate", "run"),
        ("compare", "graph.yaml", "data.yaml", "--node", "both", "--with", "fusion.mean", "--metric", "brier_skill",
         "--no-baselines", "-o", "compared", *trained))
    history = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert "validation_brier_skill_result" in history[0].split(",")
    skill = told["heads"]["result"]["metrics"]["brier_skill"]
    assert skill["low"] < skill["value"] < skill["high"]
    head = compared["heads"]["result"]
    assert (head["metric"], head["lower_is_better"]) == ("brier_skill", False)
    assert all(row["low"] is not None for row in head["rows"])
    assert head["rows"][0]["value"] >= head["rows"][1]["value"]


def test_a_reader_of_a_package_reads_in_every_command(tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    environment.install(shutil.copytree(EXAMPLES / "fusionkit-nrrd", tmp_path / "fusionkit-nrrd"))
    environment.run("-c", WRITE_SCANS)
    (tmp_path / "data.yaml").write_text(SCANS)
    (tmp_path / "graph.yaml").write_text(GRAPH_OF_SCANS)
    listed, _, told = environment.commands(
        ("plugins", "list", "--kind", "reader"),
        ("train", "graph.yaml", "data.yaml", "-o", "run", "--epochs", "1", "--hold-out", "0", "--device", "cpu",
         "--threads", "1"),
        ("evaluate", "run"))
    assert "reader.itk" in {entry["id"] for entry in listed["components"]}
    assert told["heads"]["kind"]["counts"]["cases"] == 4
    (tmp_path / "scans" / "c5.nrrd").write_text("NRRD0004")
    failed = environment.refused("evaluate", "run")
    assert failed["diagnostics"][0]["code"] == "not-nrrd"


WRITE_SCANS = """
import numpy as np, SimpleITK as sitk
from pathlib import Path
Path("scans").mkdir()
rows = ["id,part,kind"]
for case in range(12):
    sitk.WriteImage(sitk.GetImageFromArray(np.random.default_rng(case).normal(case % 2, 1, (3, 5, 7))),
                    f"scans/c{case}.nrrd")
    rows.append(f"c{case},{'train' if case < 8 else 'test'},{'ab'[case % 2]}")
Path("cases.csv").write_text("\\n".join(rows) + "\\n")
"""
SCANS = """\
fusionkit-data: 1
cases: cases.csv
id: id
split: {column: part}
inputs:
  scan: {read: itk, path: "scans/{id}.nrrd"}
targets:
  kind: {column: kind}
"""
GRAPH_OF_SCANS = """\
fusionkit: 1
name: scans
inputs:
  scan: {volume: [1, 3, 5, 7]}
nodes:
  seen: {use: encoder.conv, from: scan, with: {widths: [3], output: pooled}}
  kind: {use: head.classify, from: seen, with: {classes: [a, b]}}
"""


def test_an_explanation_of_a_package_runs_beside_the_bundled_ones(tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    environment.install(shutil.copytree(EXAMPLES / "fusionkit-ig", tmp_path / "fusionkit-ig"))
    write_study(tmp_path, GRAPH)
    _, told = environment.commands(
        ("train", "graph.yaml", "data.yaml", "-o", "run", "--hold-out", "folds", "--device", "cpu", "--threads", "1"),
        ("explain", "run", "--method", "ig{steps: 20}", "shapley", "--case", "c4", "c5"))
    assert told["ig"] and told["shapley"] and "tsne" not in told
    rows = read_table(tmp_path / "run" / "explain" / "ig.csv")
    assert {(row["case"], row["input"]) for row in rows} == {("c4", "lab"), ("c4", "scan"), ("c5", "lab")}
    lab = [row for row in rows if (row["case"], row["input"]) == ("c4", "lab")]
    assert [row["part"] for row in lab] == ["a", "b", "c", "all"]
    assert sum(float(row["adds"]) for row in lab[:3]) == pytest.approx(float(lab[3]["adds"]), abs=1e-4)
