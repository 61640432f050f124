from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions.gmu import component

X, Y, Z = (torch.randn(5, width, generator=torch.Generator().manual_seed(width)) for width in (7, 3, 2))


def test_two_inputs_are_the_published_unit(build):
    """Equations 1 to 4 of the paper, written out with the module's weights."""
    module = build(component, X, Y, width=11)
    h_x, h_y = (layer(value).tanh() for layer, value in zip(module.project, (X, Y), strict=True))
    z = torch.sigmoid(torch.cat([X, Y], 1) @ module.gate.weight.T + module.gate.bias)
    torch.testing.assert_close(module(X, Y), z * h_x + (1 - z) * h_y)


def test_the_norm_makes_no_difference_for_two(build):
    soft, tied = build(component, X, Y, width=11), build(component, X, Y, width=11, norm="sigmoid")
    tied.load_state_dict(soft.state_dict())
    assert torch.equal(soft(X, Y), tied(X, Y))


def test_one_number_by_hand(build):
    x, y = torch.tensor([[0.5]]), torch.tensor([[-2.0]])
    module = build(component, x, y, width=1, bias=False)
    with torch.no_grad():
        for weight, value in ((module.project[0], 2.0), (module.project[1], 0.5)):
            weight.weight.fill_(value)
        module.gate.weight.copy_(torch.tensor([[2.0, 1.0]]))
    # Gate sigmoid(2 * 0.5 - 2) = sigmoid(-1) = 0.2689414; tanh(1) = 0.7615942, tanh(-1) = -0.7615942.
    assert module(x, y).item() == pytest.approx(0.2689414 * 0.7615942 - 0.7310586 * 0.7615942, abs=1e-6)


@pytest.mark.parametrize("norm", ["softmax", "sigmoid"])
def test_three_inputs(build, norm):
    module = build(component, X, Y, Z, width=11, norm=norm)
    scores = module.gate(torch.cat([X, Y, Z], 1)).reshape(5, 3, 11)
    gates = scores.softmax(1) if norm == "softmax" else scores.sigmoid()
    hidden = torch.stack([layer(v).tanh() for layer, v in zip(module.project, (X, Y, Z), strict=True)], 1)
    torch.testing.assert_close(module(X, Y, Z), (gates * hidden).sum(1))


def test_a_single_present_input_has_gate_one(build):
    module = build(component, X, Y, width=11)
    torch.testing.assert_close(module(X, Y, present=torch.tensor([[False, True]] * 5)), module.project[1](Y).tanh())


def test_the_gates_sum_to_one_over_those_present(build):
    module = build(component, X, Y, Z, width=11)
    gates = module.gates((X, Y, Z), torch.tensor([[True, False, True]] * 5))
    assert not gates[:, 1].any()
    torch.testing.assert_close(gates.sum(1), torch.ones(5, 11))


def test_positions_of_a_map_are_gated_one_by_one(build):
    x, y = torch.randn(2, 7, 5, 3), torch.randn(2, 3, 5, 3)
    on_maps, on_vectors = build(component, x, y, width=11), build(component, X, Y, width=11)
    on_vectors.load_state_dict({name: value.flatten(1) if value.dim() > 2 else value
                                for name, value in on_maps.state_dict().items()})
    torch.testing.assert_close(on_maps(x, y)[:, :, 4, 2], on_vectors(x[:, :, 4, 2], y[:, :, 4, 2]))


@pytest.mark.parametrize(("inputs", "gates"), [((X, Y), 1), ((X, Y, Z), 3)])
def test_the_published_size(build, count, inputs, gates):
    total = sum(x.shape[1] for x in inputs)
    assert count(build(component, *inputs, width=11, bias=False)) == total * 11 + gates * total * 11
