"""Masked tokens: neither padding, nor what it holds, nor how much of it there is, changes a result or a gradient."""

from __future__ import annotations

import json
import math

import pytest
import torch
from networks import SIMPLE, build, inputs_of
from torch import Tensor

from fusionkit.errors import GraphError
from fusionkit.network.model import FusionModel
from fusionkit.network.optional_inputs import all_optional, answers
from fusionkit.network.padding import padded
from fusionkit.registry.lookup import discover
from fusionkit.shapes.layouts import MaskedTokens

GRAPH = """
fusionkit: 1
inputs:
  slide: {tokens: [null, 6], max: 40, optional: true}
  visit: {tokens: [null, 5]}
  ehr: {vector: [4], optional: true}
nodes:
  a: {use: encoder.mlp, from: slide, with: {width: 8, norm: batch}}
  b: {chain: [{use: encoder.project, with: {width: 8, norm: layer}}, {use: encoder.dropout, with: {rate: 0.0}}],
      from: visit}
  c: {use: encoder.mlp, from: ehr, with: {width: 8}}
  both: {chain: [{use: encoder.project, with: {width: 8}}, {use: encoder.project, with: {width: 8}}], from: [a, b],
         each: true, share: true}
  own: {use: head.classify, from: c, with: {classes: [x, y]}}
  NODES
  result: {use: head.classify, from: last, with: {classes: [x, y]}}
"""
FUSIONS = {
    "attention_pool": "last: {use: fusion.attention_pool, from: [both.a, both.b]}",
    "pools": "each: {use: encoder.pool, from: both, each: true}\n  last: {use: fusion.sum, from: each}",
    "max": "each: {use: encoder.pool, from: both, each: true, with: {kind: max}}\n"
           "  last: {use: fusion.sum, from: each}",
    "token_self": "last: {use: fusion.token_self, from: [both.a, both.b], with: {width: 8, heads: 2, output: mean}}",
    "tokens": "all: {use: fusion.token_self, from: [both.a, both.b], with: {width: 8, heads: 2, output: tokens}}\n"
              "  last: {use: encoder.pool, from: all, with: {kind: gem}}",
    "perceiver": "last: {use: fusion.perceiver, from: [both.a, both.b], with: {width: 8, heads: 2}}",
    "healnet": "last: {use: fusion.healnet, from: [both.a, both.b, slide, ehr], with: {width: 8, latents: 3}}",
    "mcat": "last: {use: fusion.mcat, from: [both.a, ehr, both.b], with: {width: 8, heads: 2, inside: 7, dropout: 0}}",
    "survpath": "last: {use: fusion.survpath, from: [both.a, ehr, both.b], with: {width: 8, kernel: 3, dropout: 0,\n"
                "         group_dropout: 0}}",
    "token by token": "two: {use: fusion.mean, from: [a, both.a]}\n"
                      "  gated: {use: fusion.gmu, from: [two, both.a], with: {width: 8}}\n"
                      "  weighted: {use: encoder.mfa, from: gated}\n"
                      "  curved: {use: encoder.kan, from: weighted, with: {width: 3, squash: true}}\n"
                      "  side: {use: fusion.concat, from: [curved, weighted], with: {width: 8}}\n"
                      "  all: {use: fusion.concat, from: [side, both.b], with: {axis: tokens, availability: true}}\n"
                      "  last: {use: fusion.attention_pool, from: all}",
    "mult": "last: {use: fusion.mult, from: [both.a, both.b], with: {width: 8, heads: 2, positions: none}}",
    "mbt": "all: {use: fusion.mbt, from: [both.a, both.b], with: {width: 8, heads: 2, output: tokens}}\n"
           "  last: {use: encoder.pool, from: all, with: {kind: avgmax}}",
    "coattention": "two: {use: fusion.coattention, from: [both.a, both.b]}\n"
                   "  last: {use: fusion.concat, from: two}",
    "cross_attention": "two: {use: fusion.cross_attention, from: [both.a, both.b], with: {heads: 2, mode: pairs}}\n"
                       "  last: {use: fusion.attention_pool, from: two}",
}
SLIDES, VISITS = (3, 0, 5, 2), (2, 4, 1, 3)
Masks = dict[str, Tensor]


def network(name: str) -> FusionModel:
    return build(GRAPH.replace("NODES", FUSIONS[name])).double()


def cases(slides: int, visits: int, content: float = 0.0) -> tuple[Masks, Masks, Masks]:
    """Four cases padded to these numbers of tokens, the padding filled with `content`."""
    generator = torch.Generator().manual_seed(1)
    inputs, valid = {}, {}
    for name, width, size, counts in (("slide", 6, slides, SLIDES), ("visit", 5, visits, VISITS)):
        real = torch.randn(4, max(counts), width, generator=generator, dtype=torch.float64)
        mask = torch.arange(size) < torch.tensor(counts)[:, None]
        tokens = torch.full((4, size, width), content, dtype=torch.float64)
        tokens[:, :max(counts)] = real
        inputs[name], valid[name] = torch.where(mask[..., None], tokens, content), mask
    inputs["ehr"] = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    return inputs, {"ehr": torch.tensor([True, False, True, True])}, valid


def run(model: FusionModel, given: tuple[Masks, Masks, Masks]) -> tuple[Masks, Masks]:
    inputs, present, valid = given
    leaves = {name: value.clone().requires_grad_() for name, value in inputs.items()}
    model.zero_grad()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    outputs = model(leaves, present, valid)
    torch.stack([value.square().sum() for value in outputs.values()]).sum().backward()
    found = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    found |= {name: torch.where(valid[name][..., None], leaf.grad, 0)[:, :max(max(SLIDES), max(VISITS))]
              for name, leaf in leaves.items() if name in valid}
    model.load_state_dict(state)
    return {name: value.detach() for name, value in outputs.items()}, found


def close(one: Masks, other: Masks, exact: bool) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        size = min(value.shape[1], other[name].shape[1]) if value.dim() == 3 else None
        first, second = (x if size is None else x[:, :size] for x in (value, other[name]))
        assert second.isfinite().all(), name
        torch.testing.assert_close(second, first, **({"rtol": 0, "atol": 0} if exact else {}))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", FUSIONS)
def test_padding_changes_nothing(name: str, training: bool):
    model = network(name).train(training)
    outputs, gradients = run(model, cases(5, 4))
    for content in (math.nan, math.inf, 1e30):
        worse, their = run(model, cases(5, 4, content))
        close(outputs, worse, exact=True)
        close(gradients, their, exact=True)
    for sizes in ((6, 4), (5, 9), (40, 17)):
        longer, their = run(model, cases(*sizes, math.nan))
        close(outputs, longer, exact=False)
        close(gradients, their, exact=False)


@pytest.mark.parametrize("name", FUSIONS)
def test_a_case_is_computed_as_if_it_were_alone(name: str):
    model = network(name).eval()
    inputs, present, valid = cases(7, 5, math.nan)
    together = model(inputs, present, valid)
    for row in range(4):
        alone = {"ehr": inputs["ehr"][row:][:1], "slide": inputs["slide"][row:, :SLIDES[row]][:1],
                 "visit": inputs["visit"][row:, :VISITS[row]][:1]}
        found = model(alone, {"ehr": present["ehr"][row:][:1]})
        close({key: value[row:][:1] for key, value in together.items()}, found, exact=False)


@pytest.mark.parametrize(("node", "why", "fix"), [
    ("{use: encoder.flatten, from: a}", "tokens of one number", "put an `encoder.pool` between"),
    ("{use: encoder.placeholder, from: a}", "tokens of one number", "put an `encoder.pool` between"),
    ("{use: fusion.concat, from: [a, b]}", "its inputs have different tokens", "put an `encoder.pool` before it"),
    ("{use: fusion.mean, from: [a, b]}", "the tokens of a on a and the tokens of b on b",
     "turn each into a vector with an `encoder.pool`"),
    ("{use: fusion.perceiver, from: [a, b], with: {positions: all}}", "their number differs from case to case",
     "set 'positions' to 'none'"),
])
def test_what_cannot_take_masked_tokens_names_what_to_put_before_it(node: str, why: str, fix: str):
    names = ("a", "b") if "[a, b]" in node else ("a",)
    inputs = json.dumps({name: {"tokens": [None, 8]} for name in names})
    text = f"fusionkit: 1\ninputs: {inputs}\nnodes:\n  last: {node}\n"
    with pytest.raises(GraphError) as caught:
        build(text + "  result: {use: head.classify, from: last, with: {classes: [x, y]}}")
    (found,) = caught.value.diagnostics
    assert why in f"{found.message} {found.why}" and fix in str(found.fix)


def test_the_gates_of_masked_tokens_are_those_of_the_real_ones():
    shape = MaskedTokens((64, 3), ("bag",))
    component = discover().load("fusion.gmu")
    module = component.module(component.config(width=4), [shape, shape]).eval()
    one, other, valid = torch.randn(2, 5, 3), torch.randn(2, 5, 3), torch.arange(5) < torch.tensor([[2], [5]])
    found = module.gates([one, other], valid=[valid, valid])
    alone = module.gates([one[:1, :2], other[:1, :2]])
    torch.testing.assert_close(found[0], alone[0].mean(1))


def test_the_order_of_tokens_does_not_matter_without_positions():
    model = network("attention_pool").eval()
    inputs, present, valid = cases(5, 4)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(2))
    shuffled = {**inputs, "slide": inputs["slide"][:, order]}, present, {**valid, "slide": valid["slide"][:, order]}
    close(run(model, (inputs, present, valid))[0], run(model, shuffled)[0], exact=False)


def test_a_bag_without_tokens_is_a_missing_input():
    model = network("pools").eval()
    inputs, present, valid = cases(5, 4)
    full = {**valid, "slide": torch.ones(4, 5, dtype=torch.bool)}
    missing = model(inputs, {**present, "slide": torch.tensor([True, False, True, True])},
                    {**full, "slide": valid["slide"] | full["slide"]})
    empty = full["slide"].clone()
    empty[1] = False
    close(missing, model(inputs, present, {**full, "slide": empty}), exact=True)
    others = {name: value for name, value in inputs.items() if name != "slide"}
    nothing = model(others, present, {"visit": full["visit"]})
    none = model(inputs, present, {**full, "slide": torch.zeros(4, 5, dtype=torch.bool)})
    close(nothing, none, exact=True)
    close(nothing, model({**inputs, "slide": inputs["slide"][:, :0]}, present, {"visit": full["visit"]}), exact=True)


def test_inputs_presence_and_masks_agree():
    model = network("pools")
    masked = [value for value in model.plan.inputs if isinstance(value.shape, MaskedTokens)]
    inputs, _, valid = cases(5, 4, math.nan)
    there = torch.tensor([True, True, False, True])
    tensors, present, real = padded(masked, inputs, {"slide": there}, {"slide": valid["slide"]})
    assert present["slide"].tolist() == [True, False, False, True] and "visit" not in present
    assert real["slide"].sum(1).tolist() == [3, 0, 0, 2] and real["visit"].all()
    assert tensors["slide"].isfinite().all() and inputs["slide"].isnan().any()


@pytest.mark.parametrize(("valid", "says"), [
    ({"ehr": torch.ones(4, 5, dtype=torch.bool)}, "'ehr', which is not an input of masked tokens"),
    ({"slide": torch.ones(4, 6, dtype=torch.bool)}, r"\[4, 6\] for tokens \[4, 5, 6\]"),
    ({"slide": torch.ones(4, 5)}, "it must be boolean"),
])
def test_a_mask_of_something_else_is_refused(valid: Masks, says: str):
    inputs, present, _ = cases(5, 4)
    with pytest.raises(ValueError, match=says):
        network("pools")(inputs, present, valid)


def test_a_mask_for_a_network_without_masked_tokens_is_refused():
    model = build(SIMPLE)
    with pytest.raises(ValueError, match="not an input of masked tokens"):
        model(inputs_of(model), None, {"ehr": torch.ones(5, 7, dtype=torch.bool)})


def test_parts_of_a_network_have_the_masks_too():
    model = network("tokens").eval()
    inputs, present, valid = cases(5, 4, math.nan)
    whole = model(inputs, present, valid)
    pooled = model.results_at(["last"], inputs, present, valid)
    close(model({**pooled, "ehr": inputs["ehr"]}, present), whole, exact=True)
    bags = model.results_at(["a", "b"], inputs, present, valid)
    again = model({**bags, "ehr": inputs["ehr"]}, present, valid)
    close(again, whole, exact=False)


def test_every_input_may_be_left_out_of_the_same_network():
    model = all_optional(network("pools"), discover())
    inputs, present, valid = cases(5, 4, math.nan)
    present = {**present, "slide": torch.ones(4, dtype=torch.bool), "visit": torch.ones(4, dtype=torch.bool)}
    found = answers(model, inputs, present, ["ehr"], valid=valid)
    assert found["own"].valid.tolist() == [True, False, True, True] and not found["result"].valid.any()
