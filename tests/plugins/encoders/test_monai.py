"""`encoder.monai`: recorded numbers of MONAI's networks, names of published files, sizes that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from fusionkit_plugins.encoders.monai import Monai, MonaiConfig
from fusionkit_plugins.encoders.monai import component as MONAI
from pydantic import ValidationError
from recorded import GOLDEN
from safetensors.torch import load_file, save_file

from fusionkit.api import ComponentError
from fusionkit.cli.parser import main
from fusionkit.conversion.verification.check import check
from fusionkit.network.build import build_plan, plan
from fusionkit.registry.lookup import discover
from fusionkit.shapes.layouts import shape_of

FOLDER = GOLDEN / "encoders"
SWIN = "network: swin, width: 12, blocks: [2, 1, 1, 1], window: 3"
GRAPH = """
fusionkit: 1
inputs:
  ct: {volume: [1, 9, 11, 13]}
nodes:
  lungs: {use: encoder.monai, from: ct, WEIGHTS with: {OPTIONS}}
  finding: {use: head.classify, from: lungs, with: {classes: [absent, present]}}
reference:
  release: {lungs: ""}
"""


@pytest.mark.parametrize(("name", "options", "entries"), [
    ("monai_densenet3d", [], {"out_logits", "out_map", "out_pooled", "tap_block1_0", "tap_block2_2", "grad_input0"}),
    ("monai_swin", [], {*(f"out_map{place}" for place in range(5)), "grad_input0"}),
    ("monai_segresnet", [], {"out_map0", "out_map1", "out_map2", "grad_input0"}),
    ("monai_segres_encoder", [], {"out_map0", "out_map1", "out_map2", "grad_input0"}),
    ("monai_vit", ["heads=[3]"], {"out_logits", "out_hidden0", "out_hidden1", "grad_input0"})])
def test_results_and_gradients_are_those_of_monai(name: str, options: list[str], entries: set[str]) -> None:
    found = check("encoder.monai", FOLDER / f"{name}.npz", options=options, registry=discover())
    assert entries <= {row.entry for row in found.rows if not row.note}
    assert all(row.ok for row in found.rows)


def built(sizes: tuple[int, ...], **options: object) -> Monai:
    torch.manual_seed(0)
    return Monai(MonaiConfig.model_validate(options), [shape_of(sizes)]).eval()


@pytest.mark.parametrize(("network", "rank", "count"), [
    ("densenet121", 3, 11_244_674 - 2 * 1024 - 2), ("seresnet50", 3, 48_690_162 - 2 * 2048 - 2)])
def test_the_parameters_are_those_of_monai_without_its_head(network: str, rank: int, count: int) -> None:
    with torch.device("meta"):
        module = built((1, *(29,) * rank), network=network)
    assert sum(parameter.numel() for parameter in module.parameters()) == count


def test_features_of_one_network_agree() -> None:
    """The vector is the mean of the map, and the maps of the stages end where the map begins."""
    image = torch.randn(2, 3, 10, 15)
    for options in ({"network": "densenet121", "width": 6, "blocks": [1, 1], "growth": 3},
                    {"network": "segresnet", "blocks": [1, 1]},
                    {"network": "vit", "width": 6, "blocks": [2], "heads": [3], "patch": [5]}):
        pooled, last, taps = [built((3, 10, 15), features=features, **options)
                              for features in ("pooled", "map", "taps")]
        last.load_state_dict(pooled.state_dict())
        torch.testing.assert_close(last(image).flatten(2).mean(2), pooled(image))
        assert {*taps.state_dict()} <= {*pooled.state_dict()}
    assert [tuple(tap.shape) for tap in taps(image)] == [(2, 6, 2, 3)] * 2


def test_swin_is_built_on_the_meta_device_and_takes_odd_sizes() -> None:
    with torch.device("meta"):
        module = built((1, 33, 33, 33), network="swin", features="taps")
        maps = module(torch.empty(1, 1, 33, 33, 33))
    assert all(parameter.is_meta for parameter in module.parameters())
    assert [one.shape[1:3] for one in maps] == [(48, 17), (96, 9), (192, 5), (384, 3), (768, 2)]


def test_the_names_of_the_self_supervised_swin_are_known() -> None:
    told = json.loads((FOLDER / "swin_ssl_names.json").read_text())
    release = MONAI.reference["release"]
    own = {release.plain(name) for name in told["example_names"]}
    module = built((1, 9, 11, 13), network="swin", width=12, blocks=[2, 1, 1, 1])
    assert {name.removeprefix("network.") for name in module.state_dict()} == {
        name for name in own if not name.startswith(release.unused)}
    assert all(f"{name}.".startswith(release.unused) or name.startswith(release.unused) for name in told["unused"])


@pytest.mark.parametrize("prefix", ["module.", "module.swin_vit."])
def test_a_checkpoint_of_swin_is_converted_and_loaded_whatever_its_prefix(
        prefix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = tmp_path / "graph.yaml"
    graph.write_text(GRAPH.replace("OPTIONS", SWIN).replace("WEIGHTS", ""))
    wanted = {name: value + 1 for name, value in build_plan(
        plan(graph, measured=False)).get_submodule("lungs").state_dict().items()}
    spelt = {f"{prefix}{name.removeprefix('network.').replace('mlp.linear', 'mlp.fc')}": value
             for name, value in wanted.items()}
    others = {f"{prefix.removesuffix('swin_vit.').removesuffix('swinViT.')}rotation_head.weight": torch.ones(4, 3)}
    torch.save({"state_dict": spelt | others, "epoch": 5}, tmp_path / "model_swinvit.pt")
    assert main(["weights", "convert", str(tmp_path / "model_swinvit.pt"), "--graph", str(graph),
                 "-o", str(tmp_path / "w.safetensors")]) == 0
    assert f"{len(wanted)} of {len(wanted) + 1} tensors" in capsys.readouterr().out
    save_file(spelt | others, tmp_path / "bare.safetensors")
    for weights in ("w.safetensors#lungs", "bare.safetensors"):
        (tmp_path / "named.yaml").write_text(GRAPH.replace("OPTIONS", SWIN).replace("WEIGHTS", f"weights: {weights},"))
        loaded = build_plan(plan(tmp_path / "named.yaml", measured=False)).get_submodule("lungs").state_dict()
        assert all(torch.equal(loaded[name], wanted[name]) for name in wanted)


def test_files_of_whole_networks_load_without_their_decoders_and_nothing_else_is_dropped() -> None:
    from monai.networks.nets import SegResNetDS, ViTAutoEnc

    whole = SegResNetDS(init_filters=4, blocks_down=(1, 2), norm="instance").state_dict()
    module = built((1, 5, 7, 11), network="segres_encoder", width=4, blocks=[1, 2], norm="instance")
    assert module.adapt_weights(whole).keys() == module.state_dict().keys()
    auto = ViTAutoEnc(1, (8, 8, 16), (4, 4, 4), hidden_size=6, mlp_dim=12, num_layers=1, num_heads=2).eval()
    module = built((1, 8, 8, 16), network="vit", width=6, mlp=2.0, blocks=[1], heads=[2], patch=[4], features="map")
    module.load_state_dict(module.adapt_weights(auto.state_dict()))
    volume = torch.randn(2, 1, 8, 8, 16)
    tokens = auto.norm(auto.blocks[0](auto.patch_embedding(volume)))
    torch.testing.assert_close(module(volume).flatten(2).transpose(1, 2), tokens)
    classed = {**auto.state_dict(), "cls_token": torch.ones(1, 1, 6)}
    assert "network.cls_token" in module.adapt_weights(classed)  # which is refused then: patches would not see it


def test_a_recipe_beside_the_weights_is_compared_and_its_licence_told(tmp_path: Path,
                                                                      capsys: pytest.CaptureFixture[str]) -> None:
    module = built((1, 9, 11, 13), network="segresnet", blocks=[1, 1])
    save_file(module.network.state_dict(), tmp_path / "model.safetensors")
    recipe = ("fusionkit-recipe: 1\nnetwork: {use: encoder.monai, with: {network: segresnet, blocks: [1, 1]}}\n"
              "features: {pool: mean}\nlicence: {name: CC-BY-NC-4.0, commercial: false}\n")
    (tmp_path / "recipe.yaml").write_text(recipe)
    graph = tmp_path / "graph.yaml"
    graph.write_text(GRAPH.replace("OPTIONS", "network: segresnet, blocks: [1, 1]").replace(
        "WEIGHTS", "weights: model.safetensors,"))
    assert main(["build", str(graph)]) == 0
    assert "CC-BY-NC-4.0, no commercial use" in capsys.readouterr().out
    weighted = build_plan(plan(graph, measured=False)).state_dict()
    (tmp_path / "segres").mkdir()
    for name in ("model.safetensors", "recipe.yaml"):
        (tmp_path / name).rename(tmp_path / "segres" / name)
    foldered = GRAPH.replace("OPTIONS", "network: segresnet, blocks: [1, 1], folder: segres").replace("WEIGHTS", "")
    graph.write_text(foldered)
    assert main(["build", str(graph), "-o", str(tmp_path / "built")]) == 0
    assert "CC-BY-NC-4.0, no commercial use" in capsys.readouterr().out
    assert all(torch.equal(value, weighted[name]) for name, value in load_file(
        tmp_path / "built" / "model.safetensors").items())
    assert (tmp_path / "built" / "segres" / "recipe.yaml").is_file()
    graph.write_text(foldered.replace("[1, 1]", "[1, 1, 1]"))
    assert main(["check", str(graph)]) == 2
    assert "missing network.down_layers.2." in capsys.readouterr().err
    (tmp_path / "segres" / "recipe.yaml").write_text(f"{recipe}weights: {{sha256: {'0' * 64}}}\n")
    graph.write_text(foldered)
    assert main(["build", str(graph)]) == 2
    assert "wrong-weights" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "size", "why", "fix"), [
    ("network: densenet121", "28, 40, 29", "needs at least 29 on every axis", "29 x 40 x 29"),
    ("network: seresnet50", "2, 40, 29", "needs at least 3", "3 x 40 x 29"),
    ("network: vit, patch: [4, 8, 8]", "8, 16, 18", "into patches of 4 x 8 x 8", "8 x 16 x 24"),
    ("network: vit, patch: [4, 8]", "8, 16, 16", "'patch' has 2 numbers", "one number, or 3"),
    ("network: swin, v2: true", "9, 16, 16", "leaves one position", "9 x 16 x 17"),
    ("network: segres_encoder, norm: instance", "8, 8, 8", "leaves one position", "8 x 8 x 9")])
def test_sizes_are_refused_by_check_with_place_and_fix(options: str, size: str, why: str, fix: str, tmp_path: Path,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    graph = tmp_path / "graph.yaml"
    graph.write_text(GRAPH.replace("OPTIONS", options).replace("WEIGHTS", "").replace("9, 11, 13", size))
    assert main(["check", str(graph)]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "graph.yaml:6" in told
    assert why in told
    assert fix in told


def test_least_sizes_are_the_least_that_monai_takes() -> None:
    for options, least in (({"network": "densenet121"}, 29), ({"network": "seresnet50"}, 3)):
        with torch.device("meta"), torch.no_grad():
            built((1, least, least), **options)(torch.empty(1, 1, least, least))
            with pytest.raises(ComponentError, match="at least"):
                built((1, least, least - 1), **options)
            with pytest.raises(RuntimeError):
                built((1, least, least), **options)(torch.empty(1, 1, least, least - 1))


@pytest.mark.parametrize(("options", "why"), [
    ({"network": "vit", "growth": 4}, "'growth' is no option of vit"),
    ({"network": "segresnet", "width": 12}, "multiple of 8"),
    ({"network": "swin", "blocks": [2, 2, 2]}, "'blocks' has 3 entries; swin needs 4"),
    ({"network": "swin", "width": 10}, "3 heads do not divide the 10 channels of stage 1"),
    ({"network": "vit", "heads": [7]}, "7 heads do not divide the 768"),
    ({"network": "vit", "pool": "cls"}, "needs 'class_token: true'"),
    ({"network": "swin", "pool": "cls"}, "needs 'class_token: true'"),
    ({"network": "vit", "class_token": True, "pool": "cls", "features": "map"}, "belongs to 'features: pooled'")])
def test_options_that_do_not_go_together_are_refused(options: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        MonaiConfig.model_validate(options)
