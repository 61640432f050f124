from __future__ import annotations

import torch
from fusionkit_plugins.fusions.max import component

A, B = torch.tensor([[1.0, -5.0]]), torch.tensor([[3.0, -7.0]])


def test_takes_the_largest(build):
    assert build(component, A, B)(A, B).tolist() == [[3, -5]]


def test_an_absent_input_never_wins(build):
    present = torch.tensor([[False, True]])
    assert build(component, A, B)(A, B, present=present).tolist() == [[3, -7]]


def test_ties_share_the_gradient(build):
    inputs = [torch.tensor([[2.0]], requires_grad=True) for _ in range(3)]
    build(component, *inputs)(*inputs).backward()
    torch.testing.assert_close([x.grad.item() for x in inputs], [1 / 3, 1 / 3, 1 / 3])


def test_a_tie_with_an_absent_input_is_none(build):
    inputs = [torch.tensor([[2.0]], requires_grad=True) for _ in range(2)]
    build(component, *inputs)(*inputs, present=torch.tensor([[True, False]])).backward()
    assert [x.grad.item() for x in inputs] == [1, 0]
