from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions.sum import component

from fusionkit.components.config import ComponentError
from fusionkit.shapes.layouts import Vector

A, B = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[10.0, 20.0], [30.0, 40.0]])


def test_adds(build, count):
    module = build(component, A, B)
    assert module(A, B).tolist() == [[11, 22], [33, 44]]
    assert count(module) == 0


def test_an_absent_term_is_zero_with_its_bias(build):
    module = build(component, A, B, width=3)
    only_first = module.project.layers[0](A)
    present = torch.tensor([[True, False], [True, False]])
    assert torch.equal(module(A, B, present=present), only_first)


def test_order_does_not_matter(build):
    assert torch.equal(build(component, A, B)(A, B), build(component, B, A)(B, A))


def test_projections_have_the_published_size(build, count):
    assert count(build(component, torch.zeros(1, 5), torch.zeros(1, 7), width=11)) == 5 * 11 + 11 + 7 * 11 + 11


def test_unequal_widths_need_the_option():
    with pytest.raises(ComponentError, match="5 and 7 features") as caught:
        component.output(component.config(), [Vector((5,)), Vector((7,))])
    assert "'width'" in caught.value.fix
