"""Arbitrary text, arbitrary trees and mangled graphs: diagnostics or a plan, never another error, never long."""

from __future__ import annotations

import copy
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from odd_components import registry

from fusionkit.errors import GraphError
from fusionkit.graph.builder import NODE_KEYS, TOP_KEYS
from fusionkit.network.build import plan
from fusionkit.syntax.reader import read_file
from fusionkit.syntax.tree import to_plain
from fusionkit.syntax.writer import write
from tools.fuzz.mutations import places

GOOD = Path(__file__).parents[1] / "graphs" / "good"
GRAPHS = [to_plain(read_file(path)) for path in sorted(GOOD.glob("*.yaml"))]
FUZZED = settings(deadline=timedelta(seconds=5), max_examples=150, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "graph.yaml"


def try_plan(source: Any) -> None:
    """A plan, or an error of which every finding can be printed."""
    try:
        made = plan(source, registry=registry(), measured=False)
    except GraphError as error:
        for found in error.diagnostics:
            assert found.code and found.message and found.render()
            assert found.span is None or (found.span.line >= 1 and found.span.column >= 1)
    else:
        assert made.heads


def try_text(path: Path, text: bytes) -> None:
    path.write_bytes(text)
    try_plan(path)


@FUZZED
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"\xef\xbb\xbf")
@example(b"\xff\xfe")
@example(b"a: \xc2\x85\xe2\x80\xa8b: 'c")
def test_any_bytes(path: Path, text: bytes):
    try_text(path, text)


@FUZZED
@given(st.lists(st.sampled_from(
    ["fusionkit: 1", "inputs:", "nodes:", "  a:", "  a: {vector: [7]}", "  b: {use: encoder.mlp, from: a}", "    - ",
     "{", "}", "[", "]", ": ", "? ", "&x ", "*x", "!!map ", "'", '"', "\t", "| ",
     "> ", "%YAML 1.1", "---", "...", "<<: ",
     "use: ", "from: ", "- ", "#", ",", "\x00", "0x", "~", "{a: 1, a: 2}"]), max_size=25), st.sampled_from(["\n", " "]))
def test_pieces_of_yaml(path: Path, pieces: list[str], glue: str):
    try_text(path, glue.join(pieces).encode())


SCALARS = (st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
           | st.sampled_from(["ehr", "a", "b", "a.f1", "encoder.mlp", "fusion.sum", "head.regress", "auto", "../x"])
           | st.integers(10**20, 10**30) | st.sampled_from([-1, 0, 1 << 31, 1 << 63, 1e308]))
KEYS = st.text(max_size=6) | st.sampled_from([*TOP_KEYS, *NODE_KEYS, "vector", "optional", "a", "b", "ehr", "width"])
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
                     max_leaves=20)


@FUZZED
@given(st.dictionaries(KEYS, TREES, max_size=6))
def test_any_tree(tree: dict[str, Any]):
    try_plan(tree)


@FUZZED
@given(st.dictionaries(KEYS, TREES, max_size=4), st.dictionaries(KEYS, TREES, max_size=4), TREES)
def test_any_tree_under_the_keys_of_a_graph(inputs: Any, nodes: Any, uncertainty: Any):
    try_plan({"fusionkit": 1, "inputs": inputs, "nodes": nodes, "uncertainty": uncertainty})


def mangle(tree: Any, data: st.DataObject) -> None:
    """One random change of a graph: a value replaced, removed, renamed, or taken from elsewhere in it."""
    found = places(tree)
    if not found:
        return
    container, key = data.draw(st.sampled_from(found))
    change = data.draw(st.sampled_from(["value", "borrow", "remove", "rename", "double"]))
    if change == "value":
        container[key] = data.draw(TREES)
    elif change == "borrow":
        other, where = data.draw(st.sampled_from(found))
        container[key] = copy.deepcopy(other[where])
    elif change == "remove":
        del container[key]
    elif change == "rename" and isinstance(container, dict):
        container[data.draw(KEYS)] = container.pop(key)
    elif isinstance(container, list):
        container.append(copy.deepcopy(container[key]))


@settings(FUZZED, max_examples=300)
@given(st.sampled_from(GRAPHS), st.integers(1, 4), st.data())
def test_a_good_graph_mangled(graph: Any, count: int, data: st.DataObject):
    tree = copy.deepcopy(graph)
    for _ in range(count):
        mangle(tree, data)
    try_plan(tree)


@settings(FUZZED, max_examples=100)
@given(st.sampled_from(GRAPHS), st.data())
def test_the_text_of_a_good_graph_mangled(path: Path, graph: Any, data: st.DataObject):
    text = write(graph)
    start = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 12))
    piece = data.draw(st.text(st.sampled_from("\n\t {}[]:,&*!|>'\"%@`#-?a1\x00\x85"), max_size=6))
    try_text(path, (text[:start] + piece + text[start + length :]).encode())


@FUZZED
@given(st.text(max_size=30).filter(lambda text: not text.endswith((".yaml", ".yml"))))
@example("x" * 5000)
@example("a\0b")
@example("fusionkit: 1\ninputs: {}\n")
def test_any_name_of_a_graph(name: str):
    try_plan(name)


@FUZZED
@given(st.text(max_size=30))
@example("nodes.size.with.values=7")
@example("inputs.ehr.vector.0=auto")
@example("nodes.size=")
def test_any_assignment(text: str):
    try:
        plan(GOOD / "smallest.yaml", sets=[text], registry=registry(), measured=False)
    except GraphError as error:
        assert str(error)


def large(kind: str, count: int) -> str:
    """A graph of many nodes, wrong in a way that could take long to tell."""
    nodes = {"chain": "encoder.mlp, from: n{i}", "circles": "encoder.mlp, from: n{own}",
             "ids": "encoder.zz{i}, from: ehr", "options": "encoder.mlp, from: ehr, with: {{widht{i}: 3}}",
             "names": "encoder.mlp, from: ehrr{i}x"}[kind]
    lines = [f"  n{i + 1}: {{{{use: {nodes}}}}}".format(i=i, own=i + 1) for i in range(count)]
    return "\n".join(["fusionkit: 1", "inputs: {ehr: {vector: [7]}}", "nodes:", *lines, ""])


@pytest.mark.parametrize("kind", ["chain", "circles", "ids", "options", "names"])
def test_a_large_wrong_graph_is_refused_in_time(path: Path, kind: str):
    """Twice the nodes take about twice the work, counted in calls and not in seconds, which are the machine's."""
    path.write_text(large(kind, 10))
    calls_to_refuse(path)  # imports components, once
    found = []
    for count in (300, 600):
        path.write_text(large(kind, count))
        found.append(calls_to_refuse(path))
    assert found[1] < 3 * found[0]


def calls_to_refuse(path: Path) -> int:
    """How many functions are called until a graph is refused."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        with pytest.raises(GraphError):
            plan(path, registry=registry(), measured=False)
    finally:
        sys.setprofile(before)
    return calls
