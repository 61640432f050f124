"""Parallel co-attention: the formula position by position, absence, and sizes."""

from __future__ import annotations

import torch
from fusionkit_plugins.fusions.coattention import component

X, Y = torch.randn(3, 5, 7), torch.randn(3, 2, 11)


def test_the_formula_position_by_position(build):
    module = build(component, X, Y, hidden=4)
    found = module(X, Y)
    for row, (x, y) in enumerate(zip(X, Y, strict=True)):
        affinity = torch.stack([torch.stack([torch.tanh(a @ module.affinity.weight @ b) for b in y]) for a in x])
        hidden_x, hidden_y = x @ module.hide_first.weight.T, y @ module.hide_second.weight.T
        scores_x = torch.tanh(hidden_x + affinity @ hidden_y) @ module.score_first.weight[0]
        scores_y = torch.tanh(hidden_y + affinity.T @ hidden_x) @ module.score_second.weight[0]
        torch.testing.assert_close(found[0][row], scores_x.softmax(0) @ x)
        torch.testing.assert_close(found[1][row], scores_y.softmax(0) @ y)


def test_without_the_other_a_stream_is_weighed_by_itself(build):
    module = build(component, X, Y, hidden=4)
    first, second = module(X, torch.full_like(Y, float("nan")), present=torch.tensor([[True, False]] * 3))
    scores = torch.tanh(X @ module.hide_first.weight.T) @ module.score_first.weight[0]
    torch.testing.assert_close(first, (scores.softmax(1).unsqueeze(2) * X).sum(1))
    assert not second.any()


def test_sizes(build, count):
    assert count(build(component, X, torch.zeros(3, 2, 7), hidden=4)) == 7**2 + 2 * 7 * 4 + 2 * 4
    assert count(build(component, X, Y, hidden=4)) == 7 * 11 + (7 + 11) * 4 + 2 * 4
