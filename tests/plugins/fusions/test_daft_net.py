"""The DAFT network: its sizes, its last block, and rows that lack an input."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions.daft_net import component

from fusionkit.components.config import ComponentError

X, T = torch.randn(3, 1, 17, 19), torch.randn(3, 5)


def test_the_published_size(build, count):
    module = build(component, torch.empty(1, 1, 16, 32, 32), torch.empty(1, 7), location=0)
    assert count(module) + 33 == 56854, "33 are those of the last layer, which is the head's"


@pytest.mark.parametrize("shape", [(3, 1, 17, 19), (3, 2, 5, 7, 11)])
def test_the_result_has_eight_times_the_width(build, shape):
    x = torch.randn(shape)
    assert build(component, x, T, width=3)(x, T).shape == (3, 24)


def test_the_table_enters_in_the_last_block_alone(build):
    module = build(component, X, T, width=2, residual=False)
    seen = []
    module.last.register_forward_hook(lambda block, inputs, output: seen.append(inputs[0]))
    one, other = module(X, T), module(X, T + 1)
    assert torch.equal(*seen)
    assert not torch.allclose(one, other)


def test_rows_without_an_image_give_zeros_and_without_a_table_go_on(build):
    module = build(component, X, T, width=2, residual=False)
    given = module(X, T, present=torch.tensor([[True, False], [False, True], [True, True]]))
    assert given[0].any() and not given[1].any()
    torch.testing.assert_close(given[2], module(X, T)[2])


def test_an_image_that_cannot_be_halved_is_refused(build):
    with pytest.raises(ComponentError, match="1x7"):
        build(component, torch.empty(1, 1, 1, 7), T)
