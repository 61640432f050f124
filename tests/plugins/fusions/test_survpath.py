"""SurvPath: recorded numbers, who attends to whom, what is missing, and refusals."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions.survpath import PathwayAttention, SurvPathConfig, component
from pydantic import ValidationError
from recorded import GOLDEN

from fusionkit.conversion.verification.check import check
from fusionkit.conversion.verification.reading import read_fixture

FOLDER = GOLDEN / "methods" / "survpath"
SMALL = {"width": 6}
BAG, GENES, OTHERS = torch.randn(3, 5, 11), torch.randn(3, 7), torch.randn(3, 2)
ALL = torch.ones(2, 8, dtype=torch.bool)


@pytest.mark.parametrize("name", ["p4_n5", "bags_masked"])
def test_recorded_numbers_are_reproduced(name):
    found = check("fusion.survpath", FOLDER / f"{name}.npz")
    assert found.ok, [row for row in found.rows if not row.ok]


def recorded(name):
    case = read_fixture(FOLDER / f"{name}.npz")
    layer = PathwayAttention(8, 2, 4, 5 if name.endswith("conv") else None)
    names = {"mix.weight": "to_qkv.weight", "neighbours.weight": "res_conv.weight"}
    layer.load_state_dict({ours: case.parameters[names[ours]] for ours in layer.state_dict()})
    return case, layer


@pytest.mark.parametrize("name", ["attention_8", "attention_8_conv"])
def test_attention_is_that_of_the_release(name):
    case, layer = recorded(name)
    tokens = case.inputs[0].clone().requires_grad_()
    found = layer(tokens, 3, ALL)
    torch.testing.assert_close(found, case.arrays["out_y"], atol=1e-5, rtol=0)
    grad, = torch.autograd.grad((found * case.cotangent(0, found.shape)).sum(), tokens)
    torch.testing.assert_close(grad, case.arrays["grad_input0"], atol=1e-4, rtol=0)


def test_patches_are_not_compared_with_patches():
    case, layer = recorded("attention_8")
    tokens = case.inputs[0]
    other = tokens.clone()
    other[:, 5] += 1
    before, after = layer(tokens, 3, ALL), layer(other, 3, ALL)
    changed = ((after - before).abs().amax(2) > 1e-6).all(0)
    # Its own question changed, and what pathways are told; no other patch hears of it.
    assert changed.tolist() == [True, True, True, False, False, True, False, False]


@pytest.mark.parametrize("there", [[True, True, False], [True, False, False], [False, True, True]])
def test_what_is_missing_changes_nothing_and_has_its_mark(build, there):
    given = [BAG, GENES, OTHERS]
    module, present = build(component, *given, **SMALL), torch.tensor([there] * 3)
    filled = [x if here else x * torch.nan for x, here in zip(given, there, strict=True)]
    found = module(*filled, present=present)
    torch.testing.assert_close(found, module(*given, present=present), rtol=0, atol=0)
    paths, patches = found[:, :3].any(1), found[:, 3:6].any(1)
    torch.testing.assert_close(found[:, 6:], torch.stack([paths, patches], 1).float())
    assert found[:, 6:].tolist() == [[float(any(there[1:])), float(there[0])]] * 3


def test_patches_without_a_pathway_take_their_own_values_or_are_left_out(build):
    present = torch.tensor([[True, False]] * 3)
    whole, without = (build(component, BAG, GENES, **SMALL, fallback=fallback) for fallback in (True, False))
    own = whole.norm(whole.patch(BAG)) @ whole.attention.mix.weight[6:].T
    wanted = whole.last(whole.feed_forward(own)).mean(1)
    torch.testing.assert_close(whole(BAG, GENES, present=present)[:, 3:6], wanted)
    assert not without(BAG, GENES, present=present).any()


def test_the_release_has_so_many_parameters(build, count):
    groups = [torch.randn(2, size) for size in (3, 5, 2, 4)]
    module = build(component, torch.randn(2, 3, 12), *groups)
    assert count(module) + 64 * 256 + 64 + 4 * 64 + 4 == 420164


@pytest.mark.parametrize(("options", "told"), [
    ({"width": 7}, "multiple of 2"), ({"kernel": 4}, "'kernel' must be odd")])
def test_options_that_do_not_fit_are_refused(options, told):
    with pytest.raises(ValidationError, match=told):
        SurvPathConfig(**options)
