from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions.concat import component

from fusionkit.components.config import ComponentError
from fusionkit.shapes.layouts import Tokens, Vector

A = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
B = torch.tensor([[5.0], [6.0]])
ABSENT_B = torch.tensor([[True, True], [True, False]])


def test_puts_features_side_by_side(build):
    assert build(component, A, B)(A, B).tolist() == [[1, 2, 5], [3, 4, 6]]


def test_maps_join_channels(build):
    x, y = torch.randn(2, 3, 5, 7), torch.randn(2, 2, 5, 7)
    assert torch.equal(build(component, x, y)(x, y), torch.cat([x, y], 1))


def test_tokens_join_features_or_rows(build):
    x, y = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    assert torch.equal(build(component, x, y)(x, y), torch.cat([x, y], 2))
    assert torch.equal(build(component, x, y, axis="tokens")(x, y), torch.cat([x, y], 1))


def test_absent_entries_are_filled(build):
    assert build(component, A, B, fill=-9.0)(A, B, present=ABSENT_B).tolist() == [[1, 2, 5], [3, 4, -9]]


def test_availability_appends_a_flag_for_each_input(build):
    module = build(component, A, B, availability=True)
    assert module(A, B, present=ABSENT_B).tolist() == [[1, 2, 5, 1, 1], [3, 4, 0, 1, 0]]
    assert module(A, B).tolist() == [[1, 2, 5, 1, 1], [3, 4, 6, 1, 1]]


def test_availability_on_maps_is_a_constant_plane(build):
    x, y = torch.randn(2, 3, 5, 7), torch.randn(2, 2, 5, 7)
    result = build(component, x, y, availability=True)(x, y, present=ABSENT_B)
    assert result.shape == (2, 7, 5, 7)
    assert torch.equal(result[:, 5:], ABSENT_B.float()[:, :, None, None].expand(2, 2, 5, 7))


def test_availability_on_a_row_of_tokens_flags_each_token(build):
    x, y = torch.randn(2, 3, 5), torch.randn(2, 2, 5)
    result = build(component, x, y, axis="tokens", availability=True)(x, y, present=ABSENT_B)
    assert result[..., 5].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]


def test_rescale_makes_up_for_the_absent(build):
    module = build(component, A, B, rescale=True, fill=-9.0)
    assert module(A, B, present=ABSENT_B).tolist() == [[1, 2, 5], [6, 8, -9]]


def test_projection_has_the_published_size(build, count):
    assert count(build(component, A, B, width=11)) == 3 * 11 + 11


@pytest.mark.parametrize(("options", "shapes", "message"), [
    ({}, [Tokens((3, 5)), Tokens((2, 5))], "3 and 2 tokens"),
    ({"axis": "tokens"}, [Tokens((3, 5)), Tokens((3, 7))], "5 and 7 features"),
    ({"axis": "tokens"}, [Vector((5,)), Vector((5,))], "layout 'vector'"),
])
def test_what_cannot_stand_side_by_side_is_refused(options, shapes, message):
    with pytest.raises(ComponentError, match=message) as caught:
        component.output(component.config.model_validate(options), shapes)
    assert caught.value.fix
