"""`fusionkit weights convert` on files of Keras, written here in every layout that it has had."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from keras_files import LAYOUTS, Layers, layers_of, write
from safetensors.torch import load_file

from fusionkit.cli.parser import main
from fusionkit.conversion.convert import convert, parts_of
from fusionkit.conversion.keras import arranged, read_keras
from fusionkit.network.build import build
from fusionkit.network.model import FusionModel

# The two networks of MultiFusionNet and its `reference`, small, and little else.
GRAPH = Path(__file__).with_name("two_networks.yaml")


@pytest.fixture(scope="module")
def model() -> FusionModel:
    made = build(GRAPH, seed=5)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, value in made.state_dict().items():
            if value.is_floating_point() and name.partition(".")[0] in ("resnet", "inception"):
                value.copy_(torch.rand(value.shape, generator=generator))
    return made


def of_network(model: FusionModel, release: str) -> Layers:
    """The layers in the order of the network, which is not that of creation where it branches."""
    layers = layers_of(model, release)
    part, = parts_of(model, release)
    return {name: layers[name] for kind in ("conv2d", "batch_normalization") for name in part.release.ordered[kind]}


def converted(path: Path, release: str, folder: Path, *more: str) -> tuple[int, dict[str, torch.Tensor]]:
    written = folder / "out.safetensors"
    code = main(["weights", "convert", str(path), "--graph", str(GRAPH), "--from", release, "-o", str(written), *more])
    return code, load_file(written) if written.exists() else {}


def read_into(path: Path, release: str, model: FusionModel) -> dict[str, torch.Tensor]:
    """What the command would write, from a copy of the model whose numbers are all others."""
    other = deepcopy(model)
    with torch.no_grad():
        for value in other.state_dict().values():
            value.fill_(7)
    conversion = convert(other, arranged(parts_of(other, release), read_keras(path)), release)
    assert not conversion.report.missing and not conversion.report.misfits
    return {name: value for name, value in conversion.tensors.items() if not name.endswith("num_batches_tracked")}


def assert_same(tensors: Mapping[str, torch.Tensor], model: FusionModel, node: str) -> None:
    own = {name: value for name, value in model.state_dict().items() if name.startswith(f"{node}.")
           and not name.endswith("num_batches_tracked")}
    tensors = {name: value for name, value in tensors.items() if not name.endswith("num_batches_tracked")}
    assert tensors.keys() == own.keys()
    assert [name for name in own if not torch.equal(tensors[name], own[name])] == []


@pytest.mark.parametrize("release", ["resnet", "inception"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(layout: str, release: str, model: FusionModel, tmp_path: Path):
    path = write(tmp_path / f"published{LAYOUTS[layout]}", layout, of_network(model, release))
    assert_same(read_into(path, release, model), model, release)


def test_the_command(model: FusionModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write(tmp_path / "published.h5", "legacy", {**of_network(model, "resnet"),
                                                       "other": {"kernel": np.ones((2, 3), np.float32)}})
    code, tensors = converted(path, "resnet", tmp_path)
    assert code == 0
    assert "unexpected (1): other.kernel" in capsys.readouterr().out
    assert_same(tensors, model, "resnet")


def counted_from(layers: Layers, first: int) -> dict[str, Any]:
    """As Keras names them where a network with so many layers was built before; its first layer has no number."""
    found = {}
    for name, layer in layers.items():
        kind, _, number = name.rpartition("_")
        number = int(number) + first
        found[f"{kind}_{number}" if number else kind] = layer
    return found


@pytest.mark.parametrize("first", [0, 1, 94])
@pytest.mark.parametrize("layout", ["legacy", "archive", "attribute"])
def test_layers_counted_from_elsewhere(layout: str, first: int, model: FusionModel, tmp_path: Path):
    layers = counted_from(of_network(model, "inception"), first)
    path = write(tmp_path / f"a{LAYOUTS[layout]}", layout, layers)
    assert_same(read_into(path, "inception", model), model, "inception")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_networks_inside_a_model_of_the_user(layout: str, model: FusionModel, tmp_path: Path):
    dense = {"kernel": np.ones((1, 1, 3, 5), np.float32), "bias": np.ones(5, np.float32)}
    layers = {"conv2d_7": dense, "resnet50v2": of_network(model, "resnet"),
              "inception_v3": counted_from(of_network(model, "inception"), 8)}
    path = write(tmp_path / f"trained{LAYOUTS[layout]}", layout, layers)
    for release in ("resnet", "inception"):
        assert_same(read_into(path, release, model), model, release)


@pytest.mark.parametrize("layout", ["legacy", "archive"])
def test_both_networks_flat_in_one_model(layout: str, model: FusionModel, tmp_path: Path):
    before = {"conv2d": {"kernel": np.ones((3, 3, 3, 2), np.float32), "bias": np.ones(2, np.float32)}}
    layers = {**before, **of_network(model, "resnet"), **counted_from(of_network(model, "inception"), 1)}
    path = write(tmp_path / f"flat{LAYOUTS[layout]}", layout, layers)
    for release in ("resnet", "inception"):
        assert_same(read_into(path, release, model), model, release)


def test_a_layer_of_another_size_or_missing_is_told(model: FusionModel, tmp_path: Path,
                                                    capsys: pytest.CaptureFixture[str]):
    layers = {name: dict(layer) for name, layer in of_network(model, "resnet").items()}
    layers["conv1_conv"]["bias"] = np.zeros(5, np.float32)
    code, tensors = converted(write(tmp_path / "a.h5", "legacy", layers), "resnet", tmp_path)
    assert (code, tensors) == (2, {})
    assert "conv1_conv.bias is [5], resnet.conv1_conv.bias is [4]" in capsys.readouterr().err
    del layers["conv1_conv"]["bias"]
    path = write(tmp_path / "b.h5", "legacy", layers)
    assert converted(path, "resnet", tmp_path)[0] == 2
    assert "resnet.conv1_conv.bias (conv1_conv.bias)" in capsys.readouterr().err
    assert converted(path, "resnet", tmp_path, "--partial")[0] == 0


def test_without_h5py_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]):
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert converted(tmp_path / "a.h5", "resnet", tmp_path)[0] == 2
    assert "pip install h5py" in capsys.readouterr().err
