"""Rows of a comparison that differ from others in their modality dropout alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_study import GRAPH, write_study
from small_study import without_plots as without_plots

from fusionkit.cli.parser import main
from fusionkit.comparison import tables
from fusionkit.interface import compare

FROZEN = GRAPH.replace("hidden: [11]}}", "hidden: [11]}, freeze: true}")


def test_every_network_that_can_do_without_an_input_has_one_row_more(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(compare, "_write", tables.write_tables)
    graph, data = write_study(tmp_path, FROZEN)
    typed = ["compare", graph, data, "--node", "both", "--with", "fusion.sum", "--epochs", "1", "--no-baselines",
             "--missing-rates", "0,0.4", "--dropout-rows", "0.25", "-o", str(tmp_path / "found")]
    assert main(typed) == 0
    assert "none for the others" in capsys.readouterr().out
    names = ["fusion.concat", "fusion.sum", "fusion.concat, modality dropout 0.25", "fusion.sum, modality dropout 0.25"]
    told = json.loads((tmp_path / "found" / "compare.json").read_text())
    assert sorted(row["name"] for row in told["heads"]["result"]["rows"]) == sorted(names)
    absent = told["missing"]["heads"]["result"]
    assert [sorted(row["name"] for row in at["rows"]) for at in absent] == [sorted(names)] * 2
    manifest = json.loads((tmp_path / "found" / "comparison.json").read_text())["networks"]
    assert [manifest[name].get("modality_dropout") for name in names] == [None, None, 0.25, 0.25]
    runs = tmp_path / "found" / "runs"
    weights = [(runs / manifest[name]["folder"] / "repeat-1" / "model.safetensors").read_bytes() for name in names]
    assert len(set(weights)) == 4
    assert "modality_dropout: 0.25" in (runs / manifest[names[3]]["folder"] / "repeat-1" / "graph.yaml").read_text()
    assert main(["train", graph, data, "--epochs", "1", "--modality-dropout", "0.25", "-o", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == weights[2], "as if it were trained alone"


def test_rows_that_cannot_be_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph, data = write_study(tmp_path)
    typed = ["compare", graph, data, "--node", "both", "--with", "fusion.sum", "--no-baselines", "-o",
             str(tmp_path / "found"), "--dropout-rows"]
    for more, says in ((["1.5"], "--dropout-rows cannot be 1.5"),
                       (["0.2", "--modality-dropout", "0.1"], "exclude each other")):
        assert main([*typed, *more]) == 2
        assert says in capsys.readouterr().err
    assert not (tmp_path / "found").exists()
