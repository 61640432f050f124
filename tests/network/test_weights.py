"""Weights from and to files: exact, whole, inside their folder, and never an object."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fusionkit.errors import Diagnostic, GraphError
from fusionkit.network.build import build_plan, plan
from fusionkit.network.weights import load_into, read_tensors, save_weights
from fusionkit.planning.weights_used import weights_used


def layer() -> nn.Linear:
    return nn.Linear(7, 3)


def fault(caught: pytest.ExceptionInfo[GraphError]) -> Diagnostic:
    (found,) = caught.value.diagnostics
    return found


def test_weights_come_back_to_the_bit(tmp_path: Path):
    first, second = nn.Sequential(layer(), nn.BatchNorm1d(3)), nn.Sequential(layer(), nn.BatchNorm1d(3))
    save_weights(first, tmp_path / "sub" / "w.safetensors")
    load_into(second, read_tensors(tmp_path / "sub" / "w.safetensors"), "it")
    again = second.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.state_dict().items())
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["w.safetensors"], "nothing is left beside it"


def test_weights_that_two_layers_share(tmp_path: Path):
    first = nn.ModuleDict({"a": layer()})
    first["b"] = first["a"]
    save_weights(first, tmp_path / "w.safetensors")
    assert set(read_tensors(tmp_path / "w.safetensors")) == {"a.weight", "a.bias", "b.weight", "b.bias"}


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"state_dict": state, "epoch": 3}])
def test_a_plain_pt_file_is_read(tmp_path: Path, wrap: Any):
    own = layer()
    torch.save(wrap(own.state_dict()), tmp_path / "w.pt")
    tensors = read_tensors(tmp_path / "w.pt")
    assert torch.equal(tensors["weight"], own.weight)


class Malice:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_malicious_file_is_refused_and_not_executed(tmp_path: Path, protocol: int):
    trap = tmp_path / "trap"
    plain, zipped = tmp_path / "plain.pt", tmp_path / "zipped.pt"
    plain.write_bytes(pickle.dumps({"weight": Malice(trap)}, protocol=protocol))
    torch.save({"weight": torch.ones(3), "extra": Malice(trap)}, zipped, pickle_protocol=protocol)
    for path in (plain, zipped):
        with pytest.raises(GraphError) as caught:
            read_tensors(path)
        found = fault(caught)
        assert found.code == "unreadable-weights"
        assert found.fix == "save its tensors as .safetensors; files with objects are not loaded"
        assert not trap.exists()


def test_a_module_as_a_whole_is_refused(tmp_path: Path):
    torch.save(layer(), tmp_path / "w.pt")
    with pytest.raises(GraphError, match="unreadable-weights"):
        read_tensors(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["absent.safetensors", "absent.pt", "folder.safetensors", "folder.pt",
                                  "text.safetensors", "text.pt", "empty.safetensors", "empty.pt", "cut.safetensors",
                                  "cut.pt", "list.pt", "numbers.pt", "odd.pt"])
def test_files_that_hold_no_weights(tmp_path: Path, name: str):
    for suffix in (".safetensors", ".pt"):
        (tmp_path / f"folder{suffix}").mkdir()
        (tmp_path / f"text{suffix}").write_text("hello world, this is no file of weights")
        (tmp_path / f"empty{suffix}").touch()
    save_file({"a": torch.ones(100)}, tmp_path / "whole.safetensors")
    torch.save({"a": torch.ones(100)}, tmp_path / "whole.pt")
    for suffix in (".safetensors", ".pt"):
        (tmp_path / f"cut{suffix}").write_bytes((tmp_path / f"whole{suffix}").read_bytes()[:-50])
    torch.save([torch.ones(3)], tmp_path / "list.pt")
    torch.save({"a": 1}, tmp_path / "numbers.pt")
    torch.save({"state_dict": torch.ones(3)}, tmp_path / "odd.pt")
    with pytest.raises(GraphError) as caught:
        read_tensors(tmp_path / name)
    found = fault(caught)
    assert found.code == "unreadable-weights" and found.why and found.fix


@pytest.mark.parametrize(("change", "why"), [
    ({"bias": None}, "missing bias"),
    ({"scale": torch.ones(1)}, "unexpected scale"),
    ({"weight": torch.ones(3, 5)}, "of another size: weight is [3, 5], needed [3, 7]"),
    ({"bias": None, "scale": torch.ones(1)}, "missing bias; unexpected scale"),
    ({f"x{i}": torch.ones(1) for i in range(6)}, "unexpected x0, x1, x2, x3 and 2 more"),
])
def test_weights_that_do_not_fit(change: dict[str, Tensor | None], why: str):
    tensors = {**layer().state_dict(), **change}
    with pytest.raises(GraphError) as caught:
        load_into(layer(), {name: value for name, value in tensors.items() if value is not None}, "node 'a'")
    found = fault(caught)
    assert (found.code, found.message, found.why) == ("wrong-weights", "the weights do not fit node 'a'", why)


GRAPH = """
fusionkit: 1
inputs: {{ehr: {{vector: [7]}}}}
nodes:
  table: {{use: encoder.mlp, from: ehr, with: {{width: 3, hidden: []}}, weights: {}}}
  size: {{use: head.regress, from: table, with: {{values: [mm]}}}}
"""


def start(folder: Path, weights: str) -> nn.Module:
    (folder / "graph.yaml").write_text(GRAPH.format(weights))
    return build_plan(plan(folder / "graph.yaml", measured=False)).table


def test_a_node_starts_from_the_shards_of_an_index(tmp_path: Path):
    (tmp_path / "graphs").mkdir()
    folder, index = tmp_path / "graphs" / "big", "m.safetensors.index.json"
    folder.mkdir()
    wanted = {"a.layers.0.weight": torch.randn(3, 7), "a.layers.0.bias": torch.randn(3)}
    for number, (name, value) in enumerate(wanted.items()):
        save_file({name: value}, folder / f"m-{number}.safetensors")
    placed = {name: f"m-{number}.safetensors" for number, name in enumerate(wanted)}
    (folder / index).write_text(json.dumps({"weight_map": placed}))
    assert torch.equal(start(tmp_path / "graphs", f"big/{index}#a").layers[0].bias, wanted["a.layers.0.bias"])
    (used,) = weights_used(plan(tmp_path / "graphs" / "graph.yaml", measured=False))
    content = b"".join((folder / name).read_bytes() for name in placed.values())
    assert used.as_json()["sha256"] == hashlib.sha256(content).hexdigest()
    (folder / "m-1.safetensors").rename(tmp_path / "m-1.safetensors")
    with pytest.raises(GraphError, match=r"graph\.yaml:5:3: .*lacks 1 of 2 shards: m-1\.safetensors"):
        start(tmp_path / "graphs", f"big/{index}#a")
    (folder / "m-1.safetensors").symlink_to(tmp_path / "m-1.safetensors")
    with pytest.raises(GraphError, match="outside-folder"):
        start(tmp_path / "graphs", f"big/{index}#a")
    (folder / "m.bin.index.json").write_text("{}")
    with pytest.raises(GraphError, match=r"it is no index of \.safetensors files"):
        start(tmp_path / "graphs", "big/m.bin.index.json#a")


def test_a_link_to_a_file_without_suffix_is_read_as_a_hub_caches_it(tmp_path: Path):
    wanted = {"layers.0.weight": torch.randn(3, 7), "layers.0.bias": torch.randn(3)}
    save_file(wanted, tmp_path / "blob")
    (tmp_path / "w.safetensors").symlink_to(tmp_path / "blob")
    assert torch.equal(start(tmp_path, "w.safetensors").layers[0].weight, wanted["layers.0.weight"])


def test_a_node_starts_from_a_file(tmp_path: Path):
    wanted = {"layers.0.weight": torch.randn(3, 7), "layers.0.bias": torch.randn(3)}
    save_file(wanted, tmp_path / "w.safetensors")
    save_file({f"old.table.{name}": value for name, value in wanted.items()} | {"other": torch.ones(1)},
              tmp_path / "all.safetensors")
    for name in ("w.safetensors", "all.safetensors#old.table", "all.safetensors#old.table.", "sub/../w.safetensors"):
        assert torch.equal(start(tmp_path, name).layers[0].weight, wanted["layers.0.weight"])


@pytest.mark.parametrize(("name", "code"), [
    ("w.safetensors", "unreadable-weights"), ("''", "unreadable-weights"),
    ("../w.safetensors", "outside-folder"), ("/etc/passwd", "outside-folder"), ("sub/../../w.pt", "outside-folder"),
    ("link.safetensors", "outside-folder"), ('"a\\0b.pt"', "outside-folder"), ("all.safetensors#none", "wrong-weights"),
    ("all.safetensors", "wrong-weights"),
])
def test_weights_that_a_graph_cannot_have(tmp_path: Path, name: str, code: str):
    folder = tmp_path / "inner"
    folder.mkdir()
    save_file({"x": torch.ones(3)}, tmp_path / "w.safetensors")
    save_file({"x": torch.ones(3)}, folder / "all.safetensors")
    (folder / "link.safetensors").symlink_to(tmp_path / "w.safetensors")
    with pytest.raises(GraphError) as caught:
        start(folder, name)
    found = fault(caught)
    assert found.code == code
    assert found.span is not None and found.span.line == 5


def test_weights_that_are_typed_may_lie_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    graph = tmp_path / "graphs" / "graph.yaml"
    graph.parent.mkdir()
    graph.write_text("fusionkit: 1\ninputs: {a: {vector: [7]}}\nnodes:\n"
                     "  told: {use: encoder.project, from: a, with: {width: 3}}\n"
                     "  kind: {use: head.classify, from: told, with: {classes: [x, y]}}\n")
    first = build_plan(plan(graph), seed=1)
    save_weights(first, tmp_path / "run" / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    second = build_plan(plan(graph, sets=["nodes.told.weights=run/model.safetensors#told"]), seed=2)
    own = first.get_submodule("told").state_dict()
    assert all(torch.equal(value, own[name]) for name, value in second.get_submodule("told").state_dict().items())
    graph.write_text(graph.read_text().replace("from: a", "from: a, weights: ../run/model.safetensors#told"))
    with pytest.raises(GraphError) as caught:
        build_plan(plan(graph))
    assert fault(caught).code == "outside-folder"


@pytest.mark.parametrize("key", ["state_dict", "model_state", "model_state_dict", "model"])
def test_a_checkpoint_keeps_its_tensors_among_other_things(tmp_path: Path, key: str):
    torch.save({"epoch": 3, "args": {"depth": 50}, key: {"w": torch.ones(2)}}, tmp_path / "w.pt")
    assert list(read_tensors(tmp_path / "w.pt")) == ["w"]


@pytest.mark.parametrize(("change", "why"), [
    (lambda weight: weight.index_fill(0, torch.tensor([1]), torch.nan), "NaN or infinite: weight (7 of 21)"),
    (lambda weight: weight / 0, "NaN or infinite: weight (21 of 21)"),
    (lambda weight: weight.to(torch.int8), "of another kind of number: weight is int8, needed float32"),
    (lambda weight: weight > 0, "of another kind of number: weight is bool, needed float32"),
    (lambda weight: weight.to(torch.complex64), "of another kind of number: weight is complex64, needed float32"),
])
def test_numbers_that_no_training_leaves_are_refused(change: Any, why: str):
    own = layer()
    with pytest.raises(GraphError) as caught:
        load_into(layer(), {"weight": change(own.weight.detach()), "bias": own.bias.detach()}, "it")
    assert (fault(caught).code, fault(caught).why) == ("wrong-weights", why)


def test_rounded_weights_and_those_that_are_infinite_by_design_are_taken():
    class Masked(nn.Linear):
        def __init__(self) -> None:
            super().__init__(7, 3)
            self.register_buffer("mask", torch.full((5,), -torch.inf))

    first, second = Masked(), Masked()
    load_into(second, {name: value.bfloat16() for name, value in first.state_dict().items()}, "it")
    assert torch.equal(second.weight, first.weight.bfloat16().float())


def test_no_advice_to_load_objects(tmp_path: Path):
    torch.save({"weight": Malice(tmp_path / "made")}, tmp_path / "w.pt")
    with pytest.raises(GraphError) as caught:
        read_tensors(tmp_path / "w.pt")
    assert "weights_only" not in fault(caught).render() and not (tmp_path / "made").exists()
