"""What is known of a graph that cannot be built: nothing is raised, and every mistake has its owner."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from odd_components import registry

from fusionkit.errors import GraphError, Owner
from fusionkit.network.measure import Measurement, measure, probe, witness
from fusionkit.network.planning_memo import PlanningMemo
from fusionkit.planning.plan import Call
from fusionkit.planning.resolve import Use, declared_output
from fusionkit.planning.sketch import Sketch, outline, sketch
from fusionkit.shapes.layouts import Shape, TensorShape
from fusionkit.syntax.reader import read, read_file

GRAPHS = Path(__file__).parents[1] / "graphs"
REGISTRY = registry()
TEXT = """\
fusionkit: 1
inputs: {ct: {volume: [1, 5, 7, 6]}, ehr: {vector: [7]}}
nodes:
  lungs: {use: encoder.conv, from: ct, with: {widths: [3, 5]}}
  table: {use: encoder.mlp, from: ehr, with: {width: 11}}
  fused: {use: fusion.late_mean, from: [lungs, table]}
  kind: {use: head.classify, from: fused, with: {classes: [a, b, c]}}
"""


def sketched(text: str) -> Sketch:
    return sketch(read(text), REGISTRY, witness)


def test_what_stands_before_a_clash_is_known_and_the_rest_is_not():
    made = sketched(TEXT)
    clash, = made.diagnostics
    assert clash.owner is not None and clash.owner.node == "fused" and clash.owner.reads in ("lungs", "table")
    assert [node.name for node in made.plan.nodes] == ["lungs", "table"] and not made.complete
    assert [node.name for node in made.graph.nodes] == ["lungs", "table", "fused", "kind"]
    assert {name: [str(value.shape) for value in values] for name, values in made.values.items()} == {
        "ct": ["B 1 5 7 6"], "ehr": ["B 7"], "lungs": ["B 5"], "table": ["B 11"]}


def test_structure_options_ids_and_shapes_are_told_at_once():
    made = sketched(TEXT.replace("width: 11", "widht: 11").replace("encoder.conv", "encoder.nothing")
                    .replace("from: fused", "from: fusde") + "  alone: {use: encoder.mlp, from: ehr}\n")
    assert [(found.code, found.owner) for found in made.diagnostics if found.code != "missing-option"] == [
        ("unknown-component", Owner("lungs")), ("unknown-option", Owner("table")),
        ("unknown-name", Owner("kind", "fusde")), ("leads-nowhere", Owner("alone"))]
    # A node that leads nowhere has a shape all the same.
    assert {node.name for node in made.plan.nodes} <= {"alone"}


def test_a_wrong_size_belongs_to_its_input():
    found, = sketched(TEXT.replace("[7]", "[0]").replace("11", "5")).diagnostics
    assert (found.code, found.owner) == ("bad-input", Owner("ehr"))


def test_a_good_graph_is_its_plan():
    made = sketched(TEXT.replace("from: [lungs, table]", "from: [table, ehr]").replace("width: 11", "width: 7")
                    .replace("  lungs", "  pooled: {use: head.regress, from: lungs, with: {values: [y]}}\n  lungs"))
    assert made.complete and made.diagnostics == ()
    assert [head.name for head in made.plan.heads] == ["pooled", "kind"]


@pytest.mark.parametrize("path", sorted((GRAPHS / "bad").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_bad_graph_raises_nothing_and_its_mistakes_are_told(path: Path):
    try:
        tree = read_file(path)
    except GraphError:
        return  # it is no YAML, or not ours
    made = sketch(tree, REGISTRY, witness)
    names = {item.name for item in made.graph.inputs} | {node.name for node in made.graph.nodes}
    # Some mistakes show only when the components are run.
    assert made.diagnostics or measured_fault(made)
    assert {node.name for node in made.plan.nodes} <= names
    written = path.read_text(encoding="utf-8")
    assert all(found.owner is None or found.owner.node in written for found in made.diagnostics)


def measured_fault(made: Sketch) -> bool:
    with pytest.raises(GraphError):
        measure(made.plan)
    return True


def test_a_size_that_is_left_to_the_data_is_no_mistake_of_the_text():
    made = sketched("fusionkit: 1\ninputs: {lab: {vector: [auto]}}\nnodes:\n  seen: {use: encoder.mlp, from: lab}\n"
                    "  kind: {use: head.classify, from: seen, with: {classes: [a, b]}}\n")
    (found,) = made.diagnostics
    assert (found.code, found.severity, found.owner) == ("auto-size", "warning", Owner("lab"))
    assert "fusionkit check" in (found.fix or "") and not made.faulty
    assert not made.complete and not made.plan.nodes


def test_the_memo_says_what_was_measured_without_running_anything_twice(monkeypatch: pytest.MonkeyPatch):
    runs: list[str] = []

    def counted(call: Call, path: str = "probe", on: Sequence[TensorShape] | None = None) -> Measurement:
        runs.append(path)
        return probe(call, path, on)

    monkeypatch.setattr("fusionkit.network.planning_memo.probe", counted)
    memo, text = PlanningMemo(), TEXT.replace("fusion.late_mean", "fusion.concat")
    first = memo.measure(sketch(read(text), REGISTRY, memo.witness).plan)
    assert runs == ["lungs", "table", "fused", "kind"]
    assert first == measure(sketch(read(text), REGISTRY, witness).plan)
    wider = read(text.replace("width: 11", "width: 13"))
    memo.measure(sketch(wider, REGISTRY, memo.witness).plan)
    assert runs[4:] == ["table", "fused", "kind"]  # what the change reaches


def test_the_memo_asks_a_component_for_its_shape_once(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    def counted(use: Use, shapes: Sequence[TensorShape]) -> Shape:
        asked.append(use.step.use)
        return declared_output(use, shapes)

    monkeypatch.setattr("fusionkit.network.planning_memo.declared_output", counted)
    text = """\
fusionkit: 1
inputs: {ct: {volume: [1, 5, 24, 32]}}
nodes:
  slices: {use: encoder.each_slice, from: ct, with: {encoder: {use: encoder.conv, with: {widths: [3]}}}}
  pooled: {use: fusion.mean, from: slices}
  kind: {use: head.classify, from: pooled, with: {classes: [a, b]}}
"""
    memo = PlanningMemo()
    first = sketch(read(text), REGISTRY, memo.witness, output=memo.output)
    once = len(asked)
    again = sketch(read(text + "# a comment\n"), REGISTRY, memo.witness, output=memo.output)
    assert asked.count("encoder.each_slice") == 1 and len(asked) == once
    assert again.values == first.values == sketch(read(text), REGISTRY, witness).values
    taller = sketch(read(text.replace("[1, 5,", "[1, 7,")), REGISTRY, memo.witness, output=memo.output)
    assert asked.count("encoder.each_slice") == 2 and taller.values["slices"][0].shape.sizes[0] == 7


def test_an_outline_names_everything_and_knows_no_shape():
    text = TEXT.replace("fusion.late_mean", "fusion.unheard_of")
    made = outline(read(text))
    assert [node.name for node in made.graph.nodes] == ["lungs", "table", "fused", "kind"]
    assert not made.values and not made.complete and not made.diagnostics
    assert outline(read("inputs: 3\n")).diagnostics
