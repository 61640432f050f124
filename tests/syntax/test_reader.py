"""YAML to a tree: scalars by the 1.2 core rules, places, bounds, and a text that reads back unchanged."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionkit.errors import DataError, GraphError
from fusionkit.syntax.assign import assign
from fusionkit.syntax.reader import MAX_BYTES, MAX_VALUES, read, read_file
from fusionkit.syntax.tree import MAX_DEPTH, Items, Leaf, Mapping, Tree, find, to_plain
from fusionkit.syntax.writer import write


def value(text: str) -> Any:
    return to_plain(read(f"v: {text}"))["v"]


def refusal(text: str) -> tuple[str, int, int]:
    with pytest.raises(GraphError) as caught:
        read(text)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    return found.code, found.span.line, found.span.column


@pytest.mark.parametrize(("text", "meaning"), [
    ("", None), ("~", None), ("null", None), ("Null", None), ("NULL", None), ("nUll", "nUll"),
    ("true", True), ("True", True), ("FALSE", False), ("tRue", "tRue"),
    ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"), ("N", "N"),
    ("0", 0), ("-12", -12), ("+7", 7), ("007", 7), ("0o17", 15), ("0x1F", 31), ("0b11", "0b11"),
    ("1_000", "1_000"), ("1:30", "1:30"), ("2024-01-02", "2024-01-02"), ("+", "+"),
    ("1.5", 1.5), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("-1.5E-2", -0.015), ("1e", "1e"), ("e3", "e3"),
    (".inf", math.inf), ("-.INF", -math.inf), ("+.Inf", math.inf), ("inf", "inf"), ("nan", "nan"), (".", "."),
    ("-0o7", "-0o7"), ("0xG", "0xG"), ("=", "="), ("'12'", "12"), ('"true"', "true"), ("'~'", "~"), ("1.2.3", "1.2.3"),
])
def test_scalars_by_the_core_rules(text: str, meaning: Any):
    got = value(text)
    assert got == meaning
    assert type(got) is type(meaning)


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_not_a_number(text: str):
    assert math.isnan(value(text))


def test_keys_are_taken_as_they_are_written():
    assert to_plain(read("1: a\ntrue: b\nnull: c\n0x10: d")) == {"1": "a", "true": "b", "null": "c", "0x10": "d"}


def test_every_value_keeps_its_place():
    tree = read("a: 1\nb:\n  - x\n  - {c: yes, d: [2, 3]}\n", "f.yaml")
    assert isinstance(tree, Mapping)
    assert str(tree.keys["b"]) == "f.yaml:2:1"
    assert str(find(tree, ("b", 1, "d", 1))) == "f.yaml:4:21"
    assert find(tree, ("b", 1, "d", 1)).text == "  - {c: yes, d: [2, 3]}"
    assert find(tree, ("b", 7, "d")) == find(tree, ("b",)), "a path that ends early gives what is around it"


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_places_for_every_kind_of_line_end(newline: str):
    span = find(read(newline.join(["a: 1", "b: 2", "c: 3"])), ("c",))
    assert (span.line, span.column, span.text) == (3, 4, "c: 3")


@pytest.mark.parametrize(("text", "code", "line", "column"), [
    ("a: 1\na: 2", "duplicate-key", 2, 1),
    ("a: {b: 1, b: 2}", "duplicate-key", 1, 11),
    ("a: 1\n'a': 2", "duplicate-key", 2, 1),
    ("a: *x", "yaml-alias", 1, 4),
    ("a: &x [*x]", "yaml-alias", 1, 8),
    ("&k a: 1\n*k : 2", "yaml-alias", 2, 1),
    ("a: !!python/object:os.system x", "yaml-tag", 1, 4),
    ("a: !!str 1", "yaml-tag", 1, 4),
    ("a: !mine 1", "yaml-tag", 1, 4),
    ("a: !!set {x, y}", "yaml-tag", 1, 4),
    ("a: 1\n---\nb: 2", "yaml-documents", 2, 1),
    ("<<: {a: 1}", "yaml-key", 1, 1),
    ("? [a]\n: 1", "yaml-key", 1, 3),
    ("? {a: 1}\n: 1", "yaml-key", 1, 3),
    ("a: " + "9" * 401, "yaml-limit", 1, 4),
    ("a: " + "[" * (MAX_DEPTH + 1), "yaml-limit", 1, MAX_DEPTH + 3),
    ("a: [1", "yaml-syntax", 1, 4),
    ("a: 'x", "yaml-syntax", 1, 4),
    ("a: \x00", "yaml-syntax", 1, 4),
    ("a: b\n\tc: d", "yaml-syntax", 2, 1),
])
def test_what_is_refused_and_where(text: str, code: str, line: int, column: int):
    assert refusal(text) == (code, line, column)


def test_a_lone_surrogate_is_refused():
    assert refusal("a: \ud800")[0] == "yaml-syntax"


def test_the_deepest_allowed_file():
    depth = MAX_DEPTH - 1
    assert value("[" * depth + "]" * depth) is not None


def test_long_text_that_begins_with_a_digit_is_text():
    text = "3D volumes " * 50
    assert value(text) == text.strip()


def test_an_alias_repeats_a_value():
    assert to_plain(read("a: &x {w: 8}\nb: *x\nc: [*x, *x]")) == {
        "a": {"w": 8}, "b": {"w": 8}, "c": [{"w": 8}, {"w": 8}]}


def test_a_billion_laughs_are_refused_before_they_are_told():
    """Were the aliases followed, this would never end."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    assert refusal("\n".join(lines))[0] == "yaml-limit"


def test_a_file_of_many_values_is_refused():
    assert refusal("[" + "1," * MAX_VALUES + "]")[0] == "yaml-limit"


def test_a_large_file_is_refused_before_it_is_parsed(tmp_path: Path):
    assert refusal("#" * (MAX_BYTES + 1))[0] == "yaml-limit"
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(GraphError, match="yaml-limit"):
        read_file(path)


def test_an_empty_text_is_nothing():
    assert read("") == Leaf(None, read("").span)
    assert to_plain(read("# only a comment\n")) is None


def test_a_byte_order_mark_is_ignored(tmp_path: Path):
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    tree = read_file(path)
    assert to_plain(tree) == {"a": 1}
    assert find(tree, ("a",)).column == 4
    assert find(read("\ufeffa: 1"), ("a",)).column == 4


def test_bytes_that_are_no_utf8(tmp_path: Path):
    path = tmp_path / "latin.yaml"
    path.write_bytes("a: 1\nname: Frühstück\n".encode("latin-1"))
    with pytest.raises(DataError) as caught:
        read_file(path, DataError)
    (found,) = caught.value.diagnostics
    assert found.code == "not-utf8"
    assert found.span is not None
    assert (found.span.line, found.span.column) == (2, 9)


@pytest.mark.parametrize("name", ["absent.yaml", ".", "nul\0.yaml", "x" * 5000])
def test_files_that_cannot_be_read(tmp_path: Path, name: str):
    with pytest.raises(GraphError) as caught:
        read_file(str(tmp_path / name))
    assert caught.value.diagnostics[0].code == "unreadable-file"


PLAIN = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["no", "<<", "=", "0o17", "0b1", "1e3", "1_000", "~", "null", ".inf", "- a", "a: b", "# c", "*x", "&x", "!t", " ",
     "a\nb", "a\r\nb", "\x85", "\u2028", "\ufeff", "9" * 500, "%YAML", "---", "...", "2001-01-01", "[", "{}", "'", '"'])
DATA = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(["<<", "1", "no", "=", "?"]),
    inner, max_size=4), max_leaves=12)


@given(DATA, st.booleans())
def test_what_is_written_reads_back_unchanged(data: Any, one_line: bool):
    again = to_plain(read(write(data, one_line=one_line)))
    assert again == data
    assert repr(again) == repr(data), "1 is not 1.0 and not true"


def test_written_lists_read_well():
    assert write({"a": [1, 2], "b": {"c": "no", "d": 1.5}}) == "a: [1, 2]\nb: {c: no, d: 1.5}\n"


def test_assign_sets_one_value():
    tree = read("nodes: {a: {use: encoder.mlp, with: {width: 8}}}\nlist: [1, 2]")
    tree = assign(tree, "nodes.a.with.width=16")
    tree = assign(tree, "list.1=[x, no]")
    tree = assign(tree, "training.lr=1e-3")
    tree = assign(tree, "name=")
    assert to_plain(tree) == {"nodes": {"a": {"use": "encoder.mlp", "with": {"width": 16}}}, "list": [1, ["x", "no"]],
                              "training": {"lr": 0.001}, "name": None}


def test_assign_leaves_the_tree_that_it_is_given():
    tree = read("a: {b: 1}")
    assign(tree, "a.b=2")
    assert to_plain(tree) == {"a": {"b": 1}}


@pytest.mark.parametrize("assignment", ["a", "=1", "a..b=1", ".a=1", "a.b.c=1", "list.5=1", "list.x=1",
                                        "list.\N{SUPERSCRIPT TWO}=1", ".".join("a" * 5000) + "=1"])
def test_assignments_that_are_refused(assignment: str):
    with pytest.raises(GraphError) as caught:
        assign(read("a: {b: 1}\nlist: [1, 2]"), assignment)
    assert caught.value.diagnostics[0].code == "bad-set"


def test_a_fault_in_an_assigned_value_is_told_where_it_was_typed():
    with pytest.raises(GraphError, match=r"--set a=\[1:1:"):
        assign(read("a: 1"), "a=[1")


def test_trees_are_compared_by_what_they_hold():
    first: Tree = read("a: [1, {b: 2}]")
    assert first == read("a: [1, {b: 2}]")
    assert isinstance(first, Mapping) and isinstance(first.get("a"), Items)
