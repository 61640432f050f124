"""A network as a folder, and back again bit for bit."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from networks import assert_same, build, good, inputs_of
from odd_components import registry

import fusionkit
from fusionkit.errors import GraphError
from fusionkit.network.folder import load, save_network
from fusionkit.network.model import FusionModel
from fusionkit.registry.lookup import Registry


@pytest.fixture(params=["two_streams", "all_optional", "with_losses", "smallest"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[FusionModel, Path]:
    model = good(request.param)
    model(inputs_of(model))  # moves the running statistics
    save_network(model, tmp_path)
    return model.eval(), tmp_path


def test_a_folder_is_the_same_network_to_the_bit(saved: tuple[FusionModel, Path]):
    model, folder = saved
    again = load(folder, registry())
    assert_same(dict(again.state_dict()), dict(model.state_dict()))
    x = inputs_of(model)
    assert_same(again(x), model(x))
    assert again.plan.as_json() == model.plan.as_json()
    assert not again.training


def test_saving_what_was_loaded_gives_the_same_files(saved: tuple[FusionModel, Path], tmp_path: Path):
    _, folder = saved
    save_network(load(folder, registry()), tmp_path / "again")
    for name in ("graph.yaml", "model.safetensors", "lock.json", "listing.txt"):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_what_a_folder_holds(tmp_path: Path):
    model = good("two_streams")
    save_network(model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "graph.yaml", "listing.txt", "lock.json", "model.safetensors"]
    packages = json.loads((tmp_path / "lock.json").read_text())["packages"]
    assert packages["torch"] == version("torch") and packages["fusionkit"] == fusionkit.__version__
    assert "label_smoothing: 0.0" in (tmp_path / "graph.yaml").read_text(), "every default is written"
    assert (tmp_path / "listing.txt").read_text() == model.listing()


def test_a_network_whose_sizes_came_from_the_data(tmp_path: Path):
    made = fusionkit.build({"fusionkit": 1, "inputs": {"ehr": {"vector": ["auto"]}}, "nodes": {
        "size": {"use": "head.regress", "from": "ehr", "with": {"values": ["mm"]}}}}, sizes={"ehr": (7,)})
    save_network(made, tmp_path)
    assert load(tmp_path).plan.inputs[0].shape.sizes == (7,)


def test_a_network_that_started_from_a_file_stands_alone(tmp_path: Path):
    first = build("fusionkit: 1\ninputs: {ehr: {vector: [7]}}\nnodes:\n"
                  "  size: {use: head.regress, from: ehr, with: {values: [mm]}}\n")
    save_network(first, tmp_path / "first")
    graph = tmp_path / "graph.yaml"
    graph.write_text("fusionkit: 1\ninputs: {ehr: {vector: [7]}}\nnodes:\n  size: {use: head.regress, from: ehr, "
                     "with: {values: [mm]}, weights: first/model.safetensors#size}\n")
    second = fusionkit.build(graph, seed=9)
    assert_same(dict(first.state_dict()), dict(second.state_dict()))
    save_network(second, tmp_path / "second")
    shutil.rmtree(tmp_path / "first")
    assert_same(dict(load(tmp_path / "second").state_dict()), dict(second.state_dict()))


@pytest.mark.parametrize(("spoil", "code"), [
    (lambda folder: (folder / "graph.yaml").unlink(), "no-network"),
    (lambda folder: (folder / "model.safetensors").unlink(), "unreadable-weights"),
    (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 40), "unreadable-weights"),
    (lambda folder: (folder / "graph.yaml").write_text("fusionkit: 2\n"), "missing-key"),
    (lambda folder: shutil.copy(folder.parent / "other" / "model.safetensors", folder), "wrong-weights"),
])
def test_a_folder_that_is_spoilt(tmp_path: Path, spoil: object, code: str):
    save_network(good("smallest"), tmp_path / "it")
    save_network(good("two_streams"), tmp_path / "other")
    spoil(tmp_path / "it")  # type: ignore[operator]  # a function
    with pytest.raises(GraphError) as caught:
        load(tmp_path / "it")
    assert caught.value.diagnostics[0].code == code


def test_a_plugin_that_is_not_here(tmp_path: Path):
    save_network(good("smallest"), tmp_path)
    with pytest.raises(GraphError, match=r"there is no component 'head\.regress'"):
        load(tmp_path, Registry([]))


def test_weights_on_another_precision_are_kept(tmp_path: Path):
    model = good("smallest").half()
    save_network(model, tmp_path)
    again = load(tmp_path)
    assert torch.equal(again.state_dict()["size.layers.1.weight"].half(), model.state_dict()["size.layers.1.weight"])
