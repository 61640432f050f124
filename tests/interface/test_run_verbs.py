"""`train`, `evaluate`, `predict` and `calibrate` in Python do what the commands do, to the bit, in the same words."""

from __future__ import annotations

import csv
import inspect
import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from small_study import description, train, write_files
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.cli.arguments import OF_THE_COMMAND_LINE
from fusionkit.cli.parser import main, parser
from fusionkit.errors import UserError
from fusionkit.interface.train import TrainedRun

GRAPH = {
    "fusionkit": 1, "name": "small",
    "inputs": {"left": {"vector": [2], "optional": True}, "right": {"vector": [1], "optional": True}},
    "nodes": {"one": {"use": "encoder.mlp", "from": "left", "with": {"width": 5, "hidden": [7]}},
              "two": {"use": "encoder.mlp", "from": "right", "with": {"width": 5, "hidden": [7]}},
              "both": {"use": "fusion.mean", "from": ["one", "two"]},
              "result": {"use": "head.classify", "from": "both", "with": {"classes": ["no", "yes"], "dropout": 0.1}},
              "size": {"use": "head.regress", "from": "both", "with": {"values": ["mm"]}}},
    "uncertainty": {"use": "uncertainty.mc_dropout", "with": {"samples": 3}},
}
DATA = description({"left": "{read: columns, numeric: [a, b]}", "right": "{read: columns, numeric: [c]}"},
                   {"result": "result", "size": "size"})
SETTINGS: dict[str, Any] = {"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "threads": 1}
FLAGS = ["--epochs", "3", "--batch-size", "8", "--learning-rate", "0.01", "--threads", "1"]


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but those that hold how long something took."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix not in (".png", ".svg")
            and path.name not in ("history.csv", "state.json")}


@pytest.fixture(scope="module", autouse=True)
def _no_curves() -> Iterator[None]:
    """They take as long as all else here, and have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fusionkit.evaluation.missing_inputs.degradation_figure", lambda found, head: Figure())
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty cases in a table, and a run of them that the command trained."""
    folder = write_files(tmp_path_factory.mktemp("study"), cases(), GRAPH, DATA)
    train(folder, *FLAGS)
    return folder


def cases() -> Iterator[dict[str, object]]:
    rng = np.random.default_rng(5)
    for case in range(60):
        *numbers, size = (f"{value:.3f}" for value in rng.normal(case % 2, 1, 4))
        yield {"id": f"c{case}", **dict(zip("abc", numbers, strict=True)), "result": ["no", "yes"][case % 2],
               "size": size, "split": ["train", "validation", "test"][case // 2 % 3]}


@pytest.fixture(scope="module")
def trained(study: Path) -> TrainedRun:
    """The same run trained in Python, from a dict, without a word."""
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        made = fusionkit.train(GRAPH, study / "data.yaml", output=study / "trained", quiet=True, **SETTINGS)
    assert said.getvalue() == ""
    return made


def test_both_ways_train_the_same_network_to_the_bit(study: Path, trained: TrainedRun) -> None:
    here, there = files(trained.folder), files(study / "run")
    assert {"model.safetensors", "predictions.csv", "metrics.json", "calibration.json", "run.json"} <= set(here)
    assert here == there
    assert trained.rows() == trained.evaluation.rows()
    assert {row["metric"] for row in trained.rows()} >= {"auroc", "accuracy", "mae"}
    assert "<td>AUROC</td>" in trained._repr_html_()


def test_a_training_without_plots_has_all_else(study: Path, trained: TrainedRun,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[object] = []
    monkeypatch.setattr("fusionkit.evaluation.report_files.draw_figures", lambda *given: drawn.append(given) or [])
    assert main(["train", str(study / "graph.yaml"), str(study / "data.yaml"), "-o", str(study / "plain"), *FLAGS,
                 "--no-plots"]) == 0
    assert not drawn
    for name in ("metrics.json", "predictions.csv"):
        assert (study / "plain" / name).read_bytes() == (trained.folder / name).read_bytes()


def test_predictions_are_the_records_of_the_command(study: Path, trained: TrainedRun,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    made = fusionkit.predict(trained, study / "data.yaml", output=study / "predicted.csv", quiet=True)
    assert main(["predict", str(study / "run"), str(study / "data.yaml")]) == 0
    printed = capsys.readouterr().out
    assert (study / "predicted.csv").read_text() == printed
    first, shown = made.rows()[0], next(csv.DictReader(printed.splitlines()))
    assert list(first) == list(shown)
    assert (first["id"], first["result"]) == (shown["id"], shown["result"])
    assert first["result:yes"] == float(shown["result:yes"])
    assert first["size:target"] == float(shown["size:target"])
    assert first["result:set"] == shown["result:set"]
    assert f"<td>{shown['result:yes']}</td>" in made._repr_html_()
    assert made.results["result"].values.shape == (60, 2)


def test_a_calibration_of_other_samples_is_left_out(study: Path, trained: TrainedRun,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    made = fusionkit.predict(trained, study / "data.yaml", samples=5)
    said = capsys.readouterr().err
    assert "the calibration of the run is not used" in said
    assert not any(name.endswith((":set", ":calibrated")) for name in made.rows()[0])
    assert main(["predict", str(study / "run"), str(study / "data.yaml"), "--samples", "5"]) == 0
    there = capsys.readouterr()
    assert "the calibration of the run is not used" in there.err
    assert list(next(csv.reader(there.out.splitlines()))) == list(made.rows()[0])


def test_an_evaluation_is_what_the_command_prints(study: Path, trained: TrainedRun,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    made = fusionkit.evaluate(trained, missing=True, output=study / "evaluated", quiet=True)
    assert main(["evaluate", str(study / "run"), "--missing", "-o", str(study / "evaluated-there"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {**made.as_json(), "folder": ""} == {**printed, "folder": ""}
    auroc = next(row for row in made.rows() if row["metric"] == "auroc")
    assert auroc == {"head": "result", "metric": "auroc", **printed["heads"]["result"]["metrics"]["auroc"]}
    assert {tuple(row["inputs"]) for row in made.missing_rows()} == {("left", "right"), ("left",), ("right",)}
    assert made._repr_html_().count("<table>") == 4


def test_groups_are_compared_and_written(study: Path, trained: TrainedRun, capsys: pytest.CaptureFixture[str]) -> None:
    made = fusionkit.evaluate(trained, by="a:1", output=study / "by", quiet=True)
    assert main(["evaluate", str(study / "run"), "--by", "a:1", "-o", str(study / "by-there"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["subgroups"] == made.as_json()["subgroups"]
    groups = printed["subgroups"]["a"]["result"]["groups"]
    assert [group["group"] for group in groups] == ["< 1", ">= 1"]
    assert sum(group["cases"] for group in groups) == printed["heads"]["result"]["counts"]["cases"]
    rows = list(csv.DictReader((study / "by" / "subgroups.csv").read_text().splitlines()))
    assert {row["group"] for row in rows} == {"< 1", ">= 1"}
    assert main(["evaluate", str(study / "run"), "--by", "b0"]) == 2
    assert "has no column 'b0'" in capsys.readouterr().err
    assert main(["evaluate", str(study / "run"), "--metric", "brier,harrell"]) == 2
    assert "no head has the metric 'harrell' [unknown-metric]" in capsys.readouterr().err


def test_a_calibration_is_what_the_command_keeps(study: Path, trained: TrainedRun) -> None:
    made = fusionkit.calibrate(trained, alpha=0.2, quiet=True)
    assert main(["calibrate", str(study / "run"), "--alpha", "0.2"]) == 0
    assert files(study / "trained")["calibration.json"] == files(study / "run")["calibration.json"]
    assert [row["head"] for row in made.rows()] == ["result", "size"]
    assert made.rows()[0]["cases"] == 20
    assert "<th>temperature</th>" in made._repr_html_()


WRONG: list[tuple[str, dict[str, Any], list[str]]] = [
    ("train", {"data": "nothing.yaml"}, ["GRAPH", "nothing.yaml"]),
    ("train", {"data": "DATA", "epochs": 0, "momentum": 2.0}, ["GRAPH", "DATA", "--epochs", "0", "--momentum", "2"]),
    ("train", {"data": "DATA", "output": "."}, ["GRAPH", "DATA", "-o", "."]),
    ("predict", {"data": "DATA", "uncertainty": "fusion.gmu"}, ["RUN", "DATA", "--uncertainty", "fusion.gmu"]),
    ("predict", {"data": "DATA", "memory": -1}, ["RUN", "DATA", "--memory", "-1"]),
    ("evaluate", {"uncertainty": "uncertainty.deep_ensemble"}, ["RUN", "--uncertainty", "uncertainty.deep_ensemble"]),
    ("calibrate", {"alpha": 2.0}, ["RUN", "--alpha", "2"]),
]


@pytest.mark.parametrize("verb, keywords, arguments", WRONG, ids=[" ".join(map(str, case[2])) for case in WRONG])
def test_an_error_has_the_text_of_the_command(
    study: Path, verb: str, keywords: dict[str, Any], arguments: list[str], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(study)
    paths = {"GRAPH": "graph.yaml", "DATA": "data.yaml", "RUN": "run"}
    with pytest.raises(UserError) as caught:
        getattr(fusionkit, verb)(paths["GRAPH" if verb == "train" else "RUN"], quiet=True,
                                 **{name: paths.get(str(value), value) for name, value in keywords.items()})
    assert main([verb, *(paths.get(word, word) for word in arguments)]) == 2
    assert capsys.readouterr().err == f"{caught.value}\n"


def test_a_misspelt_setting_and_an_unknown_device_are_refused(study: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'epochs'"):
        fusionkit.train(study / "graph.yaml", study / "data.yaml", output=tmp_path / "run", quiet=True, epoch=3)
    with pytest.raises(UserError, match="--device cannot be 'gpu'"):
        fusionkit.predict(study / "run", study / "data.yaml", device="gpu", quiet=True)
    with pytest.raises(TypeError, match=r"^predict\(\) got an unexpected keyword argument 'devise'$"):
        fusionkit.predict(study / "run", study / "data.yaml", devise="cpu")


@pytest.mark.parametrize("verb", ["check", "inspect", "build", "train", "predict", "evaluate", "calibrate", "explain",
                                  "compare"])
def test_every_option_of_a_command_is_a_keyword_of_its_function(verb: str) -> None:
    """`--resolved` of check chooses what is printed: in Python it is a property of what `check` gives."""
    command = parser([verb])._subparsers._group_actions[0].choices[verb]
    options = {action.dest: action.default for action in command._actions if action.option_strings}
    known = inspect.signature(getattr(import_module(f"fusionkit.interface.{verb}"), verb)).parameters
    asked = options.keys() - OF_THE_COMMAND_LINE - {"help"} - ({"resolved"} if verb == "check" else set())
    assert asked <= known.keys()
    assert all(known[name].kind is inspect.Parameter.KEYWORD_ONLY for name in asked)
    free = {name for name in asked if known[name].default is not inspect.Parameter.empty}
    assert asked - free == {action.dest for action in command._actions if action.option_strings and action.required}
    assert {name: known[name].default or None for name in free} == {name: options[name] or None for name in free}
