from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions.weighted_sum import EPSILON, component

from fusionkit.components.config import ComponentError
from fusionkit.shapes.layouts import Vector

X, Y, Z = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(1)).unbind(0)


@pytest.mark.parametrize(("norm", "tolerance"), [("softmax", 1e-6), ("none", 1e-6), ("fast", 1e-4)])
@pytest.mark.parametrize("groups", [1, 2, "features"])
def test_starts_as_the_mean(build, norm, tolerance, groups):
    found = build(component, X, Y, Z, norm=norm, groups=groups)(X, Y, Z)
    torch.testing.assert_close(found, (X + Y + Z) / 3, rtol=tolerance, atol=tolerance)


def _with_scores(module, scores):
    with torch.no_grad():
        module.scores_MG.copy_(torch.tensor(scores))
    return module


def test_softmax_by_hand(build):
    module = _with_scores(build(component, X, Y), [[0.0], [1.0]])
    share = torch.e / (1 + torch.e)
    torch.testing.assert_close(module(X, Y), (1 - share) * X + share * Y)


def test_fast_by_hand(build):
    module = _with_scores(build(component, X, Y, Z, norm="fast"), [[1.0], [3.0], [-2.0]])
    torch.testing.assert_close(module(X, Y, Z), (X + 3 * Y) / (4 + EPSILON))


def test_weights_are_normalised_over_those_present(build):
    scores = [[0.5], [1.0], [2.0]]
    module = _with_scores(build(component, X, Y, Z), scores)
    pair = _with_scores(build(component, X, Z), [scores[0], scores[2]])
    torch.testing.assert_close(module(X, Y, Z, present=torch.tensor([[True, False, True]] * 5)), pair(X, Z))


def test_weights_of_none_stay(build):
    module = _with_scores(build(component, X, Y, norm="none"), [[0.5], [2.0]])
    torch.testing.assert_close(module(X, Y, present=torch.tensor([[False, True]] * 5)), 2 * Y)


def test_groups_weigh_neighbouring_features(build):
    module = _with_scores(build(component, X, Y, norm="none", groups=2), [[1.0, 2.0], [0.0, 3.0]])
    torch.testing.assert_close(module(X, Y), torch.cat([X[:, :3], 2 * X[:, 3:] + 3 * Y[:, 3:]], 1))


@pytest.mark.parametrize("sizes", [(6,), (5, 6), (6, 5, 7), (6, 2, 5, 7)])
def test_a_weight_for_each_feature_in_every_layout(build, sizes):
    x, y = torch.randn(3, *sizes), torch.randn(3, *sizes)
    module = build(component, x, y, norm="none", groups="features")
    with torch.no_grad():
        module.scores_MG.copy_(torch.randn(2, 6))
    axes = {1: "bc", 2: "bnc", 3: "bchw", 4: "bcdhw"}[len(sizes)]
    wanted = sum(torch.einsum(f"{axes},c->{axes}", value, weight) for value, weight in
                 zip((x, y), module.scores_MG, strict=True))
    torch.testing.assert_close(module(x, y), wanted)


def test_sizes(build, count):
    assert count(build(component, X, Y, Z)) == 3
    assert count(build(component, X, Y, Z, groups="features", width=11)) == 3 * 11 + 3 * (6 * 11 + 11)


def test_groups_must_divide_the_width():
    with pytest.raises(ComponentError, match="7 features cannot be divided equally into 2 groups"):
        component.output(component.config(groups=2), [Vector((7,)), Vector((7,))])


@pytest.mark.parametrize("groups", [1, "features"])
def test_one_module_may_be_shared_by_vectors_and_tokens(build, groups):
    """What a node with `share` does; with a mask the weights have rows, which are not the tokens."""
    module = build(component, X, Y, norm="none", groups=groups)
    x, y = torch.randn(2, 3, 11, 6)
    present = torch.tensor([[True, True], [True, False], [False, True]])
    wanted = torch.stack([(x + y)[0], x[1], y[2]]) / 2
    torch.testing.assert_close(module(x, y, present=present), wanted)
