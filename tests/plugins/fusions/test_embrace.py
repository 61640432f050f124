"""EmbraceNet: which input each feature is drawn from, and the expectation in evaluation."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions import embrace

from fusionkit.components.config import ComponentError

X, Y, Z = (torch.randn(5, width, generator=torch.Generator().manual_seed(width)) for width in (7, 3, 2))
GONE = torch.full_like(Y, float("nan"))
SOME = torch.tensor([[True, False, True]] * 5)
LEVELS = [10.0, 20.0, 30.0]


@pytest.fixture
def constant(build):
    """A module whose projections give 10, 20 and 30 whatever comes, so that a result tells what was drawn."""

    def make(rows=5, **options):
        module = build(embrace.component, X, Y, Z, **options)
        with torch.no_grad():
            for layer, level in zip(module.project, LEVELS, strict=True):
                layer.weight.zero_()
                layer.bias.fill_(level)
        return module, [x[:1].expand(rows, -1) for x in (X, Y, Z)]

    return make


def shares(result):
    assert set(result.unique().tolist()) <= set(LEVELS)
    return [(result == level).float().mean().item() for level in LEVELS]


def test_evaluation_gives_the_expectation(build):
    module = build(embrace.component, X, Y, Z, width=11, probabilities=[1.0, 2.0, 5.0])
    a, b, c = (layer(x) for layer, x in zip(module.project, (X, Y, Z), strict=True))
    torch.testing.assert_close(module(X, Y, Z), (a + 2 * b + 5 * c) / 8)
    torch.testing.assert_close(module(X, GONE, Z, present=SOME), (a + 5 * c) / 6)


def test_training_draws_each_input_as_often_as_it_is_probable(constant):
    module, inputs = constant(rows=200, width=100, probabilities=[1.0, 2.0, 5.0])
    assert shares(module.train()(*inputs)) == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=0.02)


def test_an_absent_input_is_never_drawn_and_leaves_its_chances_to_the_others(constant):
    module, inputs = constant(rows=200, width=100, probabilities=[1.0, 2.0, 5.0])
    found = module.train()(inputs[0], torch.full_like(inputs[1], float("nan")), inputs[2],
                           present=torch.tensor([[True, False, True]] * 200))
    assert shares(found) == pytest.approx([1 / 6, 0, 5 / 6], abs=0.02)


def test_features_and_cases_are_drawn_one_by_one(constant):
    module, inputs = constant(rows=40, width=30)
    found = module.train()(*inputs)
    assert len(found.unique(dim=0)) == 40
    assert len(found.unique(dim=1).unbind(1)) == 30


def test_only_what_was_drawn_gets_a_gradient(constant):
    module, inputs = constant(rows=1, width=13)
    found = module.train()(*inputs)
    found.sum().backward()
    for layer, level in zip(module.project, LEVELS, strict=True):
        assert torch.equal(layer.bias.grad != 0, found[0] == level)


def test_draws_average_to_the_evaluated_result(build):
    module = build(embrace.component, X, Y, Z, width=11, activation="relu")
    wanted = module(X, Y, Z)
    module.train()
    mean = torch.stack([module(X, Y, Z) for _ in range(2000)]).mean(0)
    torch.testing.assert_close(mean, wanted, rtol=0, atol=0.12)


def test_nothing_present_gives_zeros_in_training_too(constant):
    module, inputs = constant()
    found = module.train()(*(torch.full_like(x, float("nan")) for x in inputs),
                           present=torch.zeros(5, 3, dtype=torch.bool))
    assert not found.any()


def test_sizes_and_starts(build, count):
    assert count(build(embrace.component, X, Y, Z, width=11)) == (7 + 3 + 2) * 11 + 3 * 11
    x, y = torch.randn(2, 499, 31).unbind(0)
    module = build(embrace.component, x, y, width=97)
    assert module.train()(x, y).var(0).mean().item() == pytest.approx(1, abs=0.15)


def test_a_list_has_one_number_for_each_input(build):
    with pytest.raises(ComponentError, match="'probabilities' has 2 numbers for 3 inputs"):
        build(embrace.component, X, Y, Z, probabilities=[1.0, 2.0])
