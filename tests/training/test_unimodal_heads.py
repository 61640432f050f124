"""Heads on each encoder that learn one column of the table: trained, balanced, and told apart, by the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from small_study import description, read_table, train, write_files
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.cli.parser import main
from fusionkit.training.settings import TrainingSettings, read_settings

GRAPH = Path(__file__).parents[2] / "plugins" / "graphs" / "unimodal-losses.yaml"
DATA = description({"ct": '{read: numpy, path: "{ct}"}', "ehr": "{read: columns, numeric: [a, b]}"},
                   {"subtype": "subtype", "from_ct": "subtype", "from_ehr": "subtype"})


@pytest.fixture(name="study")
def _study(tmp_path):
    """The published graph with small inputs, and 18 cases; some lack a scan."""
    graph = yaml.safe_load(GRAPH.read_text(encoding="utf-8"))
    graph["inputs"] = {"ct": {"volume": [1, 4, 8, 8], "optional": True}, "ehr": {"vector": [2]}}
    graph["nodes"]["lungs"]["with"]["widths"] = [4]
    graph["nodes"]["clinic"]["with"] = {"width": 4, "hidden": [5]}
    graph["nodes"]["near"]["with"]["width"] = 3
    graph["training"] |= {"epochs": 2, "batch_size": 6}
    return write_files(tmp_path, cases(tmp_path), yaml.safe_dump(graph), DATA)


def cases(folder):
    draw = np.random.default_rng(0)
    for case in range(18):
        np.save(folder / f"{case}.npy", draw.normal(size=(4, 8, 8)).astype(np.float32)[None])
        kind = ("adenocarcinoma", "squamous")[case % 2]
        yield {"id": case, "split": "validation" if case > 12 else "train", "subtype": kind,
               "ct": "" if case % 5 == 1 else f"{case}.npy", "a": case % 2 + draw.normal(), "b": draw.normal()}


def test_three_heads_learn_one_column(study):
    last = read_table(train(study) / "history.csv")[-1]
    for head in ("subtype", "from_ct", "from_ehr"):
        assert 0 < float(last[f"train_loss_{head}"]) < 5 and 0 <= float(last[f"validation_accuracy_{head}"]) <= 1
    assert float(last["train_loss_near.loss_infonce"]) > 0


def test_a_blank_cell_of_a_shared_column_is_told_once(study, capsys):
    sheet = study / "cases.csv"
    sheet.write_text(sheet.read_text(encoding="utf-8").replace("\n4,train,adenocarcinoma,", "\n4,train,,"), "utf-8")
    assert main(["train", str(study / "graph.yaml"), str(study / "data.yaml"), "-o", str(study / "run")]) == 2
    assert "why: 'subtype' is blank" in capsys.readouterr().err


def test_modulation_without_such_heads_is_a_fault_of_the_user(study, capsys):
    graph = yaml.safe_load((study / "graph.yaml").read_text(encoding="utf-8"))
    del graph["nodes"]["from_ct"]
    (study / "graph.yaml").write_text(yaml.safe_dump(graph), encoding="utf-8")
    data = (study / "data.yaml").read_text(encoding="utf-8").replace("  from_ct: {column: subtype}\n", "")
    (study / "data.yaml").write_text(data, encoding="utf-8")
    assert main(["train", str(study / "graph.yaml"), str(study / "data.yaml"), "-o", str(study / "run")]) == 2
    told = capsys.readouterr().err
    assert "[cannot-modulate]" in told and "only 'from_ehr'" in told and "graph.yaml:" in told
    assert "Traceback" not in told


def test_the_published_graph_holds_what_it_says():
    plan = fusionkit.plan(str(GRAPH))
    assert {head.name: head.weight for head in plan.heads} == {"subtype": 1, "from_ct": 0.3, "from_ehr": 0.3}
    settings = read_settings(plan.graph.training)
    assert settings.method == "ogm{noise: true}" and settings != TrainingSettings()
    model = fusionkit.build(str(GRAPH), seed=1).eval()
    given = {"ct": torch.randn(3, 1, 16, 64, 64), "ehr": torch.randn(3, 7)}
    outputs = model(given, {"ct": torch.tensor([True, False, True]), "ehr": torch.tensor([True, True, True])})
    assert outputs["near.loss_infonce"] > 0 and all(value.isfinite().all() for value in outputs.values())
