"""Blank cells of a vector: components that ask are told of them, and what a blank cell holds is nothing."""

from __future__ import annotations

import math

import pytest
import torch
from networks import build, inputs_of
from torch import Tensor

from fusionkit.components.component import Encoder
from fusionkit.components.config import Config, ContractError
from fusionkit.network.model import FusionModel, asked_cells

GRAPH = """
fusionkit: 1
inputs: {lab: {vector: [5], optional: true}, other: {vector: [3], optional: true}}
nodes:
  cells: {use: encoder.tokens, from: lab, with: {width: 8, count: features, blank: learned}}
  pooled: {use: encoder.pool, from: cells}
  more: {use: encoder.mlp, from: other, with: {width: 8}}
  both: {use: fusion.gmu, from: [pooled, more], with: {width: 8}}
  result: {use: head.classify, from: both, with: {classes: [x, y]}}
"""
KNOWN = torch.tensor([[1, 1, 1, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], dtype=torch.bool)


def run(model: FusionModel, content: float, known: Tensor | None = KNOWN) -> tuple[Tensor, list[Tensor]]:
    inputs = inputs_of(model, 4)
    if known is not None:
        inputs["lab"] = torch.where(known, inputs["lab"], content)
    model.zero_grad()
    result = model(inputs, None, None if known is None else {"lab": known})["result"]
    result.square().sum().backward()
    return result.detach(), [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]


@pytest.mark.parametrize("training", [True, False])
def test_what_a_blank_cell_holds_changes_nothing(training: bool):
    model = build(GRAPH).train(training)
    wanted, gradients = run(model, 0.0)
    for content in (math.nan, math.inf, 1e30):
        found, others = run(model, content)
        assert torch.equal(found, wanted) and found.isfinite().all()
        assert all(torch.equal(one, other) for one, other in zip(gradients, others, strict=True))


def test_a_blank_cell_becomes_its_learned_token():
    model = build(GRAPH).eval()
    tokens = model.results_at(["cells"], inputs_of(model, 4), None, {"lab": KNOWN})["cells"]
    blanks = model.cells.blanks.expand(4, -1, -1)
    there = KNOWN[:3]
    assert torch.equal(tokens[:3][~there], blanks[:3][~there])
    assert not (tokens[:3][there] == blanks[:3][there]).all(1).any()


def test_a_row_of_blank_cells_is_a_missing_input():
    model = build(GRAPH).eval()
    inputs = inputs_of(model, 4)
    blank = model(inputs, None, {"lab": KNOWN})["result"]
    missing = model(inputs, {"lab": KNOWN.any(1)}, {"lab": KNOWN})["result"]
    assert torch.equal(blank, missing)
    assert model.validity({}, {"lab": KNOWN})["result"] is None


def test_with_every_cell_known_the_mask_is_nothing():
    model = build(GRAPH).eval()
    assert torch.equal(run(model, 0.0, torch.ones(4, 5, dtype=torch.bool))[0], run(model, 0.0, None)[0])


def test_only_what_asks_is_told():
    assert asked_cells(build(GRAPH).plan) == {"lab"}
    assert asked_cells(build(GRAPH.replace(", blank: learned", "")).plan) == set()
    with pytest.raises(ValueError, match="no component asks"):
        model = build(GRAPH)
        model(inputs_of(model, 4), None, {"other": torch.ones(4, 3, dtype=torch.bool)})


def test_an_encoder_of_several_inputs_cannot_ask():
    with pytest.raises(ContractError, match="one input"):
        Encoder("asks", Config, object, rule="a: B _, b: B _ -> same", known=True)
