"""A linear path beside deep scores: it begins as these, and adds the views that are there."""

from __future__ import annotations

import torch
from fusionkit_plugins.fusions.linear_path import LinearPath, LinearPathConfig

from fusionkit.shapes.layouts import Vector

DEEP, A, B = (torch.randn(5, width, generator=torch.Generator().manual_seed(width)) for width in (3, 7, 11))


def path() -> LinearPath:
    return LinearPath(LinearPathConfig(), [Vector((3,)), Vector((7,)), Vector((11,))])


def test_it_begins_as_the_deep_scores_and_learns_from_the_first_step() -> None:
    module = path()
    assert torch.equal(module(DEEP, A, B), DEEP)
    module(DEEP, A, B).square().sum().backward()
    torch.testing.assert_close(module.layers[1].weight.grad, 2 * DEEP.T @ B)


def test_known_values_and_missing_inputs() -> None:
    module = path()
    with torch.no_grad():
        for layer in module.layers:
            layer.weight.normal_()
    first, second = A @ module.layers[0].weight.T, B @ module.layers[1].weight.T
    torch.testing.assert_close(module(DEEP, A, B), DEEP + first + second)
    there = torch.tensor([[True, True, False], [False, True, True], [True, False, False], [False] * 3, [True] * 3])
    gone = [x.masked_fill(~there[:, [place]], float("nan")) for place, x in enumerate((DEEP, A, B))]
    wanted = torch.stack([DEEP[0] + first[0], first[1] + second[1], DEEP[2], torch.zeros(3),
                          DEEP[4] + first[4] + second[4]])
    torch.testing.assert_close(module(*gone, present=there), wanted)
