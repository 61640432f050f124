"""`encoder.ft_transformer` and waves of numbers: recorded numbers of the packages, blank cells, codes, counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_plugins.blocks.tables import NumbersConfig, Waves
from fusionkit_plugins.encoders.embed import Embed, EmbedConfig
from fusionkit_plugins.encoders.ft_transformer import FtTransformer, FtTransformerConfig, component
from pydantic import ValidationError
from recorded import GOLDEN
from torch import Tensor

from fusionkit.conversion.name_mapping import Part, converted, pairs
from fusionkit.conversion.verification.check import check
from fusionkit.conversion.verification.reading import read_fixture
from fusionkit.registry.lookup import discover
from fusionkit.shapes.layouts import Vector

SMALL = {"width": 16, "heads": 2, "blocks": 2}
ROWS: list[tuple[Any, ...]] = [
    ("encoder.ft_transformer", {**SMALL, "categories": [3, 7], **more}, [(5,)],
     {"gradients: cells.blanks": "the cells that the check tries are all known"})
    for more in ({}, {"numbers": "plr"}, {"output": "tokens"}, {"blank": "drop", "blocks": 1})]
ROWS += [("encoder.ft_transformer", {**SMALL, "categories": [3]}, [(1,)], {
    "gradients: input:row": "the numbers of categories choose embeddings, and have no gradient themselves",
    "known": "a blank category is the unknown one, which has the code 0"})]
ROWS += [("encoder.resnet_table", {"width": 11, "norm": norm, "categories": [3, 7]}, [(5,)])
         for norm in ("batch", "layer")]


def network(columns: int = 5, **options: object) -> FtTransformer:
    torch.manual_seed(0)
    return FtTransformer(FtTransformerConfig.model_validate({**SMALL, **options}), [Vector((columns,))]).eval()


def test_tokens_blocks_and_gradients_are_those_of_the_package() -> None:
    found = check("encoder.ft_transformer", GOLDEN / "encoders" / "ft_transformer.npz", registry=discover())
    assert {row.entry for row in found.rows if not row.note} == {
        "out_tokens", "out_logits", "tap_block0", "tap_block1", "tap_cls_normed", "grad_input0"}
    assert all(row.ok for row in found.rows)


def test_blank_cells_have_learned_tokens_and_reach_nothing() -> None:
    case = read_fixture(GOLDEN / "methods" / "fttransformer" / "blank_cells.npz")
    config = FtTransformerConfig(width=8, blocks=2, heads=2, categories=[4, 2])
    module = FtTransformer(config, [Vector((5,))]).eval()
    part, state = Part(module, config, component.reference["release"]), {}
    for ours, theirs in pairs(part):
        name = "missing" if ours == "cells.blanks" else f"net.{theirs}"
        state[ours] = converted(part, ours, case.parameters[name])
    module.load_state_dict(state)
    blank, codes = case.arrays["blank"], case.arrays["categories"] + 1
    known = torch.cat([~blank, torch.ones_like(codes, dtype=torch.bool)], 1)
    for filler in (0.0, float("nan"), 1e30):
        numbers = case.arrays["input0"].where(~blank, filler).requires_grad_()
        vector = module(torch.cat([numbers, codes], 1), known=known)
        logits = vector @ case.parameters["net.backbone.output.linear.weight"].T
        logits = logits + case.parameters["net.backbone.output.linear.bias"]
        torch.testing.assert_close(logits, case.arrays["out_y"], atol=1e-5, rtol=0)
        loss = (logits * case.cotangent(0, (3, 2))).sum()
        found = torch.autograd.grad(loss, [numbers, module.cells.blanks])
        torch.testing.assert_close(found[0], case.arrays["grad_input0"], atol=1e-5, rtol=0)
        torch.testing.assert_close(found[1], case.arrays["gradp_missing"], atol=1e-5, rtol=0)


def test_a_dropped_cell_is_as_if_its_column_were_not_there() -> None:
    module, row = network(3, blank="drop"), torch.randn(7, 3)
    known = torch.tensor([True, False, True]).expand(7, 3)
    narrow = network(2, blank="drop")
    state = {name: value[[0, 2]] if name.startswith("cells.") else value for name, value in module.state_dict().items()}
    narrow.load_state_dict(state)
    torch.testing.assert_close(module(row, known=known), narrow(row[:, [0, 2]]))


def test_the_parameters_are_those_of_the_package_and_a_vector_for_each_column_of_numbers() -> None:
    with torch.device("meta"):
        module = FtTransformer(FtTransformerConfig(), [Vector((10,))])
    assert sum(weight.numel() for weight in module.parameters()) + 192 + 1 == 895_681 + 10 * 192


def test_a_norm_in_the_first_block_would_be_another_network() -> None:
    module, row = network(), torch.randn(3, 5)
    before = module(row)
    module.blocks[0].attention_norm = torch.nn.LayerNorm(16)
    assert float((module(row) - before).detach().abs().max()) > 0.1


@pytest.mark.parametrize("code", [4.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_code_is_the_unknown_category(code: float) -> None:
    module, row = network(categories=[7, 3]), torch.zeros(1, 5)
    strange = row.clone()
    strange[0, 4] = code
    assert torch.equal(module(strange), module(row))
    known = row.clone()
    known[0, 4] = 3
    assert not torch.allclose(module(known), module(row))


def test_tokens_are_the_summary_and_one_for_each_column() -> None:
    row = torch.randn(3, 5)
    tokens, vector = network(output="tokens")(row), network()(row)
    assert tokens.shape == (3, 6, 16)
    torch.testing.assert_close(tokens[:, 0].relu(), vector)


@pytest.mark.parametrize(("options", "why"), [
    ({"blank": "drop", "output": "tokens"}, "needs 'output: vector'"), ({"sigma": 0.1}, "belongs to 'numbers: plr'"),
    ({"lite": True}, "belongs to 'numbers: plr'"), ({"width": 8, "expansion": 0.1}, "leaves no width")])
def test_options_that_do_not_go_together_are_refused(options: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        FtTransformerConfig.model_validate(options)


def test_waves_of_numbers_are_those_of_the_package() -> None:
    case = read_fixture(GOLDEN / "encoders" / "plr_full.npz")
    module = Waves(NumbersConfig(numbers="plr", frequencies=5), 4, 6)
    module.load_state_dict({"frequencies": case.parameters["periodic.weight"],
                            "weight": case.parameters["linear.weight"], "bias": case.parameters["linear.bias"]})
    numbers = case.inputs[0].clone().requires_grad_()
    tokens = module(numbers)
    torch.testing.assert_close(tokens, case.arrays["out_tokens"], atol=1e-5, rtol=0)
    found, = torch.autograd.grad((tokens * case.cotangent(0, (5, 4, 6))).sum(), numbers)
    torch.testing.assert_close(found, case.arrays["grad_input0"], atol=1e-4, rtol=0)


def test_frequencies_start_within_three_deviations() -> None:
    torch.manual_seed(0)
    drawn = Waves(NumbersConfig(numbers="plr", frequencies=997, sigma=0.3), 7, 2).frequencies.detach()
    assert float(drawn.abs().max()) <= 0.9
    assert 0.28 < float(drawn.std()) < 0.31


def test_embedded_numbers_of_a_row_are_joined_with_its_codes() -> None:
    module = Embed(EmbedConfig(numbers="plr", wave_width=3, categories=[7], dimension=2, width=11), [Vector((5,))])
    row: Tensor = torch.rand(2, 5)
    row[:, 4] = torch.tensor([7.0, 2.0])
    joined = torch.cat([module.waves(row[:, :4]).flatten(1), module.embeddings[0].weight[[7, 2]]], 1)
    torch.testing.assert_close(module(row), module.join(joined).relu())
    assert np.prod(module.join.weight.shape) == 11 * (4 * 3 + 2)
