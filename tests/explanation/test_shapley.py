"""Shapley values of modalities: the axioms, and a network whose values are worked out by hand."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from fusionkit_plugins.explanations.shapley import Shares, shapley, shares
from made_networks import Cases, network, registry

from fusionkit.errors import GraphError
from fusionkit.explanation.network_view import NetworkView
from fusionkit.inference.predict import Settings
from fusionkit.network.model import FusionModel
from fusionkit.network.optional_inputs import all_optional, answers

TWO = {"left": {"vector": [3]}, "right": {"vector": [3]}}
KIND = {"use": "head.classify", "from": "joined", "with": {"classes": ["a", "b"]}}
VALUE = {"use": "head.regress", "from": "joined", "with": {"values": ["length", "weight"]}}


def three(**changes: object) -> FusionModel:
    inputs = {name: {"vector": [3]} for name in ("left", "middle", "right")}
    return network(inputs, {"joined": {"use": "fusion.gmu", "from": list(inputs), "with": {"width": 5}, **changes},
                            "kind": KIND, "size": VALUE})


def view(model: FusionModel) -> NetworkView:
    return NetworkView(model, registry(), Settings(batch_size=3, device="cpu"))


def shares_of(model: FusionModel, cases: Cases) -> dict[str, Shares]:
    prior = {"kind": np.array([0.25, 0.75]), "size": np.array([2.0, -1.0])}
    found, notes = shares(view(model), cases, model.plan.heads, lambda head: prior[head.name])
    assert notes == []
    return found


def test_values_are_the_mean_over_all_orders_of_what_each_adds() -> None:
    table = np.random.default_rng(0).normal(size=(16, 5, 2))
    wanted = np.zeros((4, 5, 2))
    for order in permutations(range(4)):
        subset = 0
        for member in order:
            wanted[member] += (table[subset | 1 << member] - table[subset]) / 24
            subset |= 1 << member
    np.testing.assert_allclose(shapley(table), wanted, atol=1e-12)


def test_they_lead_from_nothing_to_the_whole() -> None:
    model = three()
    found = shares_of(model, cases := Cases(model))
    with torch.no_grad():
        wanted = answers(model, *cases.batch)
    for name, mine in found.items():
        np.testing.assert_allclose(mine.values.sum(1), mine.whole - mine.nothing, atol=1e-6)
        np.testing.assert_allclose(mine.whole, wanted[name].values.numpy(), atol=1e-6)
        assert np.abs(mine.values).min() > 0
    np.testing.assert_array_equal(found["kind"].nothing, np.tile([0.25, 0.75], (7, 1)))
    assert not found["kind"].answered


def test_an_input_that_changes_nothing_adds_nothing_and_equal_ones_add_the_same() -> None:
    """A plain sum of two equal inputs and one whose projection is zero."""
    model = network({name: {"vector": [3]} for name in ("left", "middle", "right")}, {
        "silent": {"use": "encoder.project", "from": "middle", "with": {"width": 3}},
        "joined": {"use": "fusion.sum", "from": ["left", "silent", "right"]}, "size": VALUE})
    with torch.no_grad():
        for parameter in model.get_submodule("silent").parameters():
            parameter.zero_()
    cases = Cases(model)
    cases.inputs["right"] = cases.inputs["left"]
    mine = shares_of(model, cases)["size"]
    # An input that is the only one there still makes the head speak: it takes part in the step away from the prior.
    step = mine.values - mine.values[:, 1:2]
    np.testing.assert_allclose(step[:, 0], step[:, 2], atol=1e-6)
    assert np.abs(step[:, 0]).max() > 0.1
    answering = network({name: {"vector": [3]} for name in ("left", "middle", "right")}, {
        "first": {"use": "encoder.placeholder", "from": "left"}, "silent": {"use": "encoder.project", "from": "middle",
                                                                            "with": {"width": 3}},
        "joined": {"use": "fusion.sum", "from": ["first", "silent", "right"]}, "size": VALUE})
    with torch.no_grad():
        for parameter in answering.get_submodule("silent").parameters():
            parameter.zero_()
    mine = shares_of(answering, cases)["size"]
    assert mine.answered
    np.testing.assert_allclose(mine.values[:, 1], 0, atol=1e-6)
    assert np.abs(mine.values[:, 0]).max() > 0.1


def test_a_product_is_shared_equally() -> None:
    """f = w . (x + y + x y) + b: each gets its own term and half of the product, and half of the way from the prior."""
    model = network(TWO, {"joined": {"use": "fusion.sum_and_product", "from": ["left", "right"]}, "size": VALUE})
    cases = Cases(model)
    mine = shares_of(model, cases)["size"]
    layer = model.head("size").layers[-1]
    x, y = cases.inputs["left"], cases.inputs["right"]
    with torch.no_grad():
        start = layer.bias - torch.tensor([2.0, -1.0])
        scale = model.head("size").decode(layer.bias.unsqueeze(0)) / layer.bias
        torch.testing.assert_close(scale, torch.ones_like(scale))
        own = [(part @ layer.weight.T) + (x * y) @ layer.weight.T / 2 + start / 2 for part in (x, y)]
    np.testing.assert_allclose(mine.values, torch.stack(own, 1).numpy(), atol=1e-5)


def test_a_case_without_an_input_gives_it_nothing() -> None:
    model = network({name: {"vector": [3], "optional": True} for name in ("left", "right")}, {
        "joined": {"use": "fusion.gmu", "from": ["left", "right"], "with": {"width": 5}}, "kind": KIND})
    gone = torch.tensor([True, False, True, True, False, True, True])
    mine = shares_of(model, Cases(model, present={"left": gone}))["kind"]
    assert (mine.values[~gone.numpy(), 0] == 0).all()
    assert (mine.there[:, 0] == gone.numpy()).all()
    np.testing.assert_allclose(mine.values.sum(1), mine.whole - mine.nothing, atol=1e-6)


def test_the_network_with_optional_inputs_is_the_same_network() -> None:
    model = three()
    other = all_optional(model, registry())
    inputs, present = Cases(model).batch
    assert all(value.present is not None for value in other.plan.inputs)
    with torch.no_grad():
        one, two = model(inputs), other(inputs)
        alone = answers(other, inputs, present, ["middle"])
        nothing = answers(other, inputs, present, [])
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert {tensor.data_ptr() for tensor in model.parameters()} == {tensor.data_ptr() for tensor in other.parameters()}
    assert bool(alone["kind"].valid.all()) and not bool(nothing["kind"].valid.any())
    assert not torch.equal(alone["kind"].values, model.head("kind").decode(one["kind"]))
    assert all(value.present is None for value in model.plan.inputs)


def test_taken_away_inputs_may_hold_anything() -> None:
    model = all_optional(three(), registry())
    inputs, present = Cases(model).batch
    with torch.no_grad():
        before = answers(model, inputs, present, ["left", "right"])
        after = answers(model, {**inputs, "middle": torch.full((7, 3), float("nan"))}, present, ["left", "right"])
    assert torch.equal(before["kind"].values, after["kind"].values)


def test_a_component_that_needs_its_input_is_named() -> None:
    model = network(TWO, {"joined": {"use": "fusion.strict", "from": {"left": "left", "right": "right"}}, "kind": KIND})
    with pytest.raises(GraphError) as caught:
        all_optional(model, registry())
    (found,) = caught.value.diagnostics
    assert found.code == "absent-input"
    assert "fusion.strict requires 'left'" in found.message


def test_without_a_prior_a_head_without_a_result_is_left_out() -> None:
    model = three()
    found, notes = shares(view(model), Cases(model), model.plan.heads,
                          lambda head: None if head.name == "size" else np.array([0.5, 0.5]))
    assert set(found) == {"kind"}
    assert "'size'" in notes[0]
