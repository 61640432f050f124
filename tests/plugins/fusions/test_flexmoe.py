"""Flex-MoE: recorded numbers of network and gate, combinations, what stands for missing inputs, sizes, refusals."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.blocks.sparse_gate import NoisyGate
from fusionkit_plugins.fusions.flexmoe import by_size, component, gate_loss
from recorded import GOLDEN

from fusionkit.components.config import ComponentError
from fusionkit.conversion.verification.check import check
from fusionkit.conversion.verification.reading import read_fixture

FOLDER = GOLDEN / "methods" / "flexmoe"
SMALL = {"width": 6, "patches": 3, "heads": 2, "experts": 7, "selected": 2}
X, Y, Z = torch.randn(5, 7), torch.randn(5, 2), torch.randn(5, 3)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("m*.npz")), ids=lambda path: path.stem)
def test_recorded_numbers_are_reproduced(path):
    found = check("fusion.flexmoe", path)
    assert found.ok, [row for row in found.rows if not row.ok]


@pytest.mark.parametrize("name", ["gate_train_complete", "gate_train_mixed", "gate_train_incomplete"])
def test_the_gate_learns_as_in_the_release(name):
    case = read_fixture(FOLDER / f"{name}.npz")
    gate = NoisyGate(6, 8, 2, "softmax")
    gate.load_state_dict({"weight": case.parameters["w_gate"], "spread": case.parameters["w_noise"]})
    tokens = case.inputs[0].clone().requires_grad_()
    gating = gate(tokens, case.drawn("noise0", (len(tokens), 8)))
    number = torch.tensor(case.meta["combination_of_rows"]).repeat_interleave(2)
    loss = gate_loss(gating, number, torch.ones_like(number, dtype=torch.bool))
    torch.testing.assert_close(loss, case.arrays["out_loss"], atol=1e-5, rtol=1e-5)
    shares, places = gating.shares.topk(2)
    assert torch.equal(places, case.arrays["out_index"].long())
    torch.testing.assert_close(shares, case.arrays["out_gates"], atol=1e-5, rtol=0)
    total = (shares * case.cotangent(0, (len(tokens), 2))).sum() + loss * case.cotangent(1, ())
    for grad, name in zip(torch.autograd.grad(total, [tokens, gate.weight, gate.spread]),
                          ("grad_input0", "gradp_w_gate", "gradp_w_noise"), strict=True):
        wanted = case.arrays[name]
        torch.testing.assert_close(grad, wanted, atol=1e-4 * float(wanted.abs().max()), rtol=0)


def test_combinations_are_numbered_by_decreasing_size():
    assert by_size(3) == [(0, 1, 2), (0, 1), (0, 2), (1, 2), (0,), (1,), (2,)]


def test_what_stands_for_an_input_depends_on_the_others(build):
    module, present = build(component, X, Y, Z, **SMALL), torch.tensor([[True, False, True], [True, False, False]])
    same = [x[:1].expand(2, -1) for x in (X, Y, Z)]
    combined = module(*same, present=present)[0]
    with torch.no_grad():
        module.bank[2, 1] += 1
    after = module(*same, present=present)[0]
    assert (after[0] - combined[0]).abs().max() > 1e-3
    assert torch.equal(after[1], combined[1])


def test_a_dropped_input_is_neither_attended_to_nor_in_the_loss(build):
    module, present = build(component, X, Y, **SMALL, missing="drop"), torch.tensor([[True, False]] * 5)
    found, loss = module(X, Y * torch.nan, present=present)
    again, same = module(X, Y + 1, present=present)
    assert torch.equal(found, again) and torch.equal(loss, same) and not found[:, 6:].any()


def test_sizes(build, count):
    four = [torch.randn(2, 16, 128)] * 4
    module = build(component, *four)
    assert module.bank.shape == (15, 4, 16, 128)
    assert count(module) + 4 * 128 * 3 + 3 == 1257603


@pytest.mark.parametrize(("options", "told"), [
    ({"experts": 6}, "6 experts are too few"), ({"heads": 4}, "cannot be divided equally among 4 heads"),
    ({"selected": 8}, "of 7 experts 8 cannot be selected")])
def test_sizes_that_do_not_fit_are_refused(build, options, told):
    with pytest.raises(ComponentError, match=told):
        build(component, X, Y, Z, **SMALL | options)


def test_many_inputs_need_to_be_asked_for(build):
    with pytest.raises(ComponentError, match="9 inputs have 511 combinations"):
        build(component, *[X] * 9, **SMALL)
