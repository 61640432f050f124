"""Text as an input of a network: ids of any integer type, cases without text, and export with its mask."""

from __future__ import annotations

import pytest
import torch
from networks import build
from torch import Tensor

from fusionkit.network.model import FusionModel
from fusionkit.shapes.layouts import MaskedText, MaskedTokens

GRAPH = """
fusionkit: 1
inputs:
  note: {text: 6, vocabulary: 11, optional: true}
  ehr: {vector: [3], optional: true}
nodes:
  words: {use: encoder.text_embed, from: note, with: {width: 5}}
  said: {use: encoder.pool, from: words}
  told: {use: encoder.mlp, from: ehr, with: {width: 5}}
  both: {use: fusion.mean, from: [said, told]}
  result: {use: head.regress, from: both, with: {values: [y]}}
"""
COUNTS = (6, 1, 0, 3)
VALID = torch.arange(6) < torch.tensor(COUNTS).unsqueeze(1)


def network() -> FusionModel:
    return build(GRAPH).eval()


def cases() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"note": torch.randint(0, 11, (4, 6), generator=generator), "ehr": torch.randn(4, 3, generator=generator)}


def test_the_plan_has_the_vocabulary_and_a_token_for_each_id() -> None:
    plan = network().plan
    assert plan.inputs[0].shape == MaskedText((6, 11), ("note",)) and plan.inputs[0].shape.carried == (6,)
    assert plan.node("words").values[0].shape == MaskedTokens((6, 5), ("note",))
    assert network().words.embedding.num_embeddings == 11


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float32])
def test_ids_are_ids_whatever_carries_them_and_padding_is_unread(dtype: torch.dtype) -> None:
    model, inputs = network(), cases()
    wanted = model(inputs, None, {"note": VALID})["result"]
    padded = inputs | {"note": inputs["note"].masked_fill(~VALID, 10_000).to(dtype)}
    assert torch.equal(model(padded, None, {"note": VALID})["result"], wanted)
    alone = model({"note": inputs["note"][3:, :3], "ehr": inputs["ehr"][3:]})["result"]
    assert torch.allclose(alone, wanted[3:], atol=1e-6)


def test_a_case_without_text_is_one_that_lacks_it() -> None:
    model, inputs = network(), cases()
    missing = torch.zeros(4, dtype=torch.bool)
    wanted = model({"ehr": inputs["ehr"]})["result"]
    assert torch.equal(model(inputs, {"note": missing})["result"], wanted)
    assert torch.equal(model(inputs, None, {"note": VALID})["result"][2], wanted[2])
    only = model({"note": inputs["note"]}, None, {"note": VALID})["result"]
    assert only.dtype == torch.float32 and bool(only.isfinite().all())


def test_an_exported_network_takes_ids_with_their_mask() -> None:
    model, inputs = network(), cases()
    present = {"note": VALID.any(1), "ehr": torch.ones(4, dtype=torch.bool)}
    program = torch.export.export(model, (inputs, present, {"note": VALID}), strict=False)
    with torch.no_grad():
        found = program.module()(inputs, present, {"note": VALID})["result"]
        assert torch.allclose(found, model(inputs, present, {"note": VALID})["result"], atol=1e-6)
