from __future__ import annotations

import torch
from fusionkit_plugins.fusions.mean import component

A, B, C = torch.tensor([[1.0], [1.0]]), torch.tensor([[2.0], [2.0]]), torch.tensor([[6.0], [6.0]])


def test_averages(build):
    assert build(component, A, B, C)(A, B, C).tolist() == [[3], [3]]


def test_absent_inputs_leave_the_average(build):
    present = torch.tensor([[True, False, True], [False, True, False]])
    assert build(component, A, B, C)(A, B, C, present=present).tolist() == [[3.5], [2]]


def test_order_does_not_matter(build):
    x, y, z = torch.randn(3, 5, 7, dtype=torch.float64).unbind(0)
    module = build(component, x, y, z)
    torch.testing.assert_close(module(x, y, z), module(z, x, y))
