"""ShaSpec: recorded numbers, what stands for a missing modality, what the losses count, and refusals."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions.shaspec import component
from recorded import GOLDEN

from fusionkit.components.config import ComponentError
from fusionkit.conversion.verification.check import check
from fusionkit.shapes.layouts import shape_of
from fusionkit.shapes.rule import Mismatch

FOUR = [torch.randn(5, 7) for _ in range(4)]


@pytest.mark.parametrize("path", sorted((GOLDEN / "methods" / "shaspec").glob("*.npz")), ids=lambda path: path.stem)
def test_recorded_numbers_are_reproduced(path):
    found = check("fusion.shaspec", path)
    assert found.ok, [row for row in found.rows if not row.ok]


def test_content_of_a_missing_modality_changes_nothing(build):
    module = build(component, *FOUR)
    present = torch.tensor([[True, True, False, True]] * 5)
    s, p, t, q = FOUR
    filled = module(s, p, t, q, present=present)
    for given, wanted in zip(module(s, p, t * torch.nan, q * torch.nan, present=present), filled, strict=True):
        torch.testing.assert_close(given, wanted, rtol=0, atol=0)
    torch.testing.assert_close(filled[0][:, 7:], s)
    assert filled[1] == 0 and filled[2] > 0


def test_the_first_or_the_mean_of_the_others_stands_for_it(build):
    six = [torch.randn(5, 3) for _ in range(6)]
    present = torch.tensor([[True, True, True, True, False, False]] * 5)
    mean = build(component, *six)
    first = build(component, *six, generate="first")
    torch.testing.assert_close(mean(*six, present=present)[0][:, 6:], (six[0] + six[2]) / 2)
    torch.testing.assert_close(first(*six, present=present)[0][:, 6:], six[0])


def test_modalities_in_another_order_are_joined_in_that_order(build):
    module = build(component, *FOUR)
    joined, shared, _ = module(*FOUR)
    other, same, _ = module(*FOUR[2:], *FOUR[:2])
    torch.testing.assert_close(other, torch.cat([joined[:, 7:], joined[:, :7]], 1))
    torch.testing.assert_close(same, shared)


def test_inputs_that_are_no_pairs_are_refused(build):
    with pytest.raises(ComponentError, match="it takes pairs of shared and specific features, but 5 inputs are given"):
        build(component, *FOUR, FOUR[0])


def test_its_rule_asks_for_two_modalities_of_one_width():
    seven, three = shape_of((7,)), shape_of((3,))
    for shapes, told in (([seven, seven], "it takes 4 or more inputs"), ([seven, seven, three, three], "7")):
        mismatch = component.parsed.bind([(f"x{place}", shape) for place, shape in enumerate(shapes)], {})
        assert isinstance(mismatch, Mismatch) and told in str(mismatch)
