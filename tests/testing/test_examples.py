"""The packages in `examples/`, as a stranger would publish them: installed, tested, and used by the real commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fresh_python import Environment
from small_study import GRAPH, write_study

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
    environment.run("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", f"--rootdir={folder.name}",
                    f"{folder.name}/tests")
    told = environment.fusionkit("plugins", "check", folder.name)
    assert told["passed"] and {finding["result"] for finding in told["findings"]} == {"ok"}


def test_a_metric_of_a_package_is_in_every_command(tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    environment.install(shutil.copytree(EXAMPLES / "fusionkit-brier-skill", tmp_path / "fusionkit-brier-skill"))
    write_study(tmp_path, GRAPH)
    trained = ("--device", "cpu", "--threads", "1")
    environment.fusionkit("train", "graph.yaml", "data.yaml", "-o", "run", "--monitor", "brier_skill",
                          "--hold-out", "0.3", *trained)
    history = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert "validation_brier_skill_result" in history[0].split(",")
    told = environment.fusionkit("evaluate", "run")["heads"]["result"]["metrics"]["brier_skill"]
    assert told["low"] < told["value"] < told["high"]
    compared = environment.fusionkit("compare", "graph.yaml", "data.yaml", "--node", "both", "--with", "fusion.mean",
                                     "--metric", "brier_skill", "--no-baselines", "-o", "compared", *trained)
    head = compared["heads"]["result"]
    assert (head["metric"], head["lower_is_better"]) == ("brier_skill", False)
    assert all(row["low"] is not None for row in head["rows"])
    assert head["rows"][0]["value"] >= head["rows"][1]["value"]
