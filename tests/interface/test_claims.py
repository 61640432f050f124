"""Claims are run: trainings in their order and once each, the verdict, and what is kept after a kill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_study import without_plots as without_plots
from tiny_study import write_study

from fusionkit.cli.parser import main
from fusionkit.datasets.phantom_files import write_phantom
from fusionkit.registry.lookup import discover

CLAIM = """\
fusionkit-claim: 1
title: a small network on a small table
source: nobody
data: {name: table, source: made here, prepare: a fixture, cases: 5}
tolerance: 0.6
steps:
  base: {graph: graph.yaml, training: {epochs: 1}}
rows:
  whole:
    where: table 1
    graph: graph.yaml
    set: {nodes.told.freeze: true, nodes.told.weights: "{base}#told", nodes.result.with.dropout: 0.0}
    results: {accuracy: %s, auroc: {}}
  again: {where: table 2, like: whole, set: {nodes.told.freeze: false}, results: {result.accuracy: 0.5}}
"""
pytestmark = pytest.mark.usefixtures("without_plots")


def claim(folder: Path, value: float = 0.5) -> tuple[str, str]:
    """A claim beside a study; the paths of claim and data."""
    _, data = write_study(folder)
    (folder / "said.yaml").write_text(CLAIM % value)
    return str(folder / "said.yaml"), data


def test_a_claim_is_run_and_what_it_left_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said, data = claim(tmp_path)
    command = ["claims", "run", said, data, "-o", str(tmp_path / "out")]
    assert main(command) == 0
    told = capsys.readouterr()
    assert "said: reproduced" in told.out
    assert "tested on 6 cases, the publication on 5" in told.err
    found = json.loads((tmp_path / "out" / "claim.json").read_text())
    assert [(each["row"], each["metric"], each["verdict"]) for each in found["findings"]] == [
        ("whole", "accuracy", "reproduced"), ("whole", "auroc", "no published value"),
        ("again", "result.accuracy", "reproduced")]
    lock = (tmp_path / "out" / "whole" / "graph.yaml").read_text()
    assert "base" in lock and "dropout: 0.0" in lock
    weights = tmp_path / "out" / "base" / "model.safetensors"
    written = weights.stat().st_mtime_ns
    assert main(command) == 2  # the folder is not empty
    assert "folder-not-empty" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    assert weights.stat().st_mtime_ns == written
    assert json.loads((tmp_path / "out" / "claim.json").read_text()) == found


def test_a_figure_that_does_not_come_out_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said, data = claim(tmp_path, value=7.0)
    assert main(["claims", "run", said, data, "-o", str(tmp_path / "out"), "--row", "whole", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "not reproduced"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["base", "claim.json", "whole"]


def test_without_data_it_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", "run", "mmcaf-net"]) == 2
    told = capsys.readouterr().out
    assert "data not here" in told
    assert "doi:10.7937/TCIA.2020.NNC2-0461" in told


@pytest.mark.parametrize(("words", "told"), [
    (["run", "mmcaf-nett"], "did you mean 'mmcaf-net'"),
    (["run", "mmcaf-net", "data.yaml", "--row", "pecom"], "did you mean 'pecon'"),
    (["show", "nothing.yaml"], "nothing.yaml"),
])
def test_a_wrong_name_is_told(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", *words]) == 2
    assert told in capsys.readouterr().err


def test_published_claims_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claims", "list"]) == 0
    assert "Lung-PET-CT-Dx" in capsys.readouterr().out
    assert main(["claims", "show", "mmcaf-net"]) == 0
    told = capsys.readouterr().out
    assert "0.648 to 0.886 *" in told  # Wilson's of 34 of 43, which the paper does not print
    assert "mmcaf-net: mmcaf-net, after penet, penet-e3d-msca-dropout" in told


@pytest.mark.slow
def test_the_claim_of_the_synthetic_cohort_runs_on_a_few_cases(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_phantom(tmp_path / "cohort", "additive", cases=24, seed=1, shares=(0.5, 0.25))
    text = discover().claims["phantom-mmcaf"].read_text()
    assert "graph: phantom-mmcaf\n" in text
    said = tmp_path / "said.yaml"
    said.write_text(text.replace("graph: phantom-mmcaf\n", "graph: phantom-mmcaf\n    training: {epochs: 1}\n"))
    command = ["claims", "run", str(said), str(tmp_path / "cohort" / "data.yaml"), "-o", str(tmp_path / "out")]
    assert main(command) in (0, 1)
    found = json.loads((tmp_path / "out" / "claim.json").read_text())
    assert [each["metric"] for each in found["findings"]] == ["auroc", "accuracy"]
    assert all(0 <= each["here"]["value"] <= 1 for each in found["findings"])
    assert "the publication on 800" in capsys.readouterr().err
