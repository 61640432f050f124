"""`encoder.nnunet`: recorded numbers of the authors' encoder, a checkpoint in nnU-Net's form, sizes that it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fusionkit_plugins.encoders.nnunet import Nnunet, NnunetConfig
from pydantic import ValidationError
from recorded import GOLDEN

from fusionkit.cli.parser import main
from fusionkit.conversion.verification.check import check
from fusionkit.network.build import build_plan, plan
from fusionkit.registry.lookup import discover
from fusionkit.shapes.layouts import Volume

STRIDES = [[1, 1, 1], [1, 2, 2], [2, 2, 2]]
GRAPH = """
fusionkit: 1
inputs:
  ct: {volume: [1, 6, 16, 20]}
nodes:
  organs: {use: encoder.nnunet, from: ct, WEIGHTS with: {features_per_stage: [2, 3], strides: [1, [1, 2, 2]], OPTIONS}}
  finding: {use: head.classify, from: organs, with: {classes: [absent, present]}}
reference:
  release: {organs: ""}
"""
PLAIN, RESIDUAL = "n_conv_per_stage: [1, 2]", "network: residual, n_blocks_per_stage: [1, 2]"


def test_maps_and_gradients_are_those_of_the_release() -> None:
    found = check("encoder.nnunet", GOLDEN / "encoders" / "nnunet_plain_encoder.npz", options=[f"strides={STRIDES}"],
                  registry=discover())
    assert {"out_map0", "out_map1", "out_map2", "grad_input0"} <= {row.entry for row in found.rows if not row.note}
    assert all(row.ok for row in found.rows)


def in_the_form_of_the_release(options: str, path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a network for the graph, under the names of a nnU-Net: each twice, and all again in the decoder."""
    path.write_text(GRAPH.replace("OPTIONS", options).replace("WEIGHTS", ""))
    network = build_plan(plan(path, measured=False), seed=3).get_submodule("organs")
    named: dict[str, torch.Tensor] = {}
    for name, value in network.state_dict().items():
        parts = name.split(".")
        *layer, part, kind = parts
        if layer == ["stem"]:
            inside = "stem.convs.0"
        elif "residual" in options:
            inside = f"stages.{layer[1]}.blocks.{layer[2]}.{layer[3]}"
            inside += ".1" if layer[3:] == ["skip"] and layer[1] == "1" else ""
        else:
            inside = f"stages.{layer[1]}.0.convs.{layer[2]}"
        for second in (part, f"all_modules.{('conv', 'norm').index(part)}"):
            named[f"encoder.{inside}.{second}.{kind}"] = value
            named[f"decoder.encoder.{inside}.{second}.{kind}"] = value
    return named | {"decoder.seg_layers.0.weight": torch.ones(2, 3)}


@pytest.mark.parametrize("options", [PLAIN, RESIDUAL])
def test_a_checkpoint_in_the_form_of_the_release_is_converted_and_loaded(
        options: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = in_the_form_of_the_release(options, tmp_path / "graph.yaml")
    torch.save(named, tmp_path / "network_weights.pt")
    convert = ["weights", "convert", str(tmp_path / "network_weights.pt"), "--graph", str(tmp_path / "graph.yaml"),
               "-o", str(tmp_path / "w.safetensors")]
    assert main(convert) == 0
    told = capsys.readouterr().out
    assert "unused by design" in told
    assert "unexpected" not in told
    (tmp_path / "named.yaml").write_text(GRAPH.replace("OPTIONS", options).replace(
        "WEIGHTS", "weights: w.safetensors#organs,"))
    loaded = build_plan(plan(tmp_path / "named.yaml", measured=False), seed=5).get_submodule("organs").state_dict()
    assert len(loaded) == sum(name.startswith("encoder.") for name in named) / 2
    wanted = build_plan(plan(tmp_path / "graph.yaml", measured=False), seed=3).get_submodule("organs").state_dict()
    assert all(torch.equal(loaded[name], wanted[name]) for name in wanted)

    single = {name: value for name, value in named.items() if "all_modules" not in name}
    torch.save(single, tmp_path / "network_weights.pt")
    assert main(convert) == 0
    named["encoder.stages.0.0.convs.0.conv.weight"] = named[next(iter(named))] + 1
    if options == PLAIN:
        torch.save(named, tmp_path / "network_weights.pt")
        assert main(convert) == 2
        assert "are one tensor in the release, and differ here" in capsys.readouterr().err


def test_sizes_that_the_residual_form_cannot_halve_are_refused_by_check(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = tmp_path / "graph.yaml"
    graph.write_text(GRAPH.replace("OPTIONS", RESIDUAL).replace("WEIGHTS", "").replace("16, 20", "17, 20"))
    assert main(["check", str(graph)]) == 2
    told = capsys.readouterr().err
    assert "graph.yaml:6" in told
    assert "do not divide an input of 6 x 17 x 20" in told
    assert "6 x 18 x 20" in told
    graph.write_text(GRAPH.replace("OPTIONS", PLAIN).replace("WEIGHTS", "").replace("16, 20", "17, 20"))
    assert main(["check", str(graph)]) == 0


def test_one_position_cannot_be_standardised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = tmp_path / "graph.yaml"
    graph.write_text(GRAPH.replace("OPTIONS", PLAIN).replace("WEIGHTS", "").replace("6, 16, 20", "1, 2, 2"))
    assert main(["check", str(graph)]) == 2
    assert "one position left" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "why"), [
    ({"features_per_stage": [2, 3], "strides": [1]}, "'strides' has 1 entries for the 2 stages"),
    ({"kernel_sizes": [[1, 2, 3]]}, "even number"),
    ({"n_blocks_per_stage": [2]}, "belongs to 'network: residual'"),
    ({"network": "residual", "n_conv_per_stage": [2]}, "belongs to 'network: plain'")])
def test_options_that_do_not_go_together_are_refused(options: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        NnunetConfig.model_validate(options)


def test_the_parameters_are_those_of_nnunet_s_default_network() -> None:
    with torch.device("meta"):
        module = Nnunet(NnunetConfig(), [Volume((1, 64, 96, 96))])
    convolutions = 27 * (1 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 256 * 256
                         + 256 * 320 + 3 * 320 * 320)
    assert sum(parameter.numel() for parameter in module.parameters()) == convolutions + 3 * 2 * (
        32 + 64 + 128 + 256 + 320 + 320)
