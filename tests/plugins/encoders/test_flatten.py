"""Maps and tokens as one vector, and the advice on large ones."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.encoders.flatten import Flatten, FlattenConfig, component, flat_shape

from fusionkit.shapes.layouts import Image, TensorShape, Tokens, Volume


@pytest.mark.parametrize("shape", [Tokens((7, 5)), Image((5, 3, 7)), Volume((5, 2, 3, 7))], ids=str)
def test_every_number_keeps_its_place(shape: TensorShape) -> None:
    x = torch.randn(2, *shape.sizes)
    flat = Flatten(FlattenConfig(), [shape])(x)
    assert flat_shape(FlattenConfig(), [shape]).sizes == flat.shape[1:]
    assert torch.equal(flat.reshape(x.shape), x)


def test_a_large_map_is_advised_against() -> None:
    assert component.advice is not None
    assert not list(component.advice(FlattenConfig(), [Image((64, 8, 8))]))
    told, = component.advice(FlattenConfig(), [Image((64, 8, 9))])
    assert "4,608 numbers" in told
