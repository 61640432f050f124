"""The network as a plain nn.Module: its program, its copies, compiling, exporting, hooks, notes on errors."""

from __future__ import annotations

import copy
import pickle
import weakref
from typing import Any

import pytest
import torch
from networks import SIMPLE, assert_same, build, good, inputs_of, rows
from torch import Tensor, nn

from fusionkit.network.model import FusionModel


@pytest.fixture(scope="module")
def simple() -> FusionModel:
    return build(SIMPLE).eval()


def test_it_is_a_module_whose_keys_are_node_names(simple: FusionModel):
    assert {key.partition(".")[0] for key in simple.state_dict()} == {"lungs", "table", "fused", "kind"}
    assert [name for name, _ in simple.named_children()] == [node.name for node in simple.plan.nodes]


def test_the_program_reads_as_a_listing(simple: FusionModel):
    assert simple.listing() == (
        "lungs = lungs(ct)  # encoder.conv: B 5\ndel ct\n"
        "table = table(ehr)  # encoder.mlp: B 5\ndel ehr\n"
        "fused = fused(lungs, table)  # fusion.gmu: B 5\ndel lungs, table\n"
        "kind = kind(fused)  # head.classify: B 3\ndel fused\n"
        "return dict(kind=kind)\n")


def test_it_computes_what_the_same_calls_by_hand_give(simple: FusionModel):
    x = inputs_of(simple)
    fused = simple.fused(simple.lungs(x["ct"]), simple.table(x["ehr"]))
    assert_same(simple(x), {"kind": simple.kind(fused)})


@pytest.mark.parametrize("name", ["two_streams", "all_optional", "with_losses"])
def test_values_end_with_their_last_reader(name: str):
    model = good(name).eval()
    alive: dict[str, weakref.ref[Tensor]] = {}
    last = {value.name: node.name for node in model.plan.nodes for value in (*node.values, *node.reads)}
    kept = {head.name for head in model.plan.heads}
    order = [node.name for node in model.plan.nodes]

    def before(module: nn.Module, args: Any, at: int) -> None:
        for value, reference in alive.items():
            if order.index(last[value]) < at and value not in kept and ".loss_" not in value:
                assert reference() is None, f"{value} is alive at {order[at]}"

    def after(module: nn.Module, args: Any, output: Any, values: list[str]) -> None:
        parts = (output,) if isinstance(output, Tensor) else output
        alive.update(zip(values, map(weakref.ref, parts), strict=True))

    for place, node in enumerate(model.plan.nodes):
        part = model.get_submodule(node.name)
        part.register_forward_pre_hook(lambda module, args, at=place: before(module, args, at))
        values = [value.name for value in node.values]
        part.register_forward_hook(lambda module, args, output, values=values: after(module, args, output, values))
    with torch.no_grad():
        model(inputs_of(model))
    assert len(alive) == sum(len(node.values) for node in model.plan.nodes)


def test_auxiliary_losses_are_outputs():
    outputs = good("with_losses").eval()(inputs_of(good("with_losses")))
    assert set(outputs) == {"size", "kind", "parts.loss_gap"}
    assert outputs["parts.loss_gap"].shape == ()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("name", ["two_streams", "all_optional"])
def test_copies_compute_the_same_and_stand_alone(name: str, again: Any):
    model = good(name).eval()
    x = inputs_of(model)
    expected = model(x)
    twin = again(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert_same(twin(x), expected)
    assert not twin.training and twin.plan.as_json() == model.plan.as_json()


VECTORS = """
fusionkit: 1
inputs: {ehr: {vector: [7]}, labs: {vector: [5], optional: true}, old: {vector: [5], optional: true}}
nodes:
  table: {use: encoder.mlp, from: ehr, with: {width: 3, hidden: []}}
  twins: {use: encoder.project, from: [labs, old], each: true, share: true, with: {width: 3}}
  stand: {chain: [encoder.placeholder, {use: encoder.project, with: {width: 3}}], from: labs}
  fused: {use: fusion.gmu, from: [table, twins, stand], with: {width: 3}}
  kind: {use: head.classify, from: fused, with: {classes: [a, b]}}
  late: {use: head.regress, from: twins.old, with: {values: [mm]}}
"""


@pytest.mark.slow  # follows the network's code
def test_it_compiles_in_one_graph():
    model = build(VECTORS).eval()
    x = inputs_of(model)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert_same(compiled(x), model(x), exact=False)
    present = {"labs": rows(1, 0, 1, 0, 1), "old": rows(0, 0, 1, 1, 1)}
    assert_same(compiled(x, present), model(x, present), exact=False)


def test_it_exports_with_a_batch_of_any_size():
    model = build(SIMPLE).eval()
    x = inputs_of(model)
    exported = export(model, x)
    for count in (2, 11):
        other = inputs_of(model, count, seed=count)
        assert_same(exported(other), model(other), exact=False)


@pytest.mark.slow  # follows the network's code
def test_it_exports_with_masks():
    model = build(VECTORS).eval()
    x, present = inputs_of(model), {"labs": rows(1, 0, 1, 0, 1), "old": rows(0, 0, 1, 1, 1)}
    exported = export(model, x, present)
    x, present = inputs_of(model, 3), {"labs": rows(0, 1, 0), "old": rows(0, 0, 1)}
    assert_same(exported(x, present), model(x, present), exact=False)


@pytest.mark.slow  # follows the network's code
def test_it_exports_without_an_optional_input():
    model = build(VECTORS).eval()
    x = {"ehr": inputs_of(model)["ehr"]}
    exported = export(model, x)
    x = {"ehr": inputs_of(model, 3)["ehr"]}
    assert_same(exported(x), model(x), exact=False)


def export(model: FusionModel, *args: dict[str, Tensor]) -> Any:
    batch = torch.export.Dim("batch", min=2, max=64)
    shapes = tuple({key: {0: batch} for key in arg} for arg in args)
    return torch.export.export(model, args, dynamic_shapes=shapes).module()


def test_hooks_are_honoured(simple: FusionModel):
    x = inputs_of(simple)
    seen = []
    with_hook = simple.table.register_forward_hook(lambda module, args, output: output * 0)
    everywhere = simple.register_forward_hook(lambda module, args, output: seen.append(set(output)))
    zeroed = simple(x)
    with_hook.remove()
    everywhere.remove()
    assert seen == [{"kind"}]
    assert not torch.equal(zeroed["kind"], simple(x)["kind"])


class Ten(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features.new_full((len(features), 5), 10.0)


@pytest.mark.parametrize("replace", [
    lambda model: setattr(model, "table", Ten()),
    lambda model: model.add_module("table", Ten()),
    lambda model: model.set_submodule("table", Ten()),
    lambda model: model.set_submodule("table.layers", nn.Sequential(nn.Linear(7, 5), nn.Identity())),
    lambda model: model.register_module("table", Ten()),
])
def test_a_replaced_submodule_is_called(replace: Any):
    model = build(SIMPLE).eval()
    x = inputs_of(model)
    before = model(x)["kind"]
    replace(model)
    assert not torch.equal(model(x)["kind"], before)
    twin = copy.deepcopy(model)
    assert_same(twin(x), model(x))


def test_an_error_in_a_node_says_which_and_where(simple: FusionModel):
    with pytest.raises(RuntimeError) as caught:
        simple({"ct": torch.zeros(2, 1, 5, 7, 6), "ehr": torch.zeros(2, 8)})
    (note,) = caught.value.__notes__
    assert note == "in node 'table' (encoder.mlp) at <graph>:14:3"


def test_a_missing_input_is_told_with_what_is_read(simple: FusionModel):
    with pytest.raises(ValueError, match="the input 'ct' is missing; the network 'network' reads ct, ehr"):
        simple({"ehr": torch.zeros(2, 7)})


def test_a_mask_for_no_input_is_refused(simple: FusionModel):
    with pytest.raises(ValueError, match="`present` has 'erh', which is not an input"):
        simple(inputs_of(simple), {"erh": torch.ones(2, dtype=torch.bool)})


def test_no_input_at_all_is_told():
    model = good("all_optional").eval()
    with pytest.raises(ValueError, match="no input"):
        model({})


def test_training_and_frozen_nodes():
    model = build(SIMPLE.replace("with: {widths: [3, 5]}", "freeze: true, with: {widths: [3, 5], dropout: 0.5}"))
    assert model.training and model.table.training and not any(part.training for part in model.lungs.modules())
    assert not any(parameter.requires_grad for parameter in model.lungs.parameters())
    assert all(parameter.requires_grad for parameter in model.table.parameters())
    statistics = {name: value.clone() for name, value in model.lungs.named_buffers()}
    x = inputs_of(model)
    model(x)["kind"].sum().backward()
    assert all(torch.equal(value, statistics[name]) for name, value in model.lungs.named_buffers())
    assert model.table.layers[0].weight.grad is not None
    model.eval()
    assert not model.table.training
    assert model.train() is model and not model.lungs.training


@pytest.mark.parametrize("name", ["two_streams", "all_optional"])
def test_a_batch_equals_its_items(name: str):
    model = good(name).eval()
    x = inputs_of(model)
    together = model(x)
    for row in range(5):
        alone = model({key: value[row : row + 1] for key, value in x.items()})
        assert_same(alone, {key: value[row : row + 1] for key, value in together.items()}, exact=False)


def test_evaluation_is_deterministic_and_leaves_no_state(simple: FusionModel):
    x = inputs_of(simple)
    before = {key: value.clone() for key, value in simple.state_dict().items()}
    assert_same(simple(x), simple(x))
    assert_same(simple.state_dict(), before)


def test_a_program_in_two_parts_computes_the_same(simple: FusionModel):
    x, present = inputs_of(simple), {"ehr": rows(1, 0, 1, 1, 1)}
    first, second = simple.split({"fused", "kind"})
    state = simple.advance(first, simple.begin(x, present))
    assert_same(simple.results(simple.advance(second, state)), simple(x, present))
    assert_same(simple.results(simple.advance(second, state)), simple(x, present)), "a state can be used again"


def test_the_head_of_a_chain():
    model = good("two_streams")
    assert hasattr(model.head("also"), "decode") and hasattr(model.head("kind"), "loss")


def test_dtype_follows_the_module(simple: FusionModel):
    model = copy.deepcopy(simple).double()
    x = {key: value.double() for key, value in inputs_of(model).items()}
    assert model(x)["kind"].dtype == torch.float64
    assert model({"ct": x["ct"]})["kind"].dtype == torch.float64
