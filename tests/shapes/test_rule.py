"""The rule notation bound to inputs: axis names, grids, `*` ports, results, and every way not to fit."""

from __future__ import annotations

from typing import Any

import pytest

from fusionkit.shapes.layouts import (
    Bundle,
    Image,
    MaskedTokens,
    Scalar,
    Shape,
    TensorShape,
    Tokens,
    Vector,
    Volume,
    joined_tokens,
    with_width,
)
from fusionkit.shapes.rule import Binding, Mismatch, axis_size, result_shape
from fusionkit.shapes.rule_parser import parse_rule

Inputs = dict[str, TensorShape]
BAG, OTHER = MaskedTokens((64, 7), ("bag",)), MaskedTokens((64, 5), ("other",))


def bind(rule: str, inputs: Inputs, **options: Any) -> Binding | Mismatch:
    return parse_rule(rule).bind(list(inputs.items()), options)


def result(rule: str, *shapes: TensorShape, **options: Any) -> Shape | None:
    bound = bind(rule, {f"i{index}": shape for index, shape in enumerate(shapes)}, **options)
    assert isinstance(bound, Binding), bound
    return result_shape(bound, options)


@pytest.mark.parametrize(("rule", "shapes", "options", "gives"), [
    ("B c -> B c", [Vector((7,))], {}, Vector((7,))),
    ("B _ -> B {width}", [Vector((7,))], {"width": 11}, Vector((11,))),
    ("B _ -> B {classes}", [Vector((7,))], {"classes": ["a", "b", "c"]}, Vector((3,))),
    ("B n c -> B c n", [Tokens((5, 7))], {}, Tokens((7, 5))),
    ("B c ... -> B {width} ...", [Image((3, 5, 7))], {"width": 2}, Image((2, 5, 7))),
    ("B c ... -> B {width} ...", [Volume((3, 5, 7, 11))], {"width": 2}, Volume((2, 5, 7, 11))),
    ("B c _... -> B c", [Volume((3, 5, 7, 11))], {}, Vector((3,))),
    ("B 3 _ _ -> B 8 3", [Image((3, 5, 7))], {}, Tokens((8, 3))),
    ("a: B c, b: B c -> B c", [Vector((7,)), Vector((7,))], {}, Vector((7,))),
    ("*f: B c -> B c", [Vector((7,))] * 3, {}, Vector((7,))),
    ("q: B c, *f: B _ -> B c", [Vector((7,)), Vector((2,)), Vector((3,))], {}, Vector((7,))),
    ("B c -> one: B c, two: B 2 c, loss_x: ()", [Vector((7,))], {},
     Bundle((("one", Vector((7,))), ("two", Tokens((2, 7))), ("loss_x", Scalar(()))))),
    ("B _ -> same", [Vector((7,))], {}, Vector((7,))),
    ("*f: B _ -> same", [Vector((7,)), Vector((5,))], {}, Bundle((("i0", Vector((7,))), ("i1", Vector((5,)))))),
    ("B _ -> same, loss_x: ()", [Vector((7,))], {}, Bundle((("i0", Vector((7,))), ("loss_x", Scalar(()))))),
    ("*f: B _ -> same, loss_x: ()", [Vector((7,)), Vector((5,))], {},
     Bundle((("i0", Vector((7,))), ("i1", Vector((5,))), ("loss_x", Scalar(()))))),
    ("B _ -> ?", [Vector((7,))], {}, None),
    ("B _", [Vector((7,))], {}, None),
    ("B _ -> B 1 | B n _ -> B n", [Tokens((5, 7))], {}, Vector((5,))),
    ("B [n] _ -> B [n] {width}", [BAG], {"width": 3}, MaskedTokens((64, 3), ("bag",))),
    ("B [n] _ -> B [n] {width}", [Tokens((5, 7))], {"width": 3}, Tokens((5, 3))),
    ("B [_] c -> B c", [BAG], {}, Vector((7,))),
    ("B [_] _ -> same", [BAG], {}, BAG),
    ("a: B [n] _, b: B [m] _ -> B [m] 2", [BAG, OTHER], {}, MaskedTokens((64, 2), ("other",))),
    ("a: B [n] _, b: B [n] _ -> B [n] 2", [BAG, with_width(BAG, 3)], {}, MaskedTokens((64, 2), ("bag",))),
    ("*f: B _ or B [_] _ or B _ _... -> B {w}", [Volume((3, 5, 7, 11)), Vector((7,)), BAG, Image((1, 2, 3))], {"w": 3},
     Vector((3,))),
    ("*f: B c or B [_] c -> B c", [BAG, Vector((7,))], {}, Vector((7,))),
    ("a: B n c or B c ..., b: B c -> B c", [Image((3, 5, 7)), Vector((3,))], {}, Vector((3,))),
    ("*f: B _ or B _ ... -> same", [Vector((7,)), Image((3, 5, 7))], {},
     Bundle((("i0", Vector((7,))), ("i1", Image((3, 5, 7)))))),
])
def test_what_a_rule_gives(rule: str, shapes: list[TensorShape], options: dict[str, Any], gives: Shape | None):
    assert result(rule, *shapes, **options) == gives


@pytest.mark.parametrize(("rule", "shapes", "code", "why"), [
    ("B n _ -> same", [BAG], "masked-input", "i0 has another number of tokens for every case"),
    ("B _ ... -> B 2 | B _ _ -> B 2", [BAG], "masked-input", "i0 has another number"),
    ("a: B [n] _, b: B [n] _ -> B 2", [BAG, OTHER], "shape-clash",
     "axis '[n]' is the tokens of bag on i0 and the tokens of other on i1"),
    ("a: B [n] _, b: B [n] _ -> B 2", [Tokens((64, 7)), BAG], "shape-clash",
     "axis '[n]' is a fixed number of tokens on i0 and the tokens of bag on i1"),
    ("B _ -> same", [BAG], "wrong-layout", "i0 is tokens (B [bag] 7); it takes a vector here"),
])
def test_masked_tokens_are_refused_where_no_mask_is_taken(rule: str, shapes: list[TensorShape], code: str, why: str):
    found = bind(rule, {f"i{index}": shape for index, shape in enumerate(shapes)})
    assert isinstance(found, Mismatch) and found.code == code and found.why.startswith(why)


def test_tokens_side_by_side_have_the_tokens_of_all():
    assert joined_tokens([Tokens((5, 7)), Vector((7,))], 3) == Tokens((6, 3))
    assert joined_tokens([BAG, Tokens((5, 7)), OTHER], 3) == MaskedTokens((133, 3), ("bag", 5, "other"))


def test_axis_names_and_the_grid_are_bound():
    bound = bind("image: B c ..., table: B d -> B c ...", {"ct": Volume((3, 5, 7, 11)), "ehr": Vector((13,))})
    assert isinstance(bound, Binding)
    assert (bound.sizes, bound.spatial) == ({"c": 3, "d": 13}, (5, 7, 11))
    assert [(port.name, name) for port, name, _ in bound.inputs] == [("image", "ct"), ("table", "ehr")]


def test_an_option_is_a_number_or_the_length_of_a_list():
    axis = parse_rule("B {w}").alternatives[0].inputs[0].axes
    assert axis is not None
    assert (axis_size(axis[0], {"w": 5}), axis_size(axis[0], {"w": ["a", "b"]})) == (5, 2)


def test_of_a_port_with_several_forms_each_input_has_one():
    bound = bind("*f: B _ or B [_] _", {"ehr": Vector((7,)), "bag": BAG})
    assert isinstance(bound, Binding)
    assert [str(port) for port, _, _ in bound.inputs] == ["*f: B _", "*f: B [_] _"]
    assert str(parse_rule("*f:B _ or B [_] _->same")) == "*f: B _ or B [_] _ -> same"


def test_a_form_that_does_not_fit_binds_nothing():
    bound = bind("x: B n c or B c n, y: B c", {"x": Tokens((5, 7)), "y": Vector((5,))})
    assert isinstance(bound, Mismatch) and bound.code == "shape-clash"
    bound = bind("x: B n 3 or B c n, y: B c", {"x": Tokens((5, 7)), "y": Vector((5,))})
    assert isinstance(bound, Binding) and bound.sizes == {"c": 5, "n": 7}


# What does not fit: rule, inputs, options; code, input at fault, why, fix.
MISFITS: list[tuple[str, Inputs, dict[str, Any], str, int | None, str, str]] = [
    ("*f: B _ or B _ _", {"x": Vector((7,)), "y": Image((3, 5, 7))}, {}, "wrong-layout", 1,
     "y is an image (B 3 5 7); it takes a vector or tokens here",
     "put an `encoder.pool` between, which turns it into a vector, or with `to: tokens` into tokens"),
    ("*f: B _ or B _ _", {"x": Vector((7,)), "y": BAG}, {}, "masked-input", 1,
     "y has another number of tokens for every case, padded and with a mask; here it takes tokens of one number",
     "put an `encoder.pool` between, which turns them into a vector, or use a component whose rule has '[...]'"),
    ("*f: B c or B _ c", {"x": Vector((7,)), "y": Tokens((5, 3))}, {}, "shape-clash", 1,
     "axis 'c' is 7 on x and 3 on y", "make the two equal, for example with an `encoder.project` of width 7 after y"),
    ("B c", {"a": Vector((7,)), "b": Vector((7,))}, {}, "input-count", 1, "it takes 1 input, but is given 2",
     "leave some out, or combine them with a fusion first"),
    ("a: B c, b: B c", {"x": Vector((7,))}, {}, "input-count", None, "it takes 2 inputs, but is given 1",
     "connect one input for each port of the rule"),
    ("a: B c, *b: B c", {"x": Vector((7,))}, {}, "input-count", None, "it takes 2 or more inputs, but is given 1",
     "connect one input for each port of the rule"),
    ("*a: B c", {}, {}, "input-count", None, "it takes 1 or more inputs, but is given 0",
     "connect one input for each port of the rule"),
    ("a: B c, b: B c", {"x": Vector((7,)), "y": Vector((5,))}, {}, "shape-clash", 1, "axis 'c' is 7 on x and 5 on y",
     "make the two equal, for example with an `encoder.project` of width 7 after y"),
    ("a: B n c, b: B n d", {"x": Tokens((7, 2)), "y": Tokens((5, 2))}, {}, "shape-clash", 1,
     "axis 'n' is 7 on x and 5 on y", "make the two equal"),
    ("a: B c ..., b: B d ...", {"x": Image((2, 5, 7)), "y": Image((2, 7, 5))}, {}, "shape-clash", 1,
     "the spatial size is 5x7 on x and 7x5 on y",
     "bring both to one spatial size, or pool both to vectors with an `encoder.pool`"),
    ("a: B c ..., b: B d ...", {"x": Image((2, 5, 7)), "y": Volume((2, 3, 5, 7))}, {}, "shape-clash", 1,
     "the spatial size is 5x7 on x and 3x5x7 on y",
     "bring both to one spatial size, or pool both to vectors with an `encoder.pool`"),
    ("B 6", {"x": Vector((7,))}, {}, "wrong-size", 0, "x has 7 features, but the rule requires 6",
     "bring it to 6, for example with an `encoder.project` of width 6 after x"),
    ("B {width}", {"x": Vector((7,))}, {"width": 5}, "wrong-size", 0,
     "x has 7 features, but option 'width' requires 5",
     "bring it to 5, for example with an `encoder.project` of width 5 after x, or set 'width' to 7"),
    ("B _ 4 _", {"x": Image((3, 5, 7))}, {}, "wrong-size", 0, "x has the height 5, but the rule requires 4",
     "bring it to 4"),
    ("B c", {"x": Image((3, 5, 7))}, {}, "wrong-layout", 0, "x is an image (B 3 5 7); it takes a vector here",
     "put an `encoder.pool` between, which turns it into a vector"),
    ("B n c", {"x": Volume((3, 5, 7, 2))}, {}, "wrong-layout", 0, "x is a volume (B 3 5 7 2); it takes tokens here",
     "put an `encoder.pool` between, which turns it with `to: tokens` into tokens"),
    ("B c | B n c", {"x": Image((3, 5, 7))}, {}, "wrong-layout", 0,
     "x is an image (B 3 5 7); it takes a vector or tokens here",
     "put an `encoder.pool` between, which turns it into a vector, or with `to: tokens` into tokens"),
    ("B c", {"x": Tokens((5, 7))}, {}, "wrong-layout", 0, "x is tokens (B 5 7); it takes a vector here",
     "put an `encoder.pool` between, which turns it into a vector"),
    ("B c ...", {"x": Vector((7,))}, {}, "wrong-layout", 0, "x is a vector (B 7); it takes an image or a volume here",
     "connect an image or a volume"),
    ("B _ _ _", {"x": Volume((1, 5, 7, 2))}, {}, "wrong-layout", 0,
     "x is a volume (B 1 5 7 2); it takes an image here", "connect an image"),
    ("B n c", {"x": Vector((7,))}, {}, "wrong-layout", 0, "x is a vector (B 7); it takes tokens here",
     "connect tokens"),
    ("*f: B c | *f: B c ...", {"x": Image((3, 5, 7)), "y": Vector((7,))}, {}, "wrong-layout", 1,
     "x is an image (B 3 5 7) and y is a vector (B 7); all of them must have the same layout",
     "bring all to the same layout: an `encoder.pool` turns a map or tokens into a vector"),
]


@pytest.mark.parametrize(("rule", "inputs", "options", "code", "position", "why", "fix"), MISFITS)
def test_why_inputs_do_not_fit(rule: str, inputs: Inputs, options: dict[str, Any], code: str, position: int | None,
                               why: str, fix: str):
    misfit = bind(rule, inputs, **options)
    assert isinstance(misfit, Mismatch)
    assert (misfit.code, misfit.position, misfit.why, misfit.fix) == (code, position, why, fix)


def test_of_several_alternatives_the_one_that_came_furthest_is_told():
    misfit = bind("a: B c, b: B c | a: B c ..., b: B c", {"x": Image((3, 5, 7)), "y": Vector((5,))})
    assert isinstance(misfit, Mismatch)
    assert misfit.why == "axis 'c' is 3 on x and 5 on y"


def test_the_first_alternative_that_fits_is_taken():
    bound = bind("B c -> B 1 | B _ -> B 2", {"x": Vector((7,))})
    assert isinstance(bound, Binding)
    assert result_shape(bound, {}) == Vector((1,))
