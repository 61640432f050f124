"""When a value is there: expressions in one form, equal when they mean the same."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionkit.shapes.presence import Maybe, Presence, PresenceError, all_of, any_of

A, B, C = (Presence("input", name) for name in "abc")


def test_none_is_always_there():
    assert any_of([A, None]) is None
    assert all_of([A, None, B]) == all_of([A, B])
    assert all_of([None]) is None and all_of([]) is None


def test_one_part_is_itself():
    assert any_of([A, A]) == A == all_of([A])


def test_how_it_reads():
    assert str(any_of([A, all_of([C, B])])) == "(a or (b and c))"


@pytest.mark.parametrize(("first", "second"), [
    (any_of([A, B]), any_of([B, A])),
    (any_of([A, all_of([A, B])]), A),
    (all_of([A, any_of([A, B])]), A),
    (all_of([any_of([A, B]), any_of([A, C])]), any_of([A, all_of([B, C])])),
    (any_of([any_of([A, B]), any_of([B, C])]), any_of([A, B, C])),
])
def test_equal_meanings_are_equal_values(first: Maybe, second: Maybe):
    assert first == second


def truth(present: Maybe, given: dict[str, bool]) -> bool:
    if present is None:
        return True
    if present.rule == "input":
        return given[present.input]
    parts = [truth(part, given) for part in present.parts]
    return any(parts) if present.rule == "any" else all(parts)


TERMS = st.recursive(st.sampled_from("abcd"), lambda inner: st.tuples(
    st.sampled_from(["any", "all"]), st.lists(inner, min_size=1, max_size=3)), max_leaves=8)


@given(TERMS)
def test_the_one_form_keeps_the_meaning(term: object):
    def made(term: object) -> Maybe:
        if isinstance(term, str):
            return Presence("input", term)
        rule, parts = term  # type: ignore[misc]
        return (any_of if rule == "any" else all_of)([made(part) for part in parts])

    def meant(term: object, given: dict[str, bool]) -> bool:
        if isinstance(term, str):
            return given[term]
        rule, parts = term  # type: ignore[misc]
        return (any if rule == "any" else all)([meant(part, given) for part in parts])

    for values in product([False, True], repeat=4):
        given = dict(zip("abcd", values, strict=True))
        assert truth(made(term), given) == meant(term, given)


def test_a_deep_network_makes_no_deep_expression():
    first, second = any_of([A, B]), A
    for _ in range(200):
        first, second = any_of([first, second]), first
    assert first == any_of([A, B])


def test_too_many_ways_are_refused():
    pairs = [any_of([Presence("input", f"a{i}"), Presence("input", f"b{i}")]) for i in range(20)]
    with pytest.raises(PresenceError, match="more than 512 ways"):
        all_of(pairs)


def test_a_fusion_of_many_optional_inputs_is_fine():
    many = any_of([Presence("input", f"a{i}") for i in range(600)])
    assert all_of([many, None]) == many
