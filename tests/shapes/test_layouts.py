"""Shapes of tensors and bundles."""

from __future__ import annotations

import pytest

from fusionkit.shapes.layouts import (
    LAYOUTS,
    Bundle,
    Image,
    Scalar,
    TensorShape,
    Tokens,
    Vector,
    Volume,
    features_of,
    is_loss,
    members,
    shape_of,
)


@pytest.mark.parametrize(("shape", "width", "spatial", "positions", "count", "text"), [
    (Vector((7,)), 7, (), 1, 7, "B 7"),
    (Tokens((11, 7)), 7, (), 11, 77, "B 11 7"),
    (Image((3, 5, 7)), 3, (5, 7), 35, 105, "B 3 5 7"),
    (Volume((2, 3, 5, 7)), 2, (3, 5, 7), 105, 210, "B 2 3 5 7"),
])
def test_what_a_shape_says(shape: TensorShape, width: int, spatial: tuple[int, ...], positions: int, count: int,
                           text: str):
    assert (shape.width, shape.spatial, shape.positions, shape.count, str(shape)) == (
        width, spatial, positions, count, text)
    assert shape_of(shape.sizes) == shape
    assert LAYOUTS[shape.layout] is type(shape)
    assert len(shape.axes) == len(shape.sizes)


def test_a_scalar():
    assert shape_of(()) == Scalar(())
    assert (str(Scalar(())), Scalar(()).count, Scalar(()).positions) == ("()", 1, 1)


@pytest.mark.parametrize("sizes", [(0,), (3, -1), (1, 2, 3, 4, 5)])
def test_sizes_of_no_layout(sizes: tuple[int, ...]):
    with pytest.raises(ValueError, match="no layout"):
        shape_of(sizes)


def test_a_bundle_keeps_the_order_of_its_members():
    bundle = Bundle((("f2", Image((5, 7, 7))), ("f1", Vector((3,))), ("loss_gap", Scalar(()))))
    assert bundle.names == ("f2", "f1", "loss_gap")
    assert str(bundle) == "f2: B 5 7 7, f1: B 3, loss_gap: ()"
    assert members(bundle) == bundle.items == tuple(bundle)
    assert [name for name, _ in features_of(bundle)] == ["f2", "f1"]


def test_a_single_tensor_goes_under_the_name_asked_for():
    assert members(Vector((3,)), "x") == (("x", Vector((3,))),)
    assert features_of(Vector((3,))) == (("", Vector((3,))),)


def test_losses_are_told_by_their_name():
    assert is_loss("loss_gap") and not is_loss("gloss_gap") and not is_loss("")


def test_a_shape_without_a_layout_is_refused() -> None:
    with pytest.raises(TypeError, match=r"TensorShape\(\(5, 7\)\) has no layout; use Vector"):
        TensorShape((5, 7))
