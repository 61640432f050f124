"""The parser of rules: what is written prints back the same, and what is wrong is pointed at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionkit.shapes.rule import RuleError
from fusionkit.shapes.rule_parser import parse_rule

NAMES = ("image", "table", "query", "features")
AXES = st.sampled_from(["c", "n", "width", "_", "{width}", "{classes}", "3", "17"])


@st.composite
def ports(draw: st.DrawFn, names: tuple[str, ...], variadic: bool) -> list[tuple[str, list[str]]]:
    written = []
    for index, name in enumerate(names):
        if draw(st.booleans()):
            star = "*" if variadic and index == len(names) - 1 else ""
            written.append((f"{star}{name}: " if name else "", [draw(st.sampled_from(["[_]", "[m]"])), draw(AXES)]))
            continue
        axes = draw(st.lists(AXES, min_size=1, max_size=3))
        grid = draw(st.sampled_from(["", "...", "_..."]))
        axes = axes[:1] + ([grid] if grid else axes[1:])
        star = "*" if variadic and index == len(names) - 1 else ""
        written.append((f"{star}{name}: " if name else "", axes))
    return written


@st.composite
def rules(draw: st.DrawFn) -> str:
    names = tuple(draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)))
    names = ("",) if len(names) == 1 and draw(st.booleans()) else names
    variadic = bool(names[0]) and draw(st.booleans())
    alternatives = []
    for _ in range(draw(st.integers(1, 3))):
        made = draw(ports(names, variadic))
        left = ", ".join(f"{name}B {' '.join(axes)}" for name, axes in made)
        bound = [axis for _, axes in made for axis in axes if axis.isalpha()] + ["{width}", "5"]
        grid = any("..." in axes for _, axes in made)
        masked = any(axis.startswith("[") for _, axes in made for axis in axes)
        axes = draw(st.lists(st.sampled_from(bound), min_size=1, max_size=2)) + (["..."] if grid else [])
        right = draw(st.sampled_from(["", " -> same", " -> same, loss_x: (), loss_y: ()", "" if masked else " -> ?",
                                      f" -> B {' '.join(axes)}", f" -> one: B {axes[0]}, loss_two: ()"]))
        alternatives.append(left + right)
    return " | ".join(alternatives)


@given(rules())
def test_a_rule_prints_as_it_is_written(text: str):
    rule = parse_rule(text)
    assert str(rule) == text
    assert parse_rule(str(rule)) == rule


@given(rules(), st.data())
def test_space_does_not_matter(text: str, data: st.DataObject):
    loose = text.replace(" ", data.draw(st.sampled_from(["  ", " \t", "\n "])))
    assert str(parse_rule(loose)) == text


@given(st.text(st.sampled_from("Bcn _.*{}[]->|,:()?137x\n"), max_size=30))
def test_any_other_text_is_refused_with_a_place(text: str):
    try:
        rule = parse_rule(text)
    except RuleError as error:
        assert 0 <= error.position <= len(text)
    else:
        assert parse_rule(str(rule)) == rule


@pytest.mark.parametrize(("text", "position", "message"), [
    ("", 0, "a port begins with the batch axis 'B'"),
    ("c", 0, "a port begins with the batch axis 'B'"),
    ("B", 1, "expected an axis"),
    ("B c -> ", 7, "a port begins with the batch axis 'B'"),
    ("B c c -> B c d", 9, "the axis 'd' of the result is not bound on the left"),
    ("B c -> B _", 7, "the axis '_' of the result is not bound on the left"),
    ("B c -> B c ...", 7, "the result has '...', but no input has"),
    ("B c _... -> B c ...", 12, "the result has '...', but no input has"),
    ("B [n] -> same", 6, "'[...]' is the first of several axes"),
    ("B c [n] -> same", 8, "'[...]' is the first of several axes"),
    ("B [3] c -> same", 3, "'[' is followed by a name or '_'"),
    ("B [n c -> same", 5, "expected ']'"),
    ("B [B] c -> same", 3, "'B' is the batch axis and comes first"),
    ("B [n] c -> B n c", 0, "the axis is written both 'n' and '[n]'"),
    ("a: B [n] c, b: B n c -> same", 0, "the axis is written both 'n' and '[n]'"),
    ("B [n] c -> ?", 0, "'[...]' cannot be combined with '?', which says nothing of a mask"),
    ("B B", 2, "'B' is the batch axis and comes first"),
    ("B ... _...", 10, "a port has its spatial axes only once"),
    ("B c, B d", 8, "several ports need distinct names"),
    ("a: B c, a: B d", 14, "several ports need distinct names"),
    ("*a: B c, b: B d", 15, "only the last port may be '*'"),
    ("*B c", 1, "'*' needs a port name and is allowed on the left only"),
    ("B c -> *a: B c", 11, "'*' needs a port name and is allowed on the left only"),
    ("B c; B d", 3, "';' has no meaning in a rule"),
    ("B 0", 2, "'0' has no meaning in a rule"),
    ("B c -> B c B", 11, "'B' is the batch axis and comes first"),
    ("B c ) ", 4, "')' has no meaning in a rule"),
    ("B c -> same, x: B c", 13, "only auxiliary losses may follow 'same', each under its own name: 'loss_x: ()'"),
    ("B c -> same, x: ()", 13, "only auxiliary losses may follow 'same', each under its own name: 'loss_x: ()'"),
    ("B c -> same, loss_x: (), loss_x: ()", 25,
     "only auxiliary losses may follow 'same', each under its own name: 'loss_x: ()'"),
    ("B c -> same -> same", 12, "expected ',', '->' or '|'"),
    ("a: B c | b: B c", 0, "all alternatives must have the same input ports"),
    ("()", 0, "a port begins with the batch axis 'B'"),
])
def test_what_is_wrong_is_pointed_at(text: str, position: int, message: str):
    with pytest.raises(RuleError) as caught:
        parse_rule(text)
    assert str(caught.value).startswith(message + "\n")
    assert caught.value.position == position
