"""Stages without targets: what they learn from, what they leave, and how the training after them starts from it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from jsonschema import Draft202012Validator
from small_study import DATA, GRAPH, read_table, train, without_plots, write_study, write_table

from fusionkit.cli.parser import main
from fusionkit.errors import GraphError, UserError
from fusionkit.interface.check import check
from fusionkit.interface.train import train as run_training
from fusionkit.network.build import build_plan
from fusionkit.network.measure import measure
from fusionkit.network.weights import read_tensors
from fusionkit.planning.json_schema import graph_schema
from fusionkit.registry.lookup import discover
from fusionkit.runs.folder import open_run
from fusionkit.runs.stage import set_up_stage, without_heads
from fusionkit.syntax.reader import read
from fusionkit.syntax.tree import to_plain
from fusionkit.training.settings import TrainingSettings

__all__ = ["without_plots"]
NEAR = "  near: {use: fusion.infonce, from: [told, seen], with: {width: 4}}\n"
STAGED = GRAPH.replace(
    "  both: {use: fusion.concat, from: [told, seen]", f"{NEAR}  both: {{use: fusion.concat, from: near").replace(
    "training: {", "training: {stages: {pretrain: {epochs: 3, learning_rate: 0.02}}, ")
UNLABELLED = DATA[: DATA.index("targets:")]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_study(tmp_path, STAGED)
    (tmp_path / "unlabelled.yaml").write_text(UNLABELLED)
    return tmp_path


def stage(study: Path, *more: str, data: str = "unlabelled.yaml", output: str = "pre") -> int:
    return main(["train", str(study / "graph.yaml"), str(study / data), "-o", str(study / output),
                 "--stage", "pretrain", *more])


def about(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


def test_a_stage_learns_without_targets_from_all_training_cases(study: Path) -> None:
    assert stage(study) == 0
    told, rows = about(study / "pre"), read_table(study / "pre" / "history.csv")
    assert told["stage"] == "pretrain" and not told["test"] and not told["validation"] and len(told["members"]) == 1
    assert set(told["train"]) == {row["id"] for row in read_table(study / "cases.csv") if row["split"] == "train"}
    assert len(rows) == 3 and float(rows[2]["train_loss"]) < float(rows[0]["train_loss"])
    assert rows[0]["train_loss"] == rows[0]["train_loss_near.loss_infonce"] and "train_loss_result" not in rows[0]
    nodes = {name.partition(".")[0] for name in read_tensors(study / "pre" / "model.safetensors")}
    assert nodes == {"told", "seen", "near"}, "what leads to no loss without target is not trained, and not written"
    names = {path.name for path in (study / "pre").iterdir()}
    assert not names & {"predictions.csv", "metrics.json", "calibration.json"}


def test_targets_of_the_data_file_are_not_read(study: Path) -> None:
    """The weights are those without any, though a class is spelt as no head knows it."""
    assert stage(study) == 0
    rows = [{**row, "result": "perhaps"} for row in read_table(study / "cases.csv")]
    write_table(study / "cases.csv", rows)
    assert stage(study, data="data.yaml", output="other") == 0
    first, second = (read_tensors(study / name / "model.safetensors") for name in ("pre", "other"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_training_after_it_starts_from_its_weights(study: Path) -> None:
    """By one graph for both: the stage does not look for the weights that it is to write."""
    text = (study / "graph.yaml").read_text().replace("hidden: [11]}}", "hidden: [11]}, weights: PRE}")
    for name in ("told", "seen"):
        text = text.replace("PRE", f"pre/model.safetensors#{name}", 1)
    (study / "graph.yaml").write_text(text)
    assert stage(study) == 0
    made = build_plan(check(study / "graph.yaml").plan)
    kept = read_tensors(study / "pre" / "model.safetensors")
    assert all(torch.equal(made.state_dict()[name], value) for name, value in kept.items()
               if not name.startswith("near"))
    run = train(study)
    assert about(run)["test"] and "stage" not in about(run)
    assert "stages" not in to_plain(read((run / "graph.yaml").read_text()))["training"]
    assert stage(study, "--resume", "--epochs", "4") == 0
    assert len(read_table(study / "pre" / "history.csv")) == 4


def test_each_fold_has_a_stage_of_its_own(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The training of a fold starts from the stage that has not seen the cases that it tests."""
    for name in ("unlabelled.yaml", "data.yaml"):
        text = (study / name).read_text()
        (study / name).write_text(text.replace("split: {column: split}", "split: {folds: 3, seed: 1}"))
    assert stage(study) == 0
    assert not (study / "pre" / "model.safetensors").exists()
    seen = [set(about(study / "pre" / f"fold-{fold}")["train"]) for fold in range(3)]
    weights = f"nodes.told.weights={study / 'pre' / 'model.safetensors'}#told"
    run = train(study, "--set", weights, "--epochs", "1", "--learning-rate", "1e-12")
    assert "seen-in-stage" not in capsys.readouterr().out
    for fold in range(3):
        assert not seen[fold] & set(about(run / f"fold-{fold}")["test"])
        begun, own = (read_tensors(study / name / f"fold-{fold}" / "model.safetensors") for name in ("pre", "run"))
        torch.testing.assert_close(own["told.layers.0.weight"], begun["told.layers.0.weight"], atol=1e-6, rtol=0)


def test_a_stage_that_has_seen_the_test_cases_is_told(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "all.yaml").write_text(UNLABELLED.replace("split: {column: split}\n", ""))
    assert stage(study, data="all.yaml") == 0
    train(study, "--set", f"nodes.told.weights={study / 'pre' / 'model.safetensors'}#told")
    told = capsys.readouterr().out
    assert "the stage 'pretrain' has seen 22 of the 22 test cases" in told and "[seen-in-stage]" in told


def test_a_resumed_stage_is_the_same(study: Path) -> None:
    assert stage(study, "--epochs", "4", "--schedule", "constant") == 0
    assert stage(study, "--epochs", "2", "--schedule", "constant", output="cut") == 0
    assert stage(study, "--epochs", "4", "--schedule", "constant", "--resume", output="cut") == 0
    first, second = (read_tensors(study / name / "model.safetensors") for name in ("pre", "cut"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_stage_is_resumed_as_a_stage_only(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stage(study, data="data.yaml") == 0
    graph, data, folder = (str(study / name) for name in ("graph.yaml", "data.yaml", "pre"))
    assert main(["train", graph, data, "-o", folder, "--resume"]) == 2
    assert "resume-differs" in capsys.readouterr().err
    with pytest.raises(GraphError, match="holds the stage 'pretrain', which predicts nothing"):
        open_run(study / "pre")


def test_settings_of_the_training_hold_where_they_concern_no_head(study: Path) -> None:
    text = (study / "graph.yaml").read_text().replace("hold_out: 0", "monitor: auroc, balance: classes, hold_out: 0.2")
    (study / "graph.yaml").write_text(text)
    assert stage(study, "--seed", "4") == 0
    kept = to_plain(read((study / "pre" / "graph.yaml").read_text()))["training"]
    assert {key: kept[key] for key in ("stage", "epochs", "learning_rate", "batch_size", "seed", "monitor", "balance",
                                       "hold_out")} == {
        "stage": "pretrain", "epochs": 3, "learning_rate": 0.02, "batch_size": 16, "seed": 4, "monitor": "loss",
        "balance": "none", "hold_out": 0.0}


def test_an_ensemble_has_one_stage_and_a_head_that_others_read_is_a_node(study: Path) -> None:
    text = STAGED.replace("training:", "uncertainty: {use: uncertainty.deep_ensemble, with: {members: 3}}\ntraining:")
    (study / "graph.yaml").write_text(text.replace(
        "  result:", "  by_scan: {use: head.regress, from: seen, with: {values: [z]}}\n"
        "  apart: {use: fusion.orthogonal, from: [by_scan, told]}\n"
        "  second: {use: head.regress, from: apart.told, with: {values: [z]}}\n"
        "  result:").replace("from: seen, with: {values: [z]}", "from: seen, with: {values: [z, y, x, w, v, u, t]}"))
    setup = set_up_stage(study / "graph.yaml", study / "unlabelled.yaml", (), discover(), output=study / "pre")
    assert [node.name for node in setup.plan.nodes] == ["told", "seen", "near", "by_scan", "apart"]
    assert not setup.plan.heads and setup.plan.uncertainty is None
    assert stage(study) == 0 and len(about(study / "pre")["members"]) == 1


@pytest.mark.parametrize(("old", "new", "flags", "words"), [
    ("pretrain: {", "warm: {", (), r"the graph has no stage 'pretrain'.*its stages are warm"),
    ("stages: {pretrain: {epochs: 3, learning_rate: 0.02}}, ", "", (), r"no stage 'pretrain'.*name it in the graph"),
    ("epochs: 3, learning_rate", "monitor: auroc, learning_rate", (), r"'monitor' has no meaning in the stage"),
    ("epochs: 3", "epochs: 3", ("--hold-out", "0.2"), r"--hold-out has no meaning in the stage 'pretrain'"),
    ("epochs: 3", "epochs: many", (), r"option 'epochs' of 'training' cannot be 'many'"),
    ("epochs: 3", "epoch: 3", (), r"'training' has no option 'epoch'.*did you mean 'epochs'"),
    (NEAR, "", (), r"no loss of this network can be computed without targets.*fusion\.infonce"),
])
def test_what_no_stage_can_be_is_refused(old: str, new: str, flags: tuple[str, ...], words: str, study: Path,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    text = STAGED.replace(old, new)
    (study / "graph.yaml").write_text(text.replace("from: near", "from: [told, seen]") if old == NEAR else text)
    assert stage(study, *flags) == 2
    assert re.search(words, capsys.readouterr().err, re.S)
    assert not (study / "pre").exists()


def test_wrong_stages_are_found_by_check_and_by_other_trainings(study: Path) -> None:
    (study / "graph.yaml").write_text(STAGED.replace("learning_rate: 0.02", "learning_rate: fast, patience: 3"))
    for attempt in (lambda: check(study / "graph.yaml"),
                    lambda: run_training(study / "graph.yaml", study / "data.yaml", output=study / "run", quiet=True)):
        with pytest.raises(UserError) as caught:
            attempt()
        assert [found.message for found in caught.value.diagnostics] == [
            "'patience' has no meaning in the stage 'pretrain'",
            "option 'learning_rate' of 'training' cannot be 'fast'"]
        assert all(found.span is not None and found.span.line == 12 for found in caught.value.diagnostics)


def test_the_schema_knows_stages() -> None:
    validator = Draft202012Validator(graph_schema(discover(), TrainingSettings))
    assert validator.is_valid(to_plain(read(STAGED)))
    assert not validator.is_valid(to_plain(read(STAGED.replace("epochs: 3", "epochs: many"))))
    assert not validator.is_valid(to_plain(read(STAGED.replace("{epochs: 3", "{stages: {}, epochs: 3"))))


def test_costs_stay_those_of_the_nodes(study: Path) -> None:
    whole = measure(check(study / "graph.yaml").plan)
    part = without_heads(whole)
    assert part.total.parameters == sum(whole.node(name).cost.parameters for name in ("told", "seen", "near"))
