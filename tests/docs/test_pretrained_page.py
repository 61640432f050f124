"""docs/pretrained.md: its recipes are read, its three studies train on small random weights in the published form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
import timm
import torch
import yaml
from fusionkit_plugins.blocks.timm_folder import ARGUMENTS
from PIL import Image as Picture
from recorded import GOLDEN
from safetensors.torch import save_file
from small_study import train, write_files
from small_study import without_plots as without_plots

import fusionkit
from fusionkit.network.build import build_plan, plan
from fusionkit.network.weights import save_weights
from fusionkit.pretrained.recipe import read_recipe

PAGE = (Path(__file__).parents[2] / "docs" / "pretrained.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
GRAPHS = dict(zip(("ct", "xray", "tiles"), (
    block for block in BLOCKS if block.startswith("fusionkit: 1")), strict=True))
DATA = dict(zip(GRAPHS, (block for block in BLOCKS if block.startswith("fusionkit-data")), strict=True))
RECIPES = [block for block in BLOCKS if block.startswith("fusionkit-recipe")]
RNG = np.random.default_rng(1)


def test_every_recipe_is_one(tmp_path: Path) -> None:
    assert len(RECIPES) == 3
    for text in RECIPES:
        (tmp_path / "recipe.yaml").write_text(text)
        assert read_recipe(tmp_path / "recipe.yaml").content.licence


def test_the_arguments_that_are_taken_are_listed() -> None:
    listed = re.search(r"so that a file cannot name code: (.*?)\. Two words", PAGE, re.S)
    assert listed
    words = set(re.split(r",\s+", listed.group(1)))
    assert words == set(ARGUMENTS) - {"mlp_layer", "act_layer"}
    assert all(f"`{name}: " in PAGE for name in ("mlp_layer", "act_layer"))


def test_a_study_takes_about_ten_lines() -> None:
    for graph in GRAPHS.values():
        assert len(graph.strip().splitlines()) <= 11


def cases(labels: list[str], columns: list[str]) -> list[dict[str, object]]:
    return [{"id": str(case), "split": "train" if case < 6 else "test", "result": labels[case % 2],
             **{name: f"{RNG.normal():.2f}" for name in columns}} for case in range(8)]


def study(folder: Path, name: str, changes: dict[str, str], rows: list[dict[str, object]]) -> Path:
    """The graph and the data file of the page with other sizes, in a folder; 'training' is short."""
    graph, data = GRAPHS[name], DATA[name]
    for old, new in changes.items():
        assert old in graph + data, old
        graph, data = graph.replace(old, new), data.replace(old, new)
    graph = graph.replace("epochs: 50", "epochs: 1, batch_size: 3, hold_out: 0, device: cpu")
    return write_files(folder, rows, graph, data)


def timm_folder(place: Path, name: str, channels: int = 3) -> None:
    torch.manual_seed(0)
    place.mkdir()
    about = {"mean": [0.5] * channels, "std": [0.25] * channels}
    (place / "config.json").write_text(json.dumps({"architecture": name, "pretrained_cfg": about,
                                                   "model_args": {"in_chans": channels}}))
    save_file(timm.create_model(name, in_chans=channels).state_dict(), place / "model.safetensors")


def frozen(run: Path, weights: Path, prefix: str) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Tensors of the run beside those of the file that the node started from."""
    from safetensors.torch import load_file

    trained = load_file(run / "model.safetensors")
    for name, value in load_file(weights).items():
        if f"{prefix}{name}" in trained:
            yield trained[f"{prefix}{name}"], value


@pytest.mark.usefixtures("without_plots")
def test_the_study_of_a_ct_trains(tmp_path: Path) -> None:
    rows = cases(["benign", "malignant"], ["age", "size_mm", "emphysema"])
    small = {"[1, 56, 224, 224]": "[1, 16, 16, 16]", "size: [56, 224, 224]": "size: [16, 16, 16]",
             "depth: 50,": "depth: 10, width: 2,"}
    folder = study(tmp_path, "ct", small, rows)
    (folder / "ct").mkdir()
    for row in rows:
        volume = RNG.normal(size=(20, 18, 17)).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), folder / "ct" / f"{row['id']}.nii.gz")
    (folder / "medicalnet").mkdir()
    without = yaml.safe_load((folder / "graph.yaml").read_text())
    lungs = without["nodes"]["lungs"]
    del lungs["weights"], lungs["freeze"]
    save_weights(build_plan(plan(without)), folder / "medicalnet" / "model.safetensors")
    run = train(folder)
    pairs = list(frozen(run, folder / "medicalnet" / "model.safetensors", ""))
    assert len(pairs) > 50
    assert sum(torch.equal(*pair) for pair in pairs) > 50, "the frozen node keeps the tensors of the file"


@pytest.mark.usefixtures("without_plots")
def test_the_study_of_tiles_trains(tmp_path: Path) -> None:
    rows = cases(["low", "high"], ["age", "grade"])
    small = {"[3, 224, 224]": "[3, 32, 32]", "size: [224, 224]": "size: [32, 32]", ", pool: cls": ""}
    folder = study(tmp_path, "tiles", small, rows)
    timm_folder(folder / "uni", "test_resnet")
    for row in rows:
        place = folder / "tiles" / str(row["id"])
        place.mkdir(parents=True)
        for tile in range(2 + int(str(row["id"])) % 2):
            Picture.fromarray(RNG.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(place / f"{tile}.png")
    run = train(folder)
    pairs = list(frozen(run, folder / "uni" / "model.safetensors", "seen.encoder.network."))
    assert len(pairs) > 20
    assert all(torch.equal(*pair) for pair in pairs)


@pytest.mark.usefixtures("without_plots")
def test_the_study_of_an_xray_and_a_report_trains_as_its_recipe_says(tmp_path: Path) -> None:
    import transformers

    rows = [row | {"report": f"word{place} and more"} for place, row in enumerate(cases(["none", "effusion"], []))]
    folder = study(tmp_path, "xray", {"folder: xrv,": "folder: xrv, features: pooled,"}, rows)
    told = re.search(r"config.json` is `(.*?)`", PAGE)
    assert told
    small = json.loads(told.group(1)) | {"architecture": "test_resnet"}
    (folder / "xrv").mkdir()
    (folder / "xrv" / "config.json").write_text(json.dumps(small))
    (folder / "xrv" / "recipe.yaml").write_text(RECIPES[2])
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", in_chans=1).state_dict(), folder / "xrv" / "model.safetensors")
    tokenizer = (GOLDEN / "encoders" / "text_tokenizer.json").read_text()
    (folder / "bert").mkdir()
    (folder / "bert" / "tokenizer.json").write_text(tokenizer)
    config = transformers.BertConfig(hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=8,
                                     vocab_size=100, max_position_embeddings=512)
    (folder / "bert" / "config.json").write_text(json.dumps(config.to_dict()))
    network = transformers.BertModel(config, add_pooling_layer=False)
    save_file(network.state_dict(), folder / "bert" / "model.safetensors", {"format": "pt"})
    (folder / "x").mkdir()
    for row in rows:
        pixels = RNG.integers(0, 255, (230, 224), dtype=np.uint8)
        Picture.fromarray(pixels).save(folder / "x" / f"{row['id']}.png")
    checked = fusionkit.check(folder / "graph.yaml", data=folder / "data.yaml")
    assert not [warning for warning in checked.warnings if warning.code.startswith("recipe")]
    run = train(folder)
    assert all(torch.equal(*pair) for pair in frozen(run, folder / "xrv" / "model.safetensors", "chest.network."))
