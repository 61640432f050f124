"""fusion.msca_attention: against PyTorch's own attention, and what an absent context leaves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from fusionkit_plugins.fusions.msca_attention import component
from torch import nn

from fusionkit.components.config import ComponentError

Build = Callable[..., nn.Module]


def test_it_is_attention_without_the_output_projection(build: Build):
    query, context = torch.randn(2, 5, 12), torch.randn(2, 7, 10)
    module = build(component, query, context, heads=3)
    theirs = nn.MultiheadAttention(12, 3, kdim=10, vdim=10, batch_first=True)
    ours = module.attention
    with torch.no_grad():
        for name in ("query", "key", "value"):
            getattr(theirs, f"{name[0]}_proj_weight").copy_(getattr(ours, name).weight)
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        theirs.out_proj.weight.copy_(torch.eye(12))
        theirs.out_proj.bias.zero_()
    torch.testing.assert_close(module(query, context), query + theirs(query, context, context)[0])


def test_of_one_token_only_the_values_are_read(build: Build):
    query, context = torch.randn(3, 8), torch.randn(3, 6)
    module = build(component, query, context)
    torch.testing.assert_close(module(query, context), query + module.attention.value(context))


def test_parameters_are_those_of_the_specification(build: Build, count: Callable[[nn.Module], int]):
    assert count(build(component, torch.randn(2, 1, 24), torch.randn(2, 1, 24))) == 1800
    assert count(build(component, torch.randn(2, 5, 24), torch.randn(2, 7, 16))) == 1416


def test_absent_contexts_are_not_asked(build: Build):
    query, first, second = torch.randn(4, 5, 12), torch.randn(4, 7, 10), torch.randn(4, 2, 10)
    module = build(component, query, first, second)
    present = torch.tensor([[True, True, True], [True, True, False], [True, False, False], [False, True, True]])
    found = module(query, first, second, present=present)
    alone = build(component, query, first)
    alone.load_state_dict(module.state_dict())
    torch.testing.assert_close(found[0], alone(query, torch.cat([first, second], 1))[0])
    torch.testing.assert_close(found[1], alone(query, first)[1])
    assert torch.equal(found[2], query[2])
    assert not found[3].any()


def test_heads_divide_the_width(build: Build):
    with pytest.raises(ComponentError, match="12 features cannot be divided equally among 5 heads"):
        build(component, torch.randn(2, 12), torch.randn(2, 12), heads=5)
