"""FiLM: the table alone decides, by the formula, and the sizes are those published."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from fusionkit_plugins.fusions.film import component

X, T = torch.randn(5, 3, 7, 11), torch.randn(5, 2)


def test_the_map_is_the_formula(build):
    module = build(component, X, T, residual=False)
    numbers = F.linear(F.linear(T, module.body.squeeze.weight).relu(), module.body.expand.weight)
    scale, shift = numbers[..., None, None].chunk(2, 1)
    torch.testing.assert_close(module(X, T), scale * X + shift)


def test_the_image_has_no_say(build):
    module = build(component, X, T, residual=False)
    torch.testing.assert_close(module(2 * X, T) - module(X, T), module(3 * X, T) - module(2 * X, T))


def test_the_published_size(build, count):
    image, table = torch.empty(1, 8, 6, 6, 6), torch.empty(1, 7)
    assert count(build(component, image, table, location=0, width=16, stride=2)) == 10753
