"""CLIP alignment: the loss against torch's cross-entropy, pairs of inputs, rows that lack one, the learned scale."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from fusionkit_plugins.fusions.clip_align import Alignment, component

from fusionkit.components.config import ComponentError

X, Y, Z = torch.randn(7, 5), torch.randn(7, 11), torch.randn(7, 3)


def contrast(a: torch.Tensor, b: torch.Tensor, scale: float = 1 / 0.07) -> torch.Tensor:
    scores = scale * F.normalize(a) @ F.normalize(b).T
    place = torch.arange(len(a))
    return (F.cross_entropy(scores, place) + F.cross_entropy(scores.T, place)) / 2


@pytest.mark.parametrize("merge", ["concat", "sum"])
def test_the_projections_are_joined(build, merge):
    module = build(component, X, Y, width=13, merge=merge)
    a, b = (layer(x) for layer, x in zip(module.project.layers, (X, Y), strict=True))
    torch.testing.assert_close(module(X, Y)[0], torch.cat([a, b], 1) if merge == "concat" else a + b)
    torch.testing.assert_close(module(X, Y)[1], 0.1 * contrast(a, b))


def test_more_inputs_are_compared_pair_by_pair(build):
    module = build(component, X, Y, Z, width=13, weight=1.0)
    a, b, c = (layer(x) for layer, x in zip(module.project.layers, (X, Y, Z), strict=True))
    torch.testing.assert_close(module(X, Y, Z)[1], (contrast(a, b) + contrast(a, c) + contrast(b, c)) / 3)


def test_rows_without_both_inputs_leave_the_matrix(build):
    module = build(component, X, X, width=None, weight=1.0)
    other = torch.randn(7, 5)
    present = torch.tensor([[True, True]] * 3 + [[True, False], [False, True], [False, False], [True, True]])
    both = present.all(1)
    torch.testing.assert_close(module(X, other, present=present)[1], contrast(X[both], other[both]))


def test_a_pair_that_no_two_rows_have_leaves_the_mean(build):
    align = Alignment(0.07, 100.0)
    others = torch.randn(7, 5), torch.randn(7, 5)
    present = torch.tensor([[True, True, False]] * 6 + [[True, True, True]])
    torch.testing.assert_close(align(present, X, *others), contrast(X, others[0]))


def test_other_cases_of_a_patient_may_be_left_out():
    patients = torch.tensor([0, 1, 2, 0, 3, 4, 5])
    other = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    # At a temperature of 1 every negative counts; at 0.07 one may be lost in rounding.
    align, told = Alignment(1.0, 100.0, "ignore"), Alignment(1.0, 100.0)
    assert torch.equal(align.compare(None, X, other, patients=None), told(None, X, other))
    assert torch.equal(told.compare(None, X, other, patients=patients), told(None, X, other))
    assert align.compare(None, X, other, patients=patients) < told(None, X, other)  # fewer negatives
    assert torch.equal(align.compare(None, X, other, patients=torch.arange(7)), told(None, X, other))


def test_one_row_has_nothing_to_be_told_from(build):
    assert build(component, X[:1], Y[:1])(X[:1], Y[:1])[1] == 0


def test_beyond_the_cap_the_scale_stays_and_can_come_back():
    align = Alignment(0.07, 100.0)
    with torch.no_grad():
        align.log_scale.fill_(math.log(1000.0))
    loss = align(None, X, torch.randn(7, 5))
    loss.backward()
    assert align.log_scale.grad != 0
    with torch.no_grad():
        align.log_scale.fill_(math.log(100.0))
    torch.testing.assert_close(align(None, X, X), contrast(X, X, 100.0))


def test_the_scale_starts_where_published(build):
    assert build(component, X, Y).align.log_scale.item() == pytest.approx(math.log(1 / 0.07))


def test_unequal_widths_need_a_projection(build):
    with pytest.raises(ComponentError, match="5 and 11"):
        build(component, X, Y, width=None)
