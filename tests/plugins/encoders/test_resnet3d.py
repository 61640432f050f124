"""`encoder.resnet3d`: recorded numbers of MedicalNet and of MONAI, a checkpoint in MedicalNet's form, counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fusionkit_plugins.encoders.resnet3d import ResNet3d, ResNet3dConfig
from pydantic import ValidationError
from recorded import GOLDEN

from fusionkit.cli.parser import main
from fusionkit.conversion.verification.case import normal
from fusionkit.conversion.verification.check import check
from fusionkit.network.build import build_plan, plan
from fusionkit.registry.lookup import discover
from fusionkit.shapes.layouts import Volume

FOLDER = GOLDEN / "encoders"
GRAPH = """
fusionkit: 1
inputs:
  ct: {volume: [CHANNELS, 17, 25, 33]}
nodes:
  lungs: {use: encoder.resnet3d, from: ct, with: {depth: 10, width: 2, preset: medicalnet}}
  finding: {use: head.classify, from: lungs, with: {classes: [absent, present]}}
reference:
  release: {lungs: ""}
"""


@pytest.mark.parametrize(("name", "options"), [("medicalnet_basic_B", []), ("monai_resnet_B", ["preset=plain"])])
def test_maps_and_gradients_are_those_of_the_release(name: str, options: list[str]) -> None:
    found = check("encoder.resnet3d", FOLDER / f"{name}.npz", options=options, registry=discover())
    assert {"out_pooled", "tap_layer4", "grad_input0"} <= {row.entry for row in found.rows if not row.note}
    assert all(row.ok for row in found.rows)


def test_a_shortcut_without_weights_passes_the_gradient_that_the_release_stops(tmp_path: Path) -> None:
    with np.load(FOLDER / "medicalnet_basic_A.npz") as file:
        arrays = {key: file[key] for key in file.files if not key.startswith("grad_")}
    np.savez(tmp_path / "flowing.npz", **{key.replace("flowgrad_", "grad_"): value for key, value in arrays.items()})
    found = check("encoder.resnet3d", tmp_path / "flowing.npz", registry=discover())
    assert "grad_input0" in [row.entry for row in found.rows]
    assert all(row.ok for row in found.rows)
    stopped = check("encoder.resnet3d", FOLDER / "medicalnet_basic_A.npz", registry=discover())
    assert [row.entry for row in stopped.rows if not row.ok] == ["grad_input0", "grad_input0 sums"]


@pytest.mark.parametrize(("depth", "count"), [(10, 14_355_520), (18, 32_986_176), (34, 63_295_808), (50, 46_155_072),
                                              (101, 85_201_216), (152, 117_359_936), (200, 126_559_552)])
def test_the_parameters_are_those_of_the_release(depth: int, count: int) -> None:
    with torch.device("meta"):
        module = ResNet3d(ResNet3dConfig(depth=depth, preset="medicalnet"), [Volume((1, 17, 25, 33))])
    assert sum(parameter.numel() for parameter in module.parameters()) == count


def test_a_checkpoint_in_the_form_of_the_release_is_converted_and_loaded(tmp_path: Path) -> None:
    (tmp_path / "graph.yaml").write_text(GRAPH.replace("CHANNELS", "1"))
    assert main(["weights", "convert", str(FOLDER / "medicalnet_form_B.pth"), "--graph", str(tmp_path / "graph.yaml"),
                 "-o", str(tmp_path / "w.safetensors")]) == 0
    named = GRAPH.replace("from: ct,", "from: ct, weights: w.safetensors#lungs,")
    volume = torch.tensor(normal("input0", (2, 1, 17, 25, 33)))
    with np.load(FOLDER / "medicalnet_form_B_out.npz") as file:
        wanted = torch.tensor(file["out_pooled"])
    for channels in (1, 2):  # Weights for one channel are shared out among two equal ones.
        (tmp_path / "named.yaml").write_text(named.replace("CHANNELS", str(channels)))
        network = build_plan(plan(tmp_path / "named.yaml", measured=False)).get_submodule("lungs").eval()
        with torch.no_grad():
            torch.testing.assert_close(network(volume.expand(-1, channels, -1, -1, -1)), wanted, atol=1e-5, rtol=0)


def test_a_bias_of_a_shortcut_without_convolution_is_refused() -> None:
    with pytest.raises(ValidationError, match="shortcut A has no convolution"):
        ResNet3dConfig(shortcut="A", bias_shortcut=True)
