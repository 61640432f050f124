"""`fusionkit explain` on a small trained run: images with a bright corner and a table, two heads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from small_study import description, train, write_files
from small_study import read_table as table
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.cli.parser import main
from fusionkit.errors import UserError
from fusionkit.evaluation.plots import style

CASES, TEST = 36, 14
GRAPH = """\
fusionkit: 1
name: corners
inputs:
  scan: {image: [1, 16, 24]}
  sheet: {vector: [2]}
nodes:
  seen: {use: encoder.conv, from: scan, with: {widths: [4, 8], blocks: 0, norm: group, output: map}}
  small: {use: encoder.pool, from: seen}
  read: {use: encoder.mlp, from: sheet, with: {width: 8}}
  joined: {use: fusion.gmu, from: [small, read], with: {width: 6}}
  kind: {use: head.classify, from: joined, with: {classes: [dark, bright]}}
  size: {use: head.regress, from: joined, with: {values: [length]}, loss: 0.1}
training: {epochs: 25, hold_out: 0, batch_size: 11, learning_rate: 0.03, schedule: constant}
"""
DATA = description({"scan": '{read: numpy, path: "{case}.npy"}', "sheet": "{read: columns, numeric: [one, two]}"},
                   {"kind": "kind", "size": "size"}, id_column="case")

STRICT = '''\
"""Difference of two vectors, which must both be there."""

from torch import Tensor, nn

from fusionkit.api import Config, Fusion, TensorShape


class NoConfig(Config):
    """No options."""


class Difference(nn.Module):
    """Two vectors (B, w) to one."""

    def __init__(self, config: NoConfig, inputs: list[TensorShape]) -> None:
        super().__init__()

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """The difference."""
        return left - right


component = Fusion("strict_difference", NoConfig, Difference, rule="left: B w, right: B w -> B w")
'''


@pytest.fixture
def unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made and not painted, which takes most of the time: `told` has painted one of each kind."""
    def save(figure: Figure, stem: Path, kinds: Sequence[str]) -> list[Path]:
        written = [stem.with_name(stem.name + kind) for kind in kinds]
        for path in written:
            path.touch()
        return written

    monkeypatch.setattr(style, "save", save)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    return write_files(folder, cases(folder), GRAPH, DATA)


def cases(folder: Path) -> Iterator[dict[str, object]]:
    generator = np.random.default_rng(0)
    for case in range(CASES):
        bright = case % 2
        image = generator.normal(size=(1, 16, 24)).astype(np.float32) * 0.3
        image[0, :6, 16:] += 2 * bright
        np.save(folder / f"P{case}.npy", image)
        one, two = generator.normal(size=2)
        yield {"case": f"P{case}", "split": "train" if case < CASES - TEST else "test", "one": one, "two": two,
               "kind": ["dark", "bright"][bright], "size": one + bright}


@pytest.fixture(scope="module")
def run(study: Path) -> Path:
    return train(study)


@pytest.fixture(scope="module")
def told(run: Path) -> Any:
    """Takes over ten seconds: every picture is painted, once for all tests of this file."""
    assert main(["explain", str(run)]) == 0
    return json.loads((run / "explain" / "explain.json").read_text())


def test_everything_is_written_and_listed(run: Path, told: Any) -> None:
    folder = run / "explain"
    assert {path.name for path in folder.iterdir()} == {*told["files"], "explain.json"}
    for name in told["files"]:
        if name.endswith(".png"):
            with Image.open(folder / name) as picture:
                assert min(picture.size) > 300
    for entry in told["gradcam"]:
        with np.load(folder / entry["heat"], allow_pickle=False) as found:
            heat = found["values"]
        assert heat.dtype == np.uint8 and heat[tuple(entry["at"])] == heat.max() == (255 if entry["peak"] else 0)
    assert told["tested"] == TEST
    assert told["notes"] == []


def test_it_picks_cases_and_says_why(told: Any) -> None:
    whys = {(item["head"], item["why"]) for item in told["cases"]}
    assert {("kind", "most confident, correct"), ("size", "smallest error"), ("size", "largest error")} <= whys
    chosen = {(item["case"], item["head"]) for item in told["cases"]}
    assert {(item["case"], item["head"]) for item in told["gradcam"]} == chosen
    assert all(item["module"] == "seen" and item["input"] == "scan" for item in told["gradcam"])


@pytest.mark.usefixtures("unpainted")
def test_a_class_that_is_named_is_explained_of_every_case(run: Path, tmp_path: Path) -> None:
    assert main(["explain", str(run), "--case", "P34", "P35", "--class", "bright", "-o", str(tmp_path)]) == 0
    told = json.loads((tmp_path / "explain.json").read_text())
    assert [(item["case"], item["explained"]) for item in told["gradcam"]] == [("P34", "bright"), ("P35", "bright")]
    assert [(group["name"], group["cases"]) for group in told["shapley"][0]["groups"]] == [("bright", TEST)]
    assert [item["head"] for item in told["tsne"]] == ["kind"], "the other head has no such class"


def test_shapley_values_add_up_and_have_means(run: Path, told: Any) -> None:
    kind, size = told["shapley"]
    assert (kind["nothing"], size["nothing"]) == ("training", "training")
    rows = table(run / "explain" / kind["table"])
    assert len(rows) == TEST * 2
    for row in [*rows, *table(run / "explain" / size["table"])]:
        whole = float(row["nothing"]) + float(row["scan"]) + float(row["sheet"])
        assert float(row["all"]) == pytest.approx(whole, abs=1e-5)
    predictions = {row["id"]: row for row in table(run / "predictions.csv")}
    for row in rows:
        assert float(row["nothing"]) == pytest.approx(0.5, abs=1e-9)
        assert float(row["all"]) == pytest.approx(float(predictions[row["id"]][f"kind:{row['class']}"]), abs=1e-4)
    trained = [float(row["size"]) for row in table(run.parent / "cases.csv") if row["split"] == "train"]
    assert float(table(run / "explain" / size["table"])[0]["nothing"]) == pytest.approx(np.mean(trained), abs=1e-4)
    groups = {group["name"]: group for group in kind["groups"]}
    assert groups["all cases"]["cases"] == TEST
    whole = groups["all cases"]["inputs"]["scan"]["mean_absolute"]
    assert whole["low"] <= whole["value"] <= whole["high"]


def test_gates_are_told_for_every_case(run: Path, told: Any) -> None:
    (gates,) = told["gates"]
    rows = table(run / "explain" / gates["table"])
    assert len(rows) == TEST
    assert all(float(row["small"]) + float(row["read"]) == pytest.approx(1, abs=1e-5) for row in rows)
    mean = np.mean([float(row["small"]) for row in rows])
    assert gates["mean"]["small"]["value"] == pytest.approx(mean, abs=1e-5)


def test_coordinates_are_of_the_test_cases(run: Path, told: Any) -> None:
    kind, size = told["tsne"]
    assert (kind["node"], kind["perplexity"]) == ("joined", pytest.approx((TEST - 1) / 3, abs=1e-4))
    rows = table(run / "explain" / kind["table"])
    assert [row["id"] for row in rows] == [f"P{case}" for case in range(CASES - TEST, CASES)]
    assert {row["class"] for row in rows} == {"dark", "bright"}
    assert all(np.isfinite(float(row["x"])) for row in table(run / "explain" / size["table"]))


@pytest.mark.usefixtures("unpainted")
def test_what_is_asked_for_is_done_and_printed_as_json(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["explain", str(run), "--json", "--head", "kind", "--node", "read", "--case", "P1", "P30", "--at",
                 "seen.stem", "-o", str(tmp_path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["folder"] == str(tmp_path)
    assert [item["case"] for item in told["gradcam"]] == ["P1", "P30"]
    assert {item["module"] for item in told["gradcam"]} == {"seen.stem"}
    assert [item["node"] for item in told["tsne"]] == ["read"]
    assert [item["head"] for item in told["shapley"]] == ["kind"]
    assert told["tsne"][0]["cases"] == TEST
    assert len(table(tmp_path / told["gates"][0]["table"])) == TEST + 1


@pytest.mark.usefixtures("unpainted")
def test_other_data_need_no_targets(run: Path, study: Path, tmp_path: Path) -> None:
    other = study / "few.yaml"
    other.write_text(DATA.replace("cases.csv", "few.csv").replace("split: {column: split}\n", "").partition(
        "targets:")[0])
    (study / "few.csv").write_text("".join((study / "cases.csv").read_text().splitlines(True)[:4]))
    assert main(["explain", str(run), "--data", str(other), "-o", str(tmp_path)]) == 0
    told = json.loads((tmp_path / "explain.json").read_text())
    assert {item["truth"] for item in told["cases"]} == {"not known"}
    assert any("3 cases are too few for a t-SNE picture" in note for note in told["notes"])
    assert len(told["shapley"]) == 2, "the mean of the training cases is read from the run's own data"


@pytest.mark.parametrize(("arguments", "code", "output"), [
    (["--case", "P99x"], "unknown-case", "did you mean"),
    (["--head", "knd"], "unknown-head", "did you mean 'kind'?"),
    (["--class", "brigt"], "unknown-class", "did you mean 'bright'?"),
    (["--class", "dark", "--head", "size"], "unknown-class", "'size' has no class 'dark'"),
    (["--node", "joind"], "unknown-node", "did you mean 'joined'?"),
    (["--at", "smal"], "unknown-node", "did you mean 'small'?"),
    (["--at", "joined"], "no-map", "it gives B 6"),
])
def test_what_is_not_there_is_refused(
    run: Path, arguments: list[str], code: str, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["explain", str(run), *arguments]) == 2
    found = capsys.readouterr().err
    assert f"[{code}]" in found
    assert output in found


def test_all_wrong_names_of_the_network_are_told_at_once(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["explain", str(run), "--json", "--head", "knd", "--at", "sen", "joined", "--node", "redd"]) == 2
    found = json.loads(capsys.readouterr().out)["diagnostics"]
    assert [item["code"] for item in found] == ["unknown-head", "unknown-node", "no-map", "unknown-node"]


def test_missing_packages_are_told_with_their_extra(
    run: Path, tmp_path: Path, unpainted: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from fusionkit.components import requirements

    version = requirements._version
    monkeypatch.setattr(requirements, "_version", lambda name: None if name == "captum" else version(name))
    capsys.readouterr()
    assert main(["explain", str(run)]) == 2
    found = capsys.readouterr().err
    assert "needs captum" in found and 'install "fusionkit[explain]"' in found
    assert main(["explain", str(run), "--method", "gates", "-o", str(tmp_path)]) == 0, "which does not need it"


@pytest.mark.usefixtures("unpainted")
def test_a_fusion_that_needs_all_its_inputs_leaves_out_shapley_values_only(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = study / "strict_difference.py"
    plugin.write_text(STRICT)
    (study / "strict.yaml").write_text(GRAPH.replace(
        "{use: fusion.gmu, from: [small, read], with: {width: 6}}",
        "{use: fusion.strict_difference, from: {left: small, right: read}}"))
    strict = tmp_path / "run"
    assert main(["train", str(study / "strict.yaml"), str(study / "data.yaml"), "-o", str(strict), "--epochs", "1",
                 "--plugin", str(plugin)]) == 0
    capsys.readouterr()
    assert main(["explain", str(strict), "--plugin", str(plugin)]) == 0
    output = capsys.readouterr().err
    told = json.loads((strict / "explain" / "explain.json").read_text())
    assert told["shapley"] == []
    assert told["gradcam"] and told["tsne"]
    assert "no fusion in this network has gates to report" in output
    assert "fusion.strict_difference requires 'small', which may be missing [absent-input]" in output


def test_python_gives_what_the_command_wrote(run: Path, told: Any, unpainted: None, tmp_path: Path,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    made = fusionkit.explain(run, output=tmp_path / "explained", quiet=True)
    assert capsys.readouterr() == ("", "")
    assert made.content == told
    assert made.rows() == told["cases"]
    assert all(path.is_file() for path in made.files)
    assert made._repr_html_().count("<table>") == len(made.tables)
    assert main(["explain", str(run), "--head", "kindd"]) == 2
    with pytest.raises(UserError) as caught:
        fusionkit.explain(run, head="kindd", quiet=True)
    assert capsys.readouterr().err == f"{caught.value}\n"
