"""A timm network from a folder: what config.json may say, what becomes of tokens, and where files may lie."""

from __future__ import annotations

import hashlib
import json
import socket
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from fusionkit_plugins.encoders.timm import Timm, TimmConfig
from safetensors.torch import load_file, save_file

import fusionkit
from fusionkit.cli.parser import main
from fusionkit.components.config import ComponentError
from fusionkit.conversion.verification.state_form import filled
from fusionkit.errors import DataError, GraphError
from fusionkit.network.folder import load
from fusionkit.planning.weights_used import weights_used
from fusionkit.pretrained.folder import WeightsFolder
from fusionkit.shapes.layouts import Image

NAME = "vit_small_patch14_reg4_dinov2"
ARGUMENTS = {"img_size": 28, "patch_size": 7, "embed_dim": 24, "depth": 2, "num_heads": 3, "reg_tokens": 2,
             "no_embed_class": True}
INDEX = "model.safetensors.index.json"
ABOUT = {"mean": [0.5, 0.4, 0.3], "std": [0.25, 0.2, 0.3], "license": "mit"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)


def published(**arguments: Any) -> torch.nn.Module:
    torch.manual_seed(3)
    network = timm.create_model(NAME, num_classes=5, **(ARGUMENTS | arguments))
    network.load_state_dict({name: filled(name, tuple(value.shape)) for name, value in network.state_dict().items()})
    return network.eval()


def folder_of(place: Path, arguments: dict[str, Any] | None = None, recipe: str = "", **about: Any) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    config = {"architecture": NAME, "model_args": ARGUMENTS | (arguments or {}), "pretrained_cfg": ABOUT | about}
    (place / "config.json").write_text(json.dumps(config))
    save_file(published().state_dict(), place / "model.safetensors")
    if recipe:
        (place / "recipe.yaml").write_text(f"fusionkit-recipe: 1\n{recipe}")
    return place


def make(place: Path, channels: int = 3, size: int = 28, **options: Any) -> Timm:
    config = TimmConfig(**{"model": "local", "folder": WeightsFolder.at(place), **options})
    return Timm(config, [Image((channels, size, size))]).eval()


def graph(place: Path, folder: str = "uni", **options: Any) -> Path:
    given = json.dumps({"model": "local", "folder": folder, **options})
    path = place / "g.yaml"
    path.write_text("fusionkit: 1\nname: g\ninputs: {tile: {image: [3, 28, 28]}}\nnodes:\n"
                    f"  seen: {{use: encoder.timm, from: tile, with: {given}}}\n"
                    "  y: {use: head.classify, from: seen, with: {classes: [a, b]}}\n")
    return path


def image(channels: int = 3, size: int = 28) -> torch.Tensor:
    return torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(7))


def tokens(network: Any, x: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(ABOUT[name]).reshape(3, 1, 1) for name in ("mean", "std"))
    found: torch.Tensor = network.forward_features((x - mean) / std)
    return found


def test_pools_are_those_of_the_tokens_and_registers_count_in_none(tmp_path: Path) -> None:
    place, network, x = folder_of(tmp_path), published(), image()
    full = tokens(network, x)
    assert network.num_prefix_tokens == 3
    assert full.shape == (2, 3 + 16, 24)
    first, mean = full[:, 0], full[:, 3:].mean(1)
    wanted = {"cls": first, "mean": mean, "cls_mean": torch.cat([first, mean], 1),
              "tokens": full[:, 3:], "model": network.forward_head(full, pre_logits=True)}
    for pool, value in wanted.items():
        torch.testing.assert_close(make(place, pool=pool)(x), value)
    torch.testing.assert_close(make(place, pool="tokens", prefix="keep")(x), full)


def test_one_channel_and_another_size_fit_the_file(tmp_path: Path) -> None:
    place = folder_of(tmp_path)
    grey = make(place, channels=1, pool="cls")
    assert grey.network.patch_embed.proj.weight.shape[1] == 1
    torch.testing.assert_close(grey.network.patch_embed.proj.weight,
                               published().patch_embed.proj.weight.sum(1, keepdim=True))
    larger = make(place, size=42, pool="mean")
    assert larger.network.pos_embed.shape == (1, 36, 24)
    assert larger(image(size=42)).shape == (2, 24)


def test_the_recipe_goes_before_config_json(tmp_path: Path) -> None:
    recipe = "network: {use: encoder.timm, with: {depth: 1}}\ninput: {mean: [0.1, 0.2, 0.3]}"
    place = folder_of(tmp_path, {"depth": 2}, recipe)
    with torch.device("meta"):
        made = make(place)
    assert len(made.network.blocks) == 1
    with pytest.raises(GraphError, match=r"wrong-weights") as caught:
        make(folder_of(tmp_path, {}, "network: {use: encoder.timm, with: {depth: 3}}"))
    assert "blocks.2" in str(caught.value)
    with pytest.raises(ComponentError, match="tensors that the network lacks") as refused:
        make(folder_of(tmp_path, {}, "network: {use: encoder.timm, with: {depth: 1}}"))
    assert "blocks.1" in (refused.value.why or "")


def test_words_stand_for_the_classes_that_json_cannot_name(tmp_path: Path) -> None:
    place = folder_of(tmp_path, {"mlp_layer": "swiglu_packed", "act_layer": "silu", "mlp_ratio": 4})
    with torch.device("meta"):
        made = make(place)
    assert type(made.network.blocks[0].mlp.act) is torch.nn.SiLU
    assert made.network.blocks[0].mlp.fc2.in_features == 48  # gated: half of fc1


@pytest.mark.parametrize(("arguments", "message"), [
    ({"block_fn": "os.system"}, "the argument 'block_fn'"),
    ({"mlp_layer": "torch.nn.Linear"}, "'mlp_layer'"),
    ({"depth": "2"}, "'depth'"),
    ({"class_token": 1}, "'class_token'"),
])
def test_other_arguments_are_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ComponentError, match=message):
        make(folder_of(tmp_path, arguments))


def test_a_name_that_timm_would_fetch_is_refused(tmp_path: Path) -> None:
    place = folder_of(tmp_path)
    config = json.loads((place / "config.json").read_text()) | {"architecture": "hf-hub:owner/name"}
    (place / "config.json").write_text(json.dumps(config))
    with pytest.raises(ComponentError, match="has no model 'hf-hub:owner/name'"):
        make(place)


def test_without_mean_and_deviation_the_images_are_in_doubt(tmp_path: Path) -> None:
    place = folder_of(tmp_path, mean=None)
    with pytest.raises(ComponentError, match="no mean and deviation"):
        make(place)
    make(place, normalise="none")


def test_a_run_is_loaded_without_the_folder(tmp_path: Path) -> None:
    folder_of(tmp_path / "study" / "uni", recipe="licence: {name: CC-BY-NC-ND-4.0, gated: true, commercial: false}")
    made = fusionkit.build(graph(tmp_path / "study", pool="cls_mean"), output=tmp_path / "run")
    for file in (tmp_path / "study" / "uni").iterdir():
        file.unlink()
    again = load(tmp_path / "run")
    assert torch.equal(again({"tile": image()})["y"], made.eval()({"tile": image()})["y"])
    assert sorted(path.name for path in (tmp_path / "run" / "uni").iterdir()) == ["config.json", "recipe.yaml"]


def test_a_folder_in_the_file_lies_below_it_and_a_typed_one_anywhere(tmp_path: Path) -> None:
    outside = folder_of(tmp_path / "elsewhere" / "uni")
    study = tmp_path / "study"
    study.mkdir()
    for written in (str(outside), "../elsewhere/uni"):
        with pytest.raises(GraphError, match=r"g\.yaml:5:.*outside-folder") as caught:
            fusionkit.check(graph(study, written))
        assert "--set nodes.NODE.with.folder=PATH" in str(caught.value)
    typed = [f"nodes.seen.with.folder={outside}"]
    made = fusionkit.build(graph(study), sets=typed, output=tmp_path / "run")
    assert torch.equal(load(tmp_path / "run").state_dict()["seen.network.pos_embed"],
                       made.state_dict()["seen.network.pos_embed"])


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    outside = folder_of(tmp_path / "elsewhere")
    place = folder_of(tmp_path / "study" / "uni")
    (place / "model.safetensors").unlink()
    (place / "model.safetensors").symlink_to(outside / "model.safetensors")
    with pytest.raises(GraphError, match="outside-folder"):
        fusionkit.check(graph(tmp_path / "study"))


def test_a_wrong_checksum_is_found_before_the_file_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = folder_of(tmp_path / "uni", recipe=f"weights: {{sha256: {'0' * 64}}}")
    for opener in ("load_file", "safe_open"):
        monkeypatch.setattr(f"fusionkit.pretrained.tensor_files.{opener}", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(GraphError, match="wrong-weights") as caught:
        fusionkit.check(graph(tmp_path))
    assert hashlib.sha256((place / "model.safetensors").read_bytes()).hexdigest() in str(caught.value)


@pytest.mark.parametrize(("leave", "message"), [
    ("config.json", "has no file 'config.json'"), ("model.safetensors", "has no file 'model.safetensors'")])
def test_a_missing_file_is_told_by_name(tmp_path: Path, leave: str, message: str) -> None:
    (folder_of(tmp_path / "uni") / leave).unlink()
    with pytest.raises(GraphError, match=message):
        fusionkit.check(graph(tmp_path))


def sharded(place: Path, **wrong: str) -> Path:
    """The folder with its tensors in two files; `wrong` places one of them elsewhere."""
    folder_of(place)
    tensors = load_file(place / "model.safetensors")
    (place / "model.safetensors").unlink()
    placed = {name: f"{'ab'[number % 2]}.safetensors" for number, name in enumerate(tensors)}
    for shard in ("a", "b"):
        save_file({name: value for name, value in tensors.items() if placed[name][0] == shard},
                  place / f"{shard}.safetensors")
    (place / INDEX).write_text(json.dumps({"weight_map": placed | wrong}))
    return place


def test_shards_are_read_by_their_index_and_have_one_checksum(tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                                               ) -> None:
    place, whole = sharded(tmp_path / "uni"), make(folder_of(tmp_path / "whole"))
    digest = hashlib.sha256(b"".join((place / f"{name}.safetensors").read_bytes() for name in "ab")).hexdigest()
    recipe = place / "recipe.yaml"
    recipe.write_text(f"fusionkit-recipe: 1\nweights: {{sha256: {digest}}}\n")
    assert torch.equal(make(place)(image()), whole(image()))
    (used,) = weights_used(fusionkit.plan(graph(tmp_path)))
    assert used.as_json()["sha256"] == digest
    assert main(["weights", "show", str(place)]) == 0 and "shards       2" in capsys.readouterr().out
    recipe.write_text(f"fusionkit-recipe: 1\nweights: {{file: {INDEX}, sha256: {digest[::-1]}}}\n")
    with pytest.raises(GraphError, match=r"are not the 2 shards that its recipe describes .wrong-weights"):
        make(place)


@pytest.mark.parametrize(("wrong", "message"), [
    ({"cls_token": "../a.safetensors"}, r"places 'cls_token' in '\.\./a\.safetensors' .outside-folder"),
    ({"cls_token": "c:\\a.safetensors"}, "outside-folder"), ({"cls_token": "/a.safetensors"}, "outside-folder"),
    ({"cls_token": "a.bin"}, r"places 'cls_token' in 'a\.bin', which is no \.safetensors file"),
    ({"cls_token": "c.safetensors"}, r"lacks 1 of 3 shards: c\.safetensors"),
    ({"other": "a.safetensors"}, r"it lacks other, which 'model\.safetensors\.index\.json' places in it")])
def test_an_index_that_is_wrong_is_refused(tmp_path: Path, wrong: dict[str, str], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        make(sharded(tmp_path, **wrong))
    (tmp_path / INDEX).write_text('{"weight_map": {}}')
    with pytest.raises(GraphError, match="no 'weight_map'"):
        make(tmp_path)


@pytest.mark.skipif(not hasattr(Path, "symlink_to"), reason="no links here")
def test_a_shard_that_is_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    place = sharded(tmp_path / "graphs" / "uni")
    (place / "b.safetensors").rename(tmp_path / "b.safetensors")
    (place / "b.safetensors").symlink_to(tmp_path / "b.safetensors")
    with pytest.raises(GraphError, match="outside-folder"):
        fusionkit.build(graph(tmp_path / "graphs"))


def test_another_pooling_than_the_recipe_has_is_told_without_data(tmp_path: Path) -> None:
    folder_of(tmp_path / "uni", recipe="network: {use: encoder.timm, with: {pool: cls}}")
    (told,) = fusionkit.check(graph(tmp_path)).warnings
    assert told.code == "recipe-differs" and "'pool' of node 'seen' is model; the recipe of its weights says cls" in (
        told.render())
    with pytest.raises(DataError, match="recipe-differs"):
        fusionkit.check(graph(tmp_path), strict=True)
    assert not fusionkit.check(graph(tmp_path, pool="cls")).warnings


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_size_that_patches_do_not_divide_is_refused(tmp_path: Path, dynamic: bool) -> None:
    """The network would leave out the edge without a word."""
    place = folder_of(tmp_path, {"dynamic_img_size": dynamic})
    make(place, size=35)
    with pytest.raises(ComponentError, match=r"/.+cannot divide an image of 3 x 31 x 31 into patches of 7 x 7"):
        make(place, size=31)


def test_a_pickled_file_is_not_read(tmp_path: Path) -> None:
    place = folder_of(tmp_path / "uni")
    (place / "model.safetensors").rename(place / "pytorch_model.bin")
    with pytest.raises(GraphError, match=r"has pytorch_model.bin, but no model\.safetensors"):
        fusionkit.check(graph(tmp_path))


def test_a_mistake_in_config_json_has_its_line(tmp_path: Path) -> None:
    place = folder_of(tmp_path / "uni")
    (place / "config.json").write_text('{\n  "architecture": vit\n}')
    with pytest.raises(GraphError, match=r"config\.json:2:19"):
        fusionkit.check(graph(tmp_path))


@pytest.mark.parametrize(("options", "message"), [
    ({"model": "resnet18"}, "'model: local' and 'folder' belong together"),
    ({"pretrained": True}, "remove 'pretrained'"),
    ({"pool": "cls", "features": "map"}, "'pool' belongs to"),
    ({"prefix": "keep"}, "'prefix' belongs to"),
])
def test_options_go_together(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(tmp_path, **options)


def test_a_pool_needs_tokens(tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match="gives no tokens"):
        Timm(TimmConfig(model="test_resnet", pool="mean"), [Image((3, 37, 41))])
