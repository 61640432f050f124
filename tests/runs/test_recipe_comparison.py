"""A recipe beside weights is compared with what the data file makes of the cases: each part, and what is not known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from fusionkit_plugins.encoders.resnet3d import ResNet3d, ResNet3dConfig
from fusionkit_plugins.encoders.timm import Timm, TimmConfig
from PIL import Image as Picture
from safetensors.torch import save_file
from small_study import train, write_files
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.cli.parser import main
from fusionkit.data.description import describe
from fusionkit.errors import DataError, Diagnostic, RunError
from fusionkit.runs.recipe_comparison import recipe_findings
from fusionkit.shapes.layouts import Image, Volume

AGREES = {
    "layout": "volume", "channels": ["ct"], "order": "dhw", "orientation": "SPL", "spacing": [3, 1, 1],
    "size": [8, 16, 24], "divisible": 8, "window": [-1000, 400], "scale": [0, 1], "mean": [0.5], "std": [0.25],
    "per_case": "none", "resize": "trilinear", "crop": "none", "pad": -1024}
READ = ("{read: nifti, path: 'ct/{id}.nii.gz', orient: LPS, spacing: [3, 1, 1], size: [8, 16, 24], fit: stretch, "
        "window: [-1000, 400], normalise: {mean: 0.5, sd: 0.25}, pad: -1024}")
NODE = "{use: encoder.resnet3d, from: ct, weights: med/model.safetensors, with: {depth: 10, width: 2}}"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "med").mkdir()
    network = ResNet3d(ResNet3dConfig(depth=10, width=2), [Volume((1, 8, 16, 24))])
    save_file(network.state_dict(), tmp_path / "med" / "model.safetensors")
    return tmp_path


def findings(study: Path, *, read: str = READ, node: str = NODE, recipe: dict[str, object] | None = None,
             **changed: object) -> list[Diagnostic]:
    """What is found for this study with a recipe whose input is changed in some parts."""
    whole = {"fusionkit-recipe": 1, "input": AGREES | changed, **(recipe or {})}
    (study / "med" / "recipe.yaml").write_text(json.dumps(whole))
    graph = ("fusionkit: 1\nname: g\ninputs: {ct: {volume: [1, 8, 16, 24]}}\nnodes:\n"
             f"  lungs: {node}\n  y: {{use: head.classify, from: lungs, with: {{classes: [a, b]}}}}\n")
    write_files(study, [{"id": "c1", "y": "a"}], graph,
                f"fusionkit-data: 1\ncases: cases.csv\nid: id\ninputs:\n  ct: {read}\ntargets: {{y: {{column: y}}}}\n")
    return recipe_findings(fusionkit.plan(study / "graph.yaml", measured=False), describe(study / "data.yaml"))


def test_what_agrees_is_not_told(study: Path) -> None:
    assert findings(study) == []


def test_values_agree_however_they_are_reached(study: Path) -> None:
    assert findings(study, scale=[-1000, 400], mean=[-300], std=[350]) == []


@pytest.mark.parametrize(("part", "value", "told"), [
    ("layout", "image", "layout volume; the weights of node 'lungs' were trained with image"),
    ("channels", ["r", "g", "b"], "channels 1; the weights of node 'lungs' were trained with 3 (r, g, b)"),
    ("size", [8, 16, 32], "size 8 x 16 x 24; the weights of node 'lungs' were trained with 8 x 16 x 32"),
    ("divisible", 16, "divisible 8 x 16 x 24; the weights of node 'lungs' were trained with multiples of 16 x 16 x 16"),
    ("spacing", [1, 1, 1], "spacing 3 x 1 x 1; the weights of node 'lungs' were trained with 1 x 1 x 1"),
    ("orientation", "LPS", "orientation SPL along dhw; the weights of node 'lungs' were trained with LPS along dhw"),
    ("window", [-1350, 150], "window -1000 to 400; the weights of node 'lungs' were trained with -1350 to 150"),
    ("std", [0.5], "values -2 to 2; the weights of node 'lungs' were trained with -1 to 1"),
    ("scale", [-1024, 1024], "values -2 to 2; the weights of node 'lungs' were trained with -4098 to 4094"),
    ("per_case", "zscore", "per_case none; the weights of node 'lungs' were trained with zscore"),
    ("resize", "nearest", "resize linear; the weights of node 'lungs' were trained with nearest"),
    ("crop", "center", "crop none ('fit: stretch'); the weights of node 'lungs' were trained with center"),
    ("pad", 0, "pad -1024; the weights of node 'lungs' were trained with 0"),
])
def test_each_difference_names_both_values(study: Path, part: str, value: object, told: str) -> None:
    changed = {part: value}
    if part == "layout":
        changed |= dict.fromkeys(("order", "orientation", "spacing", "size", "divisible"))
    found = [each for each in findings(study, **changed) if each.code == "recipe-differs"]
    assert len(found) == 1
    assert told in found[0].message
    assert found[0].severity == "warning"
    assert "data.yaml:5:" in str(found[0].span)
    assert "recipe.yaml:1:" in (found[0].why or "")


def test_another_order_of_the_axes_is_one_difference(study: Path) -> None:
    found = findings(study, order="whd", orientation="LPS", spacing=[1, 1, 3], size=[24, 16, 8])
    assert [each.message.partition(";")[0] for each in found] == ["input 'ct' has order dhw"]


def test_what_the_data_file_leaves_open_is_told_as_not_checked(study: Path) -> None:
    found = findings(study, read="{read: nifti, path: 'ct/{id}.nii.gz'}")
    differs, = [each for each in found if each.code == "recipe-differs"]
    assert "window none" in differs.message
    unchecked, = [each for each in found if each.code == "recipe-unchecked"]
    for part in ("spacing", "orientation", "crop", "pad", "scale, mean and std"):
        assert part in (unchecked.why or "")


def test_statistics_of_each_case_have_no_fixed_range(study: Path) -> None:
    read = READ.replace("window: [-1000, 400], normalise: {mean: 0.5, sd: 0.25}", "normalise: zscore, mask: above_zero")
    asked = {"per_case": "zscore_foreground", "window": None, "scale": None, "mean": None, "std": None}
    assert findings(study, read=read, **asked) == []
    # In Hounsfield units all but a few voxels are not 0, and few are above it.
    found, = findings(study, read=read.replace("above_zero", "nonzero"), **asked)
    assert "per_case zscore of other voxels (mask: nonzero); " in found.message


def test_network_and_pooling_are_compared_with_the_node(study: Path) -> None:
    network = {"use": "encoder.resnet3d", "with": {"depth": 10, "dilations": [1, 1, 2, 4]}}
    found = findings(study, recipe={"network": network})
    assert [each.message for each in found] == [
        "'dilations' of node 'lungs' is None; the recipe of its weights says [1, 1, 2, 4]"]
    found = findings(study, recipe={"network": {"use": "encoder.monai"}})
    assert "'use' of node 'lungs' is encoder.resnet3d" in found[0].message


def test_behind_another_node_nothing_is_compared(study: Path) -> None:
    whole = {"fusionkit-recipe": 1, "input": AGREES}
    (study / "med" / "recipe.yaml").write_text(json.dumps(whole))
    graph = ("fusionkit: 1\nname: g\ninputs: {ct: {volume: [1, 8, 16, 24]}}\nnodes:\n"
             "  before: {use: encoder.conv, from: ct, with: {widths: [1], output: map}}\n"
             f"  lungs: {NODE.replace('from: ct', 'from: before')}\n"
             "  y: {use: head.classify, from: lungs, with: {classes: [a, b]}}\n")
    write_files(study, [{"id": "c1", "y": "a"}], graph,
                f"fusionkit-data: 1\ncases: cases.csv\nid: id\ninputs:\n  ct: {READ}\ntargets: {{y: {{column: y}}}}\n")
    found = recipe_findings(fusionkit.plan(study / "graph.yaml", measured=False), describe(study / "data.yaml"))
    assert [each.code for each in found] == ["recipe-unchecked"]


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    """Eight small pictures, and a folder of timm's smallest network whose recipe asks for another size."""
    rows = []
    for case in range(8):
        pixels = np.random.default_rng(case).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Picture.fromarray(pixels).save(tmp_path / f"{case}.png")
        rows.append({"id": str(case), "y": "ab"[case % 2], "split": "train" if case < 4 else "test"})
    place = tmp_path / "uni"
    place.mkdir()
    about = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "first_conv": "conv1"}
    (place / "config.json").write_text(json.dumps({"architecture": "test_resnet", "pretrained_cfg": about}))
    torch.manual_seed(1)
    save_file(Timm(TimmConfig(model="test_resnet"), [Image((3, 40, 40))]).network.state_dict(),
              place / "model.safetensors")
    (place / "recipe.yaml").write_text(
        "fusionkit-recipe: 1\nweights: {source: OWNER/NAME}\n"
        "input: {layout: image, channels: [r, g, b], size: [40, 40], scale: [0, 1], mean: [0.485, 0.456, 0.406], "
        "std: [0.229, 0.224, 0.225], crop: center}\n"
        "licence: {name: CC-BY-NC-ND-4.0, gated: true, commercial: false}\n")
    graph = ("fusionkit: 1\nname: g\ninputs: {tile: {image: [3, 40, 40]}}\nnodes:\n"
             "  seen: {use: encoder.timm, from: tile, freeze: true, with: {model: local, folder: uni}}\n"
             "  y: {use: head.classify, from: seen, with: {classes: [a, b]}}\n"
             "training: {epochs: 1, batch_size: 4, hold_out: 0, device: cpu}\n")
    return write_files(tmp_path, rows, graph, "fusionkit-data: 1\ncases: cases.csv\nid: id\nsplit: {column: split}\n"
                       "inputs:\n  tile: {read: image, path: '{id}.png', size: [40, 40], fit: crop}\n"
                       "targets: {y: {column: y}}\n")


def test_the_normalisation_of_the_module_counts(tiles: Path) -> None:
    """`normalise: model` applies mean and deviation, so that the data file need not; both would be too much."""
    assert fusionkit.check(tiles / "graph.yaml", data=tiles / "data.yaml").warnings == ()
    data = (tiles / "data.yaml").read_text()
    (tiles / "data.yaml").write_text(data.replace("fit: crop", "fit: crop, normalise: {mean: 0.5, sd: 0.25}"))
    twice, = fusionkit.check(tiles / "graph.yaml", data=tiles / "data.yaml").warnings
    assert "values -10.85 to 6.616" in twice.message
    bare = fusionkit.check(tiles / "graph.yaml", data=tiles / "data.yaml", sets=["nodes.seen.with.normalise=none"])
    assert "values -2 to 2; the weights of node 'seen' were trained with -2.118 to 2.249" in bare.warnings[0].message


def test_a_difference_is_an_error_with_strict(tiles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = (tiles / "data.yaml").read_text()
    (tiles / "data.yaml").write_text(data.replace("fit: crop", "fit: stretch"))
    graph, described = str(tiles / "graph.yaml"), str(tiles / "data.yaml")
    for command in (["check", graph, "--data", described], ["build", graph, "--data", described]):
        assert main(command) == 0
        assert "warning: input 'tile' has crop none ('fit: stretch')" in capsys.readouterr().err
        assert main([*command, "--strict"]) == 2
        assert "[recipe-differs]" in capsys.readouterr().err
    with pytest.raises(DataError, match="recipe-differs"):
        fusionkit.train(graph, described, output=tiles / "run", strict=True, quiet=True)
    assert not (tiles / "run").exists()


@pytest.mark.usefixtures("without_plots")
def test_the_licence_stands_in_build_in_the_run_and_in_its_report(
        tiles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", str(tiles / "graph.yaml")]) == 0
    line = ("weights of node seen (uni from OWNER/NAME): CC-BY-NC-ND-4.0, gated, no commercial use; what is trained "
            "from them inherits it")
    assert line in capsys.readouterr().out
    run = train(tiles)
    about, = json.loads((run / "run.json").read_text())["weights"]
    assert (about["node"], about["licence"], about["commercial"]) == (
        "seen", "CC-BY-NC-ND-4.0, gated, no commercial use", False)
    assert len(about["sha256"]) == 64
    assert main(["report", str(run)]) == 0
    page = next(run.rglob("*.html")).read_text()
    assert "node seen starts from uni, from OWNER/NAME: CC-BY-NC-ND-4.0, gated, no commercial use" in page
    assert "which this network inherits" in page


def test_a_comparison_tells_it_before_it_trains(tiles: Path, monkeypatch: pytest.MonkeyPatch,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    def stops(*args: object, **keywords: object) -> None:
        raise RunError("nothing is trained here")

    monkeypatch.setattr("fusionkit.interface.compare.train_all", stops)
    (tiles / "data.yaml").write_text((tiles / "data.yaml").read_text().replace("fit: crop", "fit: stretch"))
    graph = (tiles / "graph.yaml").read_text().replace(
        "  y: {use: head.classify, from: seen,",
        "  both: {use: fusion.mean, from: [seen, seen]}\n  y: {use: head.classify, from: both,")
    (tiles / "graph.yaml").write_text(graph)
    main(["compare", str(tiles / "graph.yaml"), str(tiles / "data.yaml"), "--node", "both", "--with", "fusion.sum",
          "-o", str(tiles / "out")])
    told = capsys.readouterr().err
    assert "input 'tile' has crop none ('fit: stretch')" in told and "nothing is trained here" in told
